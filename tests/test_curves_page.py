"""The page about curves: every example on it is run, and every rule is named on it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from ketaoutcomes.definitions.lasting import lasting

PAGE = Path(__file__).parents[1] / "docs" / "curves.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_example_gives_what_is_printed() -> None:
    examples = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert result.attempted > 4
    assert not result.failed, "".join(said)


def test_every_rule_is_named() -> None:
    assert [name for name in lasting().relapses if f"`{name}`" not in TEXT] == []
