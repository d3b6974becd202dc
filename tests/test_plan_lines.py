"""Where each key of a plan stands: the scanner finds its way through any TOML that the parser accepts."""

from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from ketaoutcomes.plan.lines import key_lines, line_of


def test_the_line_of_every_key_is_found_in_awkward_toml():
    text = '''# [not.a.table]
title = """two
lines ] = #"""  # comment
'quoted.key' . b = [ 1, # one ]
  { x = "]", y = [2,
    3] },
]

[a."b c"]
d.e = 'C:\\'

[[list]]
n = 1
[list.inside]
m = "\\"]"
[[list]]
n = """a""""
z = 2025-01-01T00:00:00Z
'''
    tomllib.loads(text)
    assert key_lines(text) == {
        ("title",): 2,
        ("quoted.key",): 4, ("quoted.key", "b"): 4, ("quoted.key", "b", 0): 4, ("quoted.key", "b", 1): 5,
        ("quoted.key", "b", 1, "x"): 5, ("quoted.key", "b", 1, "y"): 5,
        ("quoted.key", "b", 1, "y", 0): 5, ("quoted.key", "b", 1, "y", 1): 6,
        ("a", "b c"): 9, ("a", "b c", "d"): 10, ("a", "b c", "d", "e"): 10,
        ("list",): 12, ("list", 0): 12, ("list", 0, "n"): 13,
        ("list", 0, "inside"): 14, ("list", 0, "inside", "m"): 15,
        ("list", 1): 16, ("list", 1, "n"): 17, ("list", 1, "z"): 18,
    }  # fmt: skip


def test_a_path_that_is_not_written_has_the_line_of_the_table_around_it():
    lines = key_lines("\n[rates]\nlevel = 1")
    assert [line_of(lines, path) for path in (("rates", "level", 3), ("rates", "x"), ("y",))] == [3, 2, 1]


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="[]{}=\"'\\#.,\n abx01_-", max_size=40))
def test_the_scanner_finds_every_key_of_any_toml(text):
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = key_lines(text)
    assert {path[0] for path in lines} == set(table)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
