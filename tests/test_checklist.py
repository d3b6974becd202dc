"""The reporting checklist: every item once, and nothing in it that the study does not say."""

from __future__ import annotations

import operator
import string
import tomllib
from importlib import resources

import pandas as pd
import pytest

import ketaoutcomes as ko


@pytest.fixture(scope="module")
def study() -> ko.Study:
    return ko.Study(ko.load_sample(), as_of="2026-10")


def test_the_checklist_has_every_item_of_record_pe_once(study: ko.Study) -> None:
    table = study.checklist()
    assert table["item"].is_unique
    # Langan 2018, the checklist's column of RECORD-PE items; Benchimol 2015, that of RECORD.
    pe = "4.a, 4.b, 6.1.a, 7.1.a, 7.1.b, 7.1.c, 7.1.d, 7.1.e, 7.1.f, 7.1.g, 8.a, 12.1.a, 12.1.b, 19.1.a, 20.a"
    record = "1.1, 1.2, 1.3, 6.1, 6.2, 6.3, 7.1, 12.1, 12.2, 12.3, 13.1, 19.1, 22.1"
    assert set(table["item"]) == {
        *(f"RECORD-PE {one}" for one in pe.split(", ")),
        *(f"RECORD {one}" for one in record.split(", ")),
    }
    assert (table["about"] != "").all()
    assert (table["author"] != "").all()


def test_what_was_not_compared_with_the_publication_says_so(study: ko.Study) -> None:
    """All of RECORD was, and its extension has 15 items."""
    table = study.checklist()
    pe = table["item"].str.startswith("RECORD-PE")
    assert pe.sum() == 15
    assert table.loc[~pe, "compared"].all()
    assert set(table.loc[pe & table["compared"], "item"].str.removeprefix("RECORD-PE ")) == {
        "4.a", "7.1.a", "7.1.b", "7.1.c", "19.1.a",
    }  # fmt: skip


def test_the_checklist_says_what_the_study_says(study: ko.Study) -> None:
    filled = study.checklist().set_index("item")["filled"]
    end = study.rates(at="end", criteria="phq9_response50", analysis="nri").iloc[0]
    assert f"{end['n']:,} of them were due" in filled["RECORD 13.1"]
    assert f"{end['n'] - end['assessed']:,} of {end['n']:,} due" in filled["RECORD 19.1"]
    assert study.plan.hash[:12] in filled["RECORD 22.1"]
    assert "3 sites" in filled["RECORD 1.1"]


def test_the_checklist_names_only_verbs_that_exist(study: ko.Study) -> None:
    text = " ".join(study.checklist()["filled"])
    for name in {word.split("(")[0] for word in text.split("study.")[1:]}:
        assert operator.attrgetter(name)(study), name


def test_a_checklist_of_undated_frames_claims_no_dates() -> None:
    doses = pd.DataFrame({"patient": ["a", "a"], "day": [0, 3], "dose": 0.5, "route": "iv"})
    scores = pd.DataFrame({"patient": ["a", "a"], "day": [0, 4], "phq9": [18, 9]})
    filled = ko.Study(ko.Cohort.from_frames(doses, scores)).checklist().set_index("item")["filled"]
    assert "began from" not in filled["RECORD 1.2"]
    assert "without dates" in filled["RECORD 12.1"]
    assert filled["RECORD-PE 7.1.b"] == "tables in memory."
    assert "nan" not in " ".join(filled)


def test_every_brace_of_the_checklist_is_filled() -> None:
    text = resources.files("ketaoutcomes.results").joinpath("checklist.toml").read_text(encoding="utf-8")
    items = tomllib.loads(text)["items"]
    named = {
        name for item in items for _, name, _, _ in string.Formatter().parse(item.get("filled", "")) if name
    }
    assert {"patients", "as_of", "due", "hash"} <= named
    assert not any("{" in item["author"] + item["about"] for item in items)
