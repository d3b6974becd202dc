"""Quality measures on the page: whom they count, who is left out and why, and what a shared page may say."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from test_measures import NO_DOSES

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import Tally
from ketaoutcomes.plan import Plan
from ketaoutcomes.published import MEASURES, published
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.quality import measure_tables, quality
from ketaoutcomes.report.views import Words
from ketaoutcomes.results import measure_results


def clinic(met: int, not_met: int, unscored: int, died: int) -> ko.Study:
    """People with a PHQ-9 of 20 at a visit, and a year later a 3, an 18, none, or a death before it."""
    n = met + not_met + unscored + died
    names = [f"P{i:03d}" for i in range(n)]
    start, later = pd.Timestamp("2024-03-01"), pd.Timestamp("2025-03-05")
    scores = pd.DataFrame({"patient": names, "date": start, "phq9": 20})
    after = pd.DataFrame({"patient": names[: met + not_met], "date": later})
    after["phq9"] = [3] * met + [18] * not_met
    events = pd.DataFrame({"patient": names, "date": start, "kind": "encounter", "code": ""})
    gone = pd.DataFrame(
        {"patient": names[n - died :], "date": start + pd.Timedelta(days=40), "kind": "death"}
    )
    people = pd.DataFrame({"patient": names, "age": 40})
    frames = (NO_DOSES, pd.concat([scores, after]), people, pd.concat([events, gone.assign(code="")]))
    return ko.Study(ko.Cohort.from_frames(*frames), as_of="2026-06-30")


def section(tallies: dict[str, Tally]) -> tuple[dict[str, Described], str]:
    tables = {one.name: one for one in measure_tables(tallies)}
    found = quality(tables, Words(Plan()))
    assert found is not None
    rows = [" | ".join(row) for table in found.tables for row in table.rows]
    return tables, "\n".join([*found.says, *rows, *found.notes])


def test_everyone_who_entered_is_accounted_for_and_the_left_out_have_their_reason() -> None:
    study = clinic(met=3, not_met=5, unscored=8, died=4)
    tables, said = section({"measure_cms159": study.measure_tally("cms159")})
    row = tables["measures"].table.iloc[0]
    assert (row.population, row.excluded, row.not_due, row.n, row.missing, row.met) == (20, 4, 0, 16, 8, 3)
    assert tables["measures_left_out"].table.to_numpy().tolist() == [["cms159", "death", 4]]
    # 3 of 16, Wilson: 6.6 to 43.0, checked with R's binom.confint(3, 16, methods = "wilson").
    assert "PHQ-9 below 5 | 20 | 4 | 0 | 16 | 8 | 3 | 19\u202f% (7–43)" in said
    assert "Depression remission at twelve months: 4 died." in said
    assert "Entry: the first PHQ-9 of 10 or more, at a visit in which depression is treated" in said
    assert "Nothing is on record of major depression, in remission or not, or dysthymia, hospice care" in said


def test_a_measure_of_few_is_hidden_with_everything_that_would_tell_it() -> None:
    study = clinic(met=3, not_met=5, unscored=30, died=4)
    (shown,) = ko.protect([study.measure_tally("cms159")])
    tables, said = section({"measure_cms159": shown})
    row = tables["measures"].table.iloc[0]
    assert row.isna()[["met", "rate", "low", "high"]].all()
    assert "hidden" in said
    assert "Of no measure are so many people due that its rate can be shown." in said


def test_the_report_tells_the_measures_its_records_can_judge() -> None:
    study = ko.Study(ko.load_sample())
    told = published(study, audience="shared")
    names = [f"measure_{name}" for name in MEASURES]
    assert [name for name in told.tallies if name.startswith("measure_")] == names
    assert all(told.tallies[name].protected == "cms11" for name in names)
    _, said = section({name: told.tallies[name] for name in names})
    exact = measure_results.measure(study.measure_tally("remission_6m")).iloc[0]
    assert f"{exact.met} of {exact.n} due" in said  # more than ten met it, and more than ten did not


def test_without_dates_only_measures_in_days_are_told() -> None:
    cohort = ko.load_sample()
    doses = cohort.doses[["patient", "day", "dose", "unit", "route", "site"]]
    scores = cohort.scores[["patient", "instrument", "day", "score"]]
    plan = cohort.plan.replace(population={"complete": True})
    study = ko.Study(ko.Cohort.from_frames(doses, scores, plan=plan))
    told = published(study, audience="shared").tallies
    assert [name for name in told if name.startswith("measure_")] == ["measure_drr_e"]


def test_a_first_death_on_record_does_not_break_a_series(tmp_path: Path) -> None:
    """What is judged depends on the records; a series keeps judging what its first report judged."""
    cohort = ko.load_sample()
    patient = str(cohort.people["patient"].iloc[0])
    events = pd.DataFrame({"patient": [patient], "day": [40], "kind": ["death"]})
    doses = cohort.doses[["patient", "day", "dose", "unit", "route", "site"]]
    scores = cohort.scores[["patient", "instrument", "day", "score"]]
    people = cohort.people[["patient", "start_date"]]
    before = ko.Study(ko.Cohort.from_frames(doses, scores, people), as_of="2026-09")
    before.report(tmp_path / "first")
    later = ko.Study(ko.Cohort.from_frames(doses, scores, people, events), as_of="2026-10")
    alone = json.loads(later.measure_tally("cms159").header.measure)
    told = published(later, audience="shared", previous=tmp_path / "first").tallies["measure_cms159"]
    assert alone["judged"] == ["death"]
    assert json.loads(told.header.measure)["judged"] == []


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_of_the_report_is_defined(name: str) -> None:
    assert name in Plan().definitions.measures
