"""Published series as rules: whom they keep, case by case, and their numbers as printed."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from small_cohorts import Rows, dose_frame, people_frame, wide_scores

import ketaoutcomes as ko
from ketaoutcomes.commands.explain import explanation
from ketaoutcomes.definitions import load
from ketaoutcomes.disclosure import protect
from ketaoutcomes.results import benchmarks

mpl.use("Agg")
PLAN = ko.Plan(population={"complete": True})
SIX = "0 3 7 10 14 17"


def study(*people: tuple[str, str, dict[str, object]]) -> ko.Study:
    rows = Rows()
    for number, (doses, scores, person) in enumerate(people):
        rows.add(f"p{number}", doses, person, phq9=scores)
    return ko.Study(ko.Cohort.from_frames(dose_frame(rows), wide_scores(rows), people_frame(rows), plan=PLAN))


def entry(found: ko.Study, series: str) -> list[str]:
    """Why each of one-person studies' courses is kept or not."""
    tally = found._judged_as(load().series_named(series))
    return sorted(tally.points[f"{series}_entry"].unique())


@pytest.mark.parametrize(
    ("doses", "why"),
    [
        (SIX, "kept"),
        ("0 3 7", "too_few_doses"),
        ("0 3 7 28", "kept"),  # the fourth on day 28 still counts
        ("0 3 7 29", "too_few_doses"),
        ("0 1 2 6", "too_quick"),  # four in six days
        ("0 1 2 7", "kept"),
        ("0 3 6 9 12 15 18 21", "kept"),
        ("0 3 6 9 12 15 18 21 24", "too_many_doses"),
        ("0/im 3/im 7/im 10/im", "other_route"),
    ],
)
def test_whom_mcinnes_keeps(doses, why):
    assert entry(study((doses, "0:20 60:5", {})), "mcinnes2022") == [why]


def test_a_blank_route_is_no_other_route():
    rows = Rows().add("a", SIX, {}, phq9="0:20 33:8")
    doses = dose_frame(rows).assign(route=None)
    cohort = ko.Cohort.from_frames(doses, wide_scores(rows), plan=ko.Plan(protocol={"all": "iv6"}))
    found = ko.Study(cohort).benchmark("mcinnes2022").kept.set_index("step")["n"]
    assert found["not_counted:route_not_recorded"] == 1
    assert found["charts"] == 0


def test_one_clinic_by_their_rule_and_by_everyone():
    """Four kept (two respond, one does not, one is unscored), one stopped early, one by another route."""
    found = study(
        (SIX, "0:20 31:8", {}),  # 14 days after day 17: responded
        (SIX, "0:20 48:10", {}),  # 31 days after: exactly halved, responded
        (SIX, "0:20 35:15", {}),
        (SIX, "0:20 30:2", {}),  # 13 days after: too early, so unscored
        ("0 3", "0:20 20:3", {}),  # two doses: left by their rule, in everyone
        ("0/im 3/im", "0:20 20:3", {}),
    ).benchmark("mcinnes2022")
    response = found.table[found.table["criterion"] == "phq9_response50"].set_index("source")
    own, everyone = response.loc["own"], response.loc["own_all_started"]
    assert (own["charts"], own["n"], own["met"]) == (5, 3, 2)
    assert own["share_kept"] == pytest.approx(3 / 5)
    assert (everyone["n"], everyone["met"]) == (5, 3)
    kept = found.kept.set_index("step")["n"]
    assert kept[["charts", "eligible_and_due", "left:too_few_doses", "kept", "scored"]].tolist() == [
        5,
        5,
        1,
        4,
        3,
    ]
    assert kept["not_counted:other_route"] == 1


@pytest.mark.parametrize(
    ("series", "criterion", "point", "rate", "n", "charts"),
    [
        # As in the abstracts (J Affect Disord, 10.1016/j.jad.2021.12.097 and 314:59; J Clin Psychiatry
        # 83:21m14336 and 85:23m14984) and on the poster's page.
        ("mcinnes2022", "phq9_response50", "end", 0.536, 537, 9016),
        ("mcinnes2022", "phq9_remission_lt5", "end", 0.289, 537, 9016),
        ("oliver2022", "phq9_response50", "6", 0.50, 424, None),
        ("oliver2022", "phq9_remission_lt5", "6", 0.20, 424, None),
        ("pfeiffer2024", "phq9_response50", "6", 0.26, 215, None),
        ("pfeiffer2024", "phq9_remission_le5", "6", 0.15, 215, None),
        ("hull2022", "phq9_response50", "4", 0.628, 1247, None),
        ("hull2022", "phq9_remission_lt5", "4", 0.326, 1247, None),
        ("hull2022", "gad7_response50", "4", 0.629, 1247, None),
        ("hull2022", "gad7_remission_lt5", "4", 0.313, 1247, None),
        ("osmind_ptsd", "pcl5_resp30", "1", 0.27, None, 8142),
        ("osmind_ptsd", "pcl5_resp30", "6", 0.70, None, 8142),
        ("mcintyre2020", "qids_sr16_response50", "4", 0.27, 190, 213),
        ("mcintyre2020", "qids_sr16_remission_le5", "4", 0.13, 190, 213),
    ],
)  # fmt: skip
def test_their_numbers_are_theirs(series, criterion, point, rate, n, charts):
    one = load().series_named(series)
    (found,) = [r for r in one.reported if (r.criterion, r.point) == (criterion, point)]
    assert (float(found.rate), found.n, one.charts) == (rate, n, charts)


