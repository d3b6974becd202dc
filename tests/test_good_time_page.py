"""The page about good time: every example on it is run, and what must stand on it does."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import ketaoutcomes as ko
from ketaoutcomes.per_patient.good_time import STATUSES
from ketaoutcomes.results.partition import CAUTION

PAGE = Path(__file__).parents[1] / "docs" / "good-time.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_example_gives_what_is_printed() -> None:
    examples = "\n".join(re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert result.attempted > 15
    assert not result.failed, "".join(said)


def test_every_status_is_explained() -> None:
    assert [status for status in STATUSES if f"`{status}`" not in TEXT] == []


def test_the_caution_stands_at_the_top_word_for_word() -> None:
    top = TEXT.split("\n## ")[0].replace("> ", "").replace("**", "")
    assert CAUTION in " ".join(top.split())


def test_the_numbers_in_the_text_are_the_plans() -> None:
    chosen = ko.Plan().good_time
    assert (chosen.fraction, chosen.grace_days, chosen.calendar_days) == (0.9, 14, (30, 60))
    assert (chosen.mature_days, chosen.overdue_days, chosen.min_at_risk) == (180, 120, 20)
    protocols = ko.Plan().definitions.protocols
    assert protocols["home"].trial == (30, 60)
    assert protocols["home"].carry == (7, 7)
    assert protocols["iv6"].trial == (4, 6)
