"""The page about curves: every example on it is run, and every rule is named on it."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from ketaoutcomes.definitions.lasting import lasting
from ketaoutcomes.per_patient.windows import CONFIRM_AFTER, CONFIRM_BY
from ketaoutcomes.results.response_curves import LEAST_AT_RISK

PAGE = Path(__file__).parents[1] / "docs" / "curves.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_example_gives_what_is_printed() -> None:
    examples = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert result.attempted > 4
    assert not result.failed, "".join(said)


def test_every_rule_stands_with_its_source() -> None:
    for rule in lasting().relapses.values():
        assert f"| `{rule.name}` | {rule.title} | {rule.cite} |" in TEXT


def test_the_numbers_in_the_text_are_the_rules() -> None:
    rules = lasting()
    assert rules.gains["phq9_sg5"].points == 5
    assert f"fewer than {LEAST_AT_RISK} are at risk" in TEXT
    assert (rules.early_sessions, rules.recovery_days, rules.marks[1]) == (2, 120, 56)
    assert (CONFIRM_AFTER, CONFIRM_BY) == (28, 59)