def test_every_reported_rate_is_tested_above():
    (mark,) = [m for m in test_their_numbers_are_theirs.pytestmark if m.name == "parametrize"]
    stated = {(series, criterion, point) for series, criterion, point, *_ in mark.args[1]}
    assert stated == {(s.id, r.criterion, r.point) for s in load().series.values() for r in s.reported}


@pytest.mark.parametrize("name", list(load().series))
def test_every_series_is_cited_and_says_what_is_not_applied(name):
    one = load().series[name]
    assert one.cite
    assert one.not_applied
    assert benchmarks.plan_for(PLAN, one).criteria.primary == one.criteria  # all their criteria are defined


def test_a_published_rate_without_n_has_no_interval():
    table = study((SIX, "0:20 31:8", {})).benchmark("osmind_ptsd").table
    theirs = table[table["source"] == "published"]
    assert theirs["low"].isna().all()
    assert set(theirs["reason"]) == {"n_not_stated"}


def test_nobody_kept_is_said_and_not_zero_percent():
    table = study(("0/im 7/im", "0:20 20:3", {})).benchmark("mcinnes2022").table
    own = table[table["source"] != "published"]
    assert own["rate"].isna().all()
    assert set(own["reason"]) == {"nobody_kept", "nobody_due"}


def test_a_protocol_of_ones_own_gives_way_to_theirs():
    people = ((SIX, "0:20 31:8", {"protocol": "home"}),)
    table = study(*people).benchmark("mcinnes2022").table
    assert table.loc[table["source"] == "own", "n"].tolist() == [1, 1]


def test_hidden_counts_stay_hidden():
    people = [(SIX, "0:20 31:8", {})] * 30 + [(SIX, "0:20 31:18", {})] * 4
    one = load().series_named("mcinnes2022")
    (shown,) = protect([study(*people)._judged_as(one)])
    own = benchmarks.benchmark(shown, one).table.query("source == 'own'").set_index("criterion")
    assert np.isnan(own.loc["phq9_response50", "rate"])  # four without response
    assert own.loc["phq9_response50", "reason"] == "hidden"
    assert own.loc["phq9_remission_lt5", ["met", "n"]].tolist() == [0, 34]


def test_unknown_series_and_other_tallies_are_refused():
    found = study((SIX, "0:20 31:8", {}))
    with pytest.raises(ValueError, match="did you mean 'mcinnes2022'"):
        found.benchmark("mcinnes")
    with pytest.raises(ValueError, match="not grouped by"):
        benchmarks.benchmark(found.tally(at="end"), load().series_named("mcinnes2022"))


def test_a_series_of_ones_own_is_one_more_file(tmp_path):
    (tmp_path / "ours.toml").write_text(
        """
        [series.ours2024]
        title = "Our first year"
        cite = "house"
        sure = "abstract"
        charts = 80
        n = 40
        routes = ["im"]
        at = "end"
        kind = "current"
        analysis = "observed"
        [[series.ours2024.reported]]
        criterion = "phq9_response50"
        rate = 37.5
        """,
        encoding="utf-8",
    )
    rows = Rows().add("a", "0/im 7/im 14/im 21/im", {}, phq9="0:20 35:8")
    own = PLAN.replace(folders=(str(tmp_path),))
    found = ko.Study(ko.Cohort.from_frames(dose_frame(rows), wide_scores(rows), plan=own)).benchmark(
        "ours2024"
    )
    table = found.table.set_index("source")
    assert (table.loc["published", "rate"], table.loc["published", "share_kept"]) == (0.375, 0.5)
    assert table.loc["own", ["n", "met"]].tolist() == [1, 1]


