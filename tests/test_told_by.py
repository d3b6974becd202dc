"""What the page says of the periods and sites that a shared report is told by."""

from __future__ import annotations

import math

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.disclosure.coarser import STEPS
from ketaoutcomes.published import published, report_meta
from ketaoutcomes.report.finished import Described, finish
from ketaoutcomes.report.sentences import counted
from ketaoutcomes.report.told_by import NAME, periods_said, sites_said, told_by
from ketaoutcomes.report.views import Words, latest

WORDS = Words(ko.Plan())
PHQ9 = ("period", "phq9", "quarters", "finest", "2026-10-31", "2027-01-31", 0.9, 0.6, "")


def tables(*rows: tuple[object, ...]) -> dict[str, Described]:
    return told_by(pd.DataFrame(list(rows), columns=list(STEPS), dtype=object))


def phq9(**changed: object) -> tuple[object, ...]:
    return tuple((dict(zip(STEPS, PHQ9, strict=True)) | changed).values())


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, "PHQ-9 is shown three months at a time, the shortest periods by which at least three quarters "
             "of its rates can be shown (90 %, by shorter periods 60 %)."),
        ({"step": "months", "shorter": math.nan},
         "PHQ-9 is shown month by month: at least three quarters of its rates can be shown (90 %)."),
        ({"reason": "most", "step": "years", "told": 0.4},
         "PHQ-9 is shown twelve months at a time: that shows the most of its rates (40 %), though not the "
         "three quarters that are wanted."),
        ({"reason": "held"}, "PHQ-9 is shown three months at a time, as in the last report."),
        ({"reason": "coarser", "step": "half-years"},
         "PHQ-9 is shown six months at a time from now on, since too little could be shown by shorter "
         "periods. What was shown before stands."),
    ],
)  # fmt: skip
def test_the_length_of_periods_is_told_with_its_reason(changed: dict[str, object], says: str) -> None:
    said, until = periods_said(tables(phq9(**changed)), WORDS)
    assert said.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ") == says
    assert until == (
        "Counted are those who came due up to 31 October 2026; the next period is over on 31 January 2027."
    )


def test_instruments_counted_to_days_of_their_own_say_so_each() -> None:
    said = periods_said(tables(PHQ9, phq9(instrument="pcl5", until="2026-08-31", next="2026-11-30")), WORDS)
    assert said[1].startswith("PHQ-9: Counted are those who came due up to 31 October 2026")
    assert said[2].startswith("PCL-5: Counted are those who came due up to 31 August 2026")


def test_instruments_told_alike_are_named_together_each_with_its_shares() -> None:
    (said, _) = periods_said(tables(PHQ9, phq9(instrument="pcl5", told=1.0, shorter=0.5)), WORDS)
    assert said.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ") == (
        "PHQ-9 and PCL-5 are shown three months at a time, the shortest periods by which at least three "
        "quarters of their rates can be shown (PHQ-9 90 %, by shorter periods 60 %; PCL-5 100 %, by shorter "
        "periods 50 %)."
    )
    apart = periods_said(tables(PHQ9, phq9(instrument="pcl5", reason="held")), WORDS)
    assert [text.partition(" is shown ")[0] for text in apart[:2]] == ["PHQ-9", "PCL-5"]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("restated", ["No period has closed since the last report."]),
        ("new", []),
        ("waiting", ["Not shown yet: PHQ-9 August to October 2026. Beside what was shown before, some of it "
                     "would tell of too few people."]),
    ],
)  # fmt: skip
def test_a_series_says_what_has_closed_and_what_waits(step: str, says: list[str]) -> None:
    rows = pd.DataFrame({"instrument": ["phq9"], "axis": "month", "point": "2026-08/2026-10", "step": step})
    found = periods_said(tables(PHQ9) | {"steps": Described("steps", "", "", rows)}, WORDS)
    assert found[2:] == says


def test_joined_sites_are_named_and_a_name_is_text() -> None:
    site = ("site", "", "joined", "", "", "", math.nan, math.nan, "Cove\nDune")
    assert sites_said(tables(PHQ9, site)) == (
        "Shown together as other sites, since too few of one alone were treated to show: Cove and Dune."
    )
    assert sites_said(tables(PHQ9)) == ""
    assert told_by(None) == {}
    assert periods_said({}, WORDS) == []


def test_a_report_in_the_middle_of_a_month_counts_to_the_end_of_the_last() -> None:
    study = ko.Study(ko.load_sample(), as_of="2026-10-20")
    told = published(study, audience="shared")
    assert {one.header.as_of for one in told.tallies.values()} == {"2026-09-30"}
    meta = report_meta(study, told.tallies)
    assert counted(meta.as_of, "2026-09-30") == "records to 20 October 2026, counted to 30 September 2026"
    found = finish(told.tallies) | told_by(told.coarsened)
    assert found[NAME].table["until"].tolist() == ["2026-09-30", "2026-09-30"]
    by = found["changes"].table.set_index("criterion")
    assert set(by["period"]) == {"2026-07/2026-09"}
    assert by["evidence"].isin(["none", "higher", "lower"]).all()
    assert len(by) == 4  # an answer for each criterion of both instruments
    during = {title: one.during for title, one in latest(found["rates_period"], WORDS).items()}
    assert during == {"PHQ-9": "from July to September 2026", "PCL-5": "from July to September 2026"}