def test_a_series_and_a_treatment_are_explained():
    said = explanation("McInnes2022", load())
    assert "53.6 %, of 537" in said
    assert "10.1016/j.jad.2021.12.097" in said
    assert "n not stated" in explanation("osmind_ptsd", load())
    assert "How sure" in explanation("lamotrigine", load())


def test_what_is_wrong_with_a_series_is_said_at_once(tmp_path):
    (tmp_path / "wrong.toml").write_text(
        """
        [series.wrong]
        title = "x"
        cite = "house"
        sure = "hearsay"
        n = 0
        routes = "iv"
        doses = [4]
        at = "end"
        kind = "current"
        analysis = "observed"
        [[series.wrong.reported]]
        criterion = "phq9_response50"
        rate = 137.5
        """,
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match="hearsay") as refused:
        load((str(tmp_path),))
    for said in ("series.wrong.n", "series.wrong.routes", "series.wrong.doses", "percentage from 0 to 100"):
        assert said in str(refused.value)


def test_tallies_of_different_rules_do_not_add(tmp_path):
    text = "[series.ours]\ntitle='x'\ncite='house'\nsure='abstract'\nn=9\nroutes=['{route}']\nat='end'\n"
    text += "kind='current'\nanalysis='observed'\n[[series.ours.reported]]\n"
    text += "criterion='phq9_response50'\nrate=50\n"
    tallies = []
    for route in ("iv", "im"):
        folder = tmp_path / route
        folder.mkdir()
        (folder / "ours.toml").write_text(text.format(route=route), encoding="utf-8")
        rows = Rows().add(route, "0 7", {}, phq9="0:20 35:8")
        plan = PLAN.replace(folders=(str(folder),))
        cohort = ko.Cohort.from_frames(dose_frame(rows), wide_scores(rows), plan=plan)
        tallies.append(ko.Study(cohort).tally(by="ours_entry", at="end"))
    with pytest.raises(ValueError, match="entry"):
        sum(tallies)


def slow_entry(doses: pd.DataFrame, first: int, last: int, route: str, series: str) -> str:
    """The entry rule, dose by dose."""
    one = load().series_named(series)
    if route not in one.routes:
        return "other_route"
    if not one.doses:
        return "kept"
    early = sorted(
        {day for day in doses["day"] if first <= day <= min(last, first + (one.doses_within_days or 0))}
    )
    if len(early) < one.doses[0]:
        return "too_few_doses"
    if len(one.doses) > 1 and len(early) > one.doses[1]:
        return "too_many_doses"
    if one.span_days is not None and early[-1] - first < one.span_days:
        return "too_quick"
    return "kept"


@pytest.mark.parametrize("series", ["mcinnes2022", "hull2022"])
def test_the_rule_dose_by_dose_says_the_same(series):
    sample = ko.load_sample()
    study = ko.Study(
        benchmarks.cohort_for(sample, load().series_named(series)),
        plan=benchmarks.plan_for(sample.plan, load().series_named(series)),
    )
    by_patient = dict(list(sample.doses.groupby("patient")))
    first = study.courses[study.courses["course"] == 1]
    expected = pd.Series(
        [
            slow_entry(by_patient[row.patient], row.first_day, row.last_day, row.route, series)
            for row in first.itertuples()
        ]
    ).value_counts()
    flow = study.tally(by=f"{series}_entry", at="end", tables=("flow",)).flow
    flow = flow[(flow["unit"] == "patient") & (flow["reason"] == "with_course")]
    assert dict(zip(flow[f"{series}_entry"], flow["n"], strict=True)) == expected.to_dict()
    assert len(expected) > 2


def test_all_series_in_one_table_and_a_chart():
    found = ko.Study(ko.load_sample()).benchmarks()
    assert list(found.table["series"].unique()) == list(load().series)
    assert set(found.not_applied["series"]) == set(load().series)
    assert found.caution in repr(found)
    assert "<table" in found._repr_html_()
    from matplotlib import pyplot as plt

    from ketaoutcomes.figures import benchmark

    one = found.table[found.table["series"] == "mcinnes2022"]
    ax = benchmark(one)
    dots = [float(line.get_xdata()[0]) for line in ax.get_lines()]
    assert dots == pytest.approx(list(one["rate"]))
    assert np.all(np.isfinite(dots))
    assert sum("n = " in text.get_text() for text in ax.texts) == 6
    plt.close("all")
    gaps = benchmark(found.table[found.table["series"] == "mcintyre2020"])
    assert sum(text.get_text() in {"nobody kept", "nobody due"} for text in gaps.texts) == 4
    plt.close("all")
    with pytest.raises(ValueError, match="nothing to draw"):
        benchmark(one.iloc[:0])
