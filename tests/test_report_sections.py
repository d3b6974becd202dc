"""Durability, safety and published series on the page: what each reader is told, and what is not told yet."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.counts.tallies import Tally
from ketaoutcomes.disclosure import LARGEST_SMALL, coarsen, protect
from ketaoutcomes.plan import Plan
from ketaoutcomes.published import report_meta, report_tallies
from ketaoutcomes.report import write
from ketaoutcomes.report.additions import Addition
from ketaoutcomes.report.beside import beside, by_their_rules, from_the_page
from ketaoutcomes.report.days import Stands
from ketaoutcomes.report.finished import Described, finish
from ketaoutcomes.report.glance import glance
from ketaoutcomes.report.lasting import NOT_TOLD, lasting
from ketaoutcomes.report.side_effects import side_effects
from ketaoutcomes.report.views import Words
from ketaoutcomes.results import benchmarks

HOSTILE = "<script>alert(1)</script>\u202e{{7*7}}"


@cache
def study() -> ko.Study:
    return ko.Study(ko.load_sample())


@cache
def tallies(audience: str) -> dict[str, Tally]:
    return report_tallies(study(), audience=audience)


@cache
def tables(audience: str) -> dict[str, Described]:
    return finish(tallies(audience))


@cache
def pages(folder: Path) -> dict[str, str]:
    found = {}
    for audience in ("shared", "internal"):
        study().report(folder / audience, audience=audience)
        page = (folder / audience / "report.html").read_text(encoding="utf-8")
        found[audience] = re.sub(r'<span class="nb">([^<]*)</span>', r"\1", page)  # what is not to be parted
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return pages(tmp_path_factory.mktemp("sections"))


def section(page: str, name: str) -> str:
    return page[page.index(f'<section id="{name}"') :].partition("</section>")[0]


def words() -> Words:
    return Words(study().plan)


def cells(part: Addition | None, title: str) -> dict[str, tuple[str, ...]]:
    assert part is not None
    (table,) = [one for one in part.tables if one.title.startswith(title)]
    return {row[0]: row[1:] for row in table.rows}


def test_both_pages_have_the_three_sections_in_reading_order(written: dict[str, str]) -> None:
    for page in written.values():
        ids = re.findall(r'<section id="([\w-]+)"', page)
        assert ids[-5:] == ["durability", "safety", "measures", "benchmarks", "about"]
        assert len(page.encode()) < 400_000


def test_safety_says_what_was_recorded_and_what_was_not(written: dict[str, str]) -> None:
    table = study().safety()
    row = table[(table["axis"] == "course") & (table["measure"] == "nausea")].iloc[0]
    told = cells(side_effects(tables("internal"), words()), "Recorded after any dose")["Nausea"]
    assert told[0] == f"{row['count']:.0f} of {row['n']:.0f}"
    assert told[3] == f"{row['not_recorded']:.0f}"
    for page in written.values():
        said = section(page, "safety")
        assert "not a pharmacovigilance system" in said
        assert "Blank is not recorded, never no" in said
        assert "PHQ-9 higher by at least 6 points at the last score" in said
        assert "phq9_deterioration" not in said


def test_few_serious_events_are_told_inside_only() -> None:
    inside = cells(side_effects(tables("internal"), words()), "Recorded after any dose")
    shared = cells(side_effects(tables("shared"), words()), "Recorded after any dose")
    few = int(inside["A serious adverse event"][0].split()[0])
    assert 0 < few <= 10
    assert shared["A serious adverse event"] == ("hidden",) * 4
    assert shared["Nausea"] == inside["Nausea"]


def test_no_number_of_one_to_ten_people_stands_in_a_shared_section(written: dict[str, str]) -> None:
    for name in ("safety", "safety_by_session"):
        shown = tables("shared")[name].table
        for column in ("of", "n", "not_recorded", "count"):
            numbers = shown[column].dropna()
            assert not numbers.between(1, 10).any(), (name, column)
    said = section(written["shared"], "safety")
    assert not re.search(r">(?:[1-9]|10) of [\d,]+<", said)


def test_safety_changes_nothing_else_in_a_shared_report() -> None:
    raw = tallies("internal")
    own = {name: raw[name] for name in raw if name in tallies("shared") and "safety" not in name}
    shown = tallies("shared")
    coarse, _ = coarsen(list(own.values()), LARGEST_SMALL["cms11"])
    for name, alone in zip(own, protect(coarse), strict=True):
        together = shown[name]
        pd.testing.assert_frame_equal(alone.points, together.points)
        pd.testing.assert_frame_equal(alone.transitions, together.transitions)


def test_without_records_of_monitoring_safety_speaks_of_worsening_only() -> None:
    rows = [(f"P{i}", day, 20 if day == 0 else 8) for i in range(40) for day in (0, 3, 7, 10, 14, 17)]
    table = pd.DataFrame(rows, columns=["patient", "day", "phq9"]).assign(route="iv")
    people = pd.DataFrame({"patient": sorted(set(table["patient"])), "cut_day": 300})
    bare = ko.Study(ko.Cohort.from_frames(table, people=people))
    found = report_tallies(bare, audience="shared")
    assert "safety" in found
    assert "safety_by_session" not in found
    part = side_effects(finish(found), Words(bare.plan))
    assert part is not None
    assert part.says[0].startswith("No side effect was recorded")
    assert [one.title for one in part.tables] == ["Got worse, and the item on thoughts of self-harm"]
    assert part.figures == ()


def test_both_audiences_read_how_soon_and_how_long_and_one_of_them_more(written: dict[str, str]) -> None:
    inside, shared = (section(written[name], "durability") for name in ("internal", "shared"))
    for page in (inside, shared):
        assert "phq9_response50" not in page
        assert "A relapse is seen only at a score" in page
        assert "mature courses that met “PHQ-9 halved” by day 60" in page
        assert page.count("<svg") > 1
    assert NOT_TOLD in shared
    assert NOT_TOLD not in inside
    by_day = {"curve", "marks", "summary", "sustained", "onset", "boosters", "trend", "time_off"}
    assert not {f"durability_{name}" for name in by_day} & set(tables("shared"))


def test_what_is_told_of_early_responses_is_in_the_table() -> None:
    for audience in ("shared", "internal"):
        found = tables(audience)
        part = lasting(found, words(), shared=audience == "shared")
        assert part is not None
        kept = found["durability_kept"].table
        names = {"phq9_response50": "PHQ-9 halved", "pcl5_reliable15": "PCL-5 down 15 points"}
        assert list(kept["criterion"].unique()) == list(names)[: 1 if audience == "shared" else 2]
        for criterion, own in kept.groupby("criterion"):
            last, name = own.iloc[-1], names[str(criterion)]
            told = cells(part, f"{name}: what became of it")["12 weeks"]
            assert told[:3] == (str(last["lost"]), str(last["not_scored"]), str(last["at_risk"]))
            assert told[3].startswith(f"{100 * last['no_relapse']:.0f}")
            (said,) = [one for one in part.says if f"mature courses that met “{name}”" in one]
            assert f"and {last['lost']} by 12 weeks." in said
        only = [one for one in part.notes if one.startswith("Responses are those of “PHQ-9 halved”")]
        assert bool(only) == (audience == "shared")
    by_session = cells(lasting(tables("internal"), words()), "PHQ-9 halved: met at a score by session")
    assert [row[0] for row in by_session.values()] == ["461", "115", "137"]
    assert "durability_by_session" not in tables("shared")
    for name in ("durability_kept", "durability_doses"):
        shared = tables("shared")[name].table
        counts = shared[[one for one in ("n", "lost", "not_scored", "at_risk", "met") if one in shared]]
        assert not counts.apply(lambda column: column.dropna().between(1, 10).any()).any()


def test_what_is_hidden_of_early_responses_reads_hidden() -> None:
    found = dict(tables("shared"))
    kept, doses = (found[name].table.copy() for name in ("durability_kept", "durability_doses"))
    numbers = ["n", "lost", "not_scored", "at_risk", "no_relapse", "low", "high", "kept_at_least"]
    kept[numbers], kept["reason"] = float("nan"), "hidden"
    doses[["n", "of", "share", "low", "high"]] = float("nan")
    started = found["durability_started"].table.assign(share=float("nan"))
    for name, table in (("kept", kept), ("doses", doses), ("started", started)):
        one = found[f"durability_{name}"]
        found[f"durability_{name}"] = Described(one.name, one.title, one.says, table)
    part = lasting(found, words(), shared=True)
    assert part is not None
    assert [one for one in part.says if one.endswith("is hidden.")] == [
        "How soon people met “PHQ-9 halved” is hidden.",
        "How long it lasted for mature courses that met “PHQ-9 halved” by day 60 is hidden.",
        "How many of a hidden number of mature courses with planned visits had boosters is hidden.",
    ]
    assert cells(part, "PHQ-9 halved: what became of it")["4 weeks"] == ("hidden",) * 6
    assert cells(part, "Boosters")["none"] == ("hidden", "hidden")
    assert part.figures == ()


def test_who_nobody_can_be_followed_or_was_due_is_not_hidden() -> None:
    days = (0, 3, 7, 10, 14, 17)
    rows = [(f"P{i}", day, 20 if day == 0 else 8 + i % 5) for i in range(40) for day in days]
    table = pd.DataFrame(rows, columns=["patient", "day", "phq9"]).assign(route="iv")
    people = pd.DataFrame({"patient": sorted(set(table["patient"])), "cut_day": 400})
    bare = ko.Study(ko.Cohort.from_frames(table, people=people))
    part = lasting(finish(report_tallies(bare, audience="shared")), Words(bare.plan), shared=True)
    assert cells(part, "PHQ-9 halved: what became of it")["12 weeks"] == (
        "0", "24", "0", "–", "0\u202f%", "100\u202f%",
    )  # fmt: skip
    assert part is not None
    assert "hidden" not in str(part)
    assert not any("PCL-5" in one.title for one in part.tables)


def test_durability_repeats_the_numbers_of_its_tables() -> None:
    found = tables("internal")
    marks = found["durability_marks"].table
    row = marks[(marks["criterion"] == "phq9_response50") & (marks["relapse"] == "lost")].iloc[0]
    told = cells(lasting(found, words()), "PHQ-9 halved: without a relapse")["4 weeks"]
    assert told[0].split("\u202f")[0] == f"{100 * row['no_relapse']:.0f}"
    assert told[1] == str(row["at_risk"])
    became = cells(lasting(found, words()), "What became of responses")
    assert next(iter(became)) == "PHQ-9 halved"
    for met, lost, again, rest, never, _ in became.values():
        assert int(met) == int(lost) + int(again) + int(rest)
        assert int(never) <= int(rest)


def test_shared_reports_set_published_rates_beside_rates_of_the_page_only() -> None:
    shown = tables("shared")
    (table, _) = from_the_page(shown, study().plan)
    own = table.table[table.table["source"] == benchmarks.ALL_STARTED]
    assert set(zip(own["criterion"], own["axis"], own["point"], strict=True)) >= {
        ("phq9_response50", "end", "end"), ("phq9_remission_lt5", "end", "end"),
        ("phq9_response50", "week", "6"),
    }  # fmt: skip
    for row in own.itertuples(index=False):
        rates = shown[f"rates_{row.axis}"].table
        same = (rates["criterion"] == row.criterion) & (rates["point"] == row.point)
        (mine,) = rates[same & (rates["analysis"] == "nri")].itertuples(index=False)
        assert (row.met, row.n, row.rate) == (mine.met, mine.n, mine.rate)
    assert (own["kind"] == "current").all()
    assert benchmarks.OWN not in set(table.table["source"])


def test_a_hidden_rate_has_nothing_set_beside_it() -> None:
    hidden = dict(tables("shared"))
    for name in ("rates_end", "rates_week"):
        table = hidden[name].table.assign(met=float("nan"), rate=float("nan"), reason="hidden")
        hidden[name] = Described(name, "", "", table)
    assert from_the_page(hidden, study().plan) == []
    assert beside(hidden, words()) is None


def test_internal_reports_apply_their_rules() -> None:
    found = study().benchmarks()
    part = beside({one.name: one for one in by_their_rules(found)}, words())
    assert part is not None
    (table,) = part.tables
    first = table.rows[0]
    own = found.table[found.table["source"] == benchmarks.OWN].iloc[0]
    assert first[0] == "McInnes 2022"
    assert first[3].endswith(f"of {own['n']:.0f}")
    assert "no effect and no grade" in part.about[0]
    assert any("McIntyre 2020" in note for note in part.notes)  # nobody answered its questionnaire


def test_counts_by_their_rules_cannot_come_into_a_shared_report(tmp_path: Path) -> None:
    told = tallies("shared")
    meta = report_meta(study(), told)
    with pytest.raises(ValueError, match="shared report cannot hold"):
        write(tmp_path / "out", tallies=told, plan=study().plan, meta=meta, benchmarks=study().benchmarks())


def test_a_report_of_day_offsets_without_an_end_has_no_durability_and_no_published_series(
    tmp_path: Path,
) -> None:
    rows = [(f"P{i}", day, 20 if day == 0 else 8) for i in range(40) for day in (0, 3, 7, 10, 14, 17)]
    table = pd.DataFrame(rows, columns=["patient", "day", "phq9"]).assign(route="iv")
    open_ended = ko.Study(ko.Cohort.from_frames(table))
    for audience in ("shared", "internal"):
        open_ended.report(tmp_path / audience, audience=audience)
        text = (tmp_path / audience / "report.html").read_text(encoding="utf-8")
        assert not {"durability", "benchmarks"} & set(re.findall(r'<section id="([\w-]+)"', text))


@pytest.mark.slow
def test_a_report_follows_one_with_safety(tmp_path: Path) -> None:
    first = ko.Study(ko.load_sample(), as_of="2026-09")
    first.report(tmp_path / "first")
    study().report(tmp_path / "second", previous=tmp_path / "first")
    content = json.loads((tmp_path / "second" / "results.json").read_text(encoding="utf-8"))
    assert {"safety", "safety_by_session"} <= set(content["tallies"])
    page = (tmp_path / "second" / "report.html").read_text(encoding="utf-8")
    assert "not a pharmacovigilance system" in section(page, "safety")


def test_labels_are_text() -> None:
    plan = Plan()
    rows = [
        {"protocol": HOSTILE, "axis": axis, "point": point, "instrument": instrument, "measure": HOSTILE,
         "statistic": "share", "of": 90, "n": 80, "not_recorded": 10, "count": 40, "value": 0.5, "sd": 0.0,
         "low": 0.4, "high": 0.6, "reason": ""}
        for axis, point, instrument in (("course", "any", "safety"), ("course", "last", HOSTILE))
    ]  # fmt: skip
    part = side_effects({"safety": Described("safety", "", "", pd.DataFrame(rows))}, Words(plan))
    assert part is not None
    assert "\u202e" not in repr(part)
    series = {
        "series": HOSTILE, "instrument": HOSTILE, "criterion": HOSTILE, "axis": "end", "point": HOSTILE,
        "kind": "current", "analysis": "nri", "charts": 9.0, "n": 90.0, "met": 40.0, "rate": 0.5,
        "low": 0.4, "high": 0.6, "share_kept": 0.5, "reason": "",
    }  # fmt: skip
    table = pd.DataFrame([series | {"source": name} for name in ("published", "own_all_started")])
    sources = pd.DataFrame([{"series": HOSTILE, "title": HOSTILE, "cite": HOSTILE, "sure": "poster"}])
    own = {
        "benchmarks": Described("benchmarks", "", "", table),
        "benchmarks_sources": Described("benchmarks_sources", "", "", sources),
    }
    found = beside(own, Words(plan))
    assert found is not None
    assert "\u202e" not in repr(found)
    assert "<script>" not in str(found.figures[0].svg)


def test_the_first_screen_answers_what_is_asked_first(written: dict[str, str]) -> None:
    for page in written.values():
        head = page[: page.index("<main")]
        asked = re.findall(r'<dt><a href="#([\w-]+)">([^<]+)</a></dt><dd>([^<]+)</dd>', head)
        assert [name for name, _, _ in asked] == ["changed", "stayed", "scored", "safety", "sites"]
        assert all(f'<section id="{name}"' in page for name, _, _ in asked)
    worse = tables("shared")["safety"].table
    row = worse[(worse["measure"] == "phq9_deterioration") & (worse["point"] == "last")].iloc[0]
    assert (
        f"PHQ-9 higher by at least 6 points at the last score in {row['count']:.0f} of {row['n']:.0f} ("
        in head
    )


def test_response_and_remission_each_have_a_control_chart_and_a_funnel(written: dict[str, str]) -> None:
    for name in ("over-time", "sites"):
        drawn = re.findall(
            r'aria-label="(?:Control chart|Funnel of sites), ([^.]+?)(?: at the end)?, of all due',
            section(written["internal"], name),
        )
        assert drawn == [
            "PHQ-9 halved",
            "PHQ-9 remission, below 5",
            "PCL-5 down 15 points",
            "PCL-5 now below 33",
        ]


def test_a_line_at_first_glance_is_left_out_where_it_could_not_be_answered() -> None:
    assert glance({}, Words(Plan()), [], []) == []
    row = {
        "axis": "course",
        "point": "any",
        "instrument": "safety",
        "measure": "serious_event",
        "n": 0.0,
        "count": 0.0,
    }
    nobody = {"safety": Described("safety", "", "", pd.DataFrame([row]))}
    assert glance(nobody, Words(Plan()), [], []) == []  # no form asked for it: that is no "none"
    hidden = {
        "safety": Described(
            "safety", "", "", pd.DataFrame([row | {"n": float("nan"), "count": float("nan")}])
        )
    }
    (line,) = glance(hidden, Words(Plan()), [], [])
    assert line.says == "How many had a serious event after a dose is hidden."
    day = {"safety": Stands("Repeated as it stood on 30 September 2026.", "30 September 2026")}
    (line,) = glance(hidden, Words(Plan()), [], [], day)
    assert line.says.endswith("hidden. (As of 30 September 2026.)")


def test_the_mean_change_is_charted_by_month_for_the_house_and_by_period_for_others(
    written: dict[str, str],
) -> None:
    inside, outside = (section(written[audience], "over-time") for audience in ("internal", "shared"))
    assert "<b>PHQ-9 mean change from baseline at the end, of those scored.</b> Between −10.0 and" in inside
    assert "(XmR chart)." in inside
    assert "points in the 5 periods shown. Too few periods yet for limits of chance." in outside


def test_who_was_scored_of_those_in_the_rates_is_dated_as_the_rates_are() -> None:
    found, day = tables("shared"), Stands("Repeated as it stood on 30 April 2026.", "30 April 2026")
    for section_id, dated in (("scored", False), ("answer", True)):
        lines = {line.id: line.says for line in glance(found, words(), [], [], {section_id: day})}
        assert lines["scored"].startswith("At the end of the series 77\u202f% of the 930 due for PHQ-9")
        assert lines["scored"].endswith("(As of 30 April 2026.)") == dated
    without = {name: one for name, one in found.items() if name != "rates_end"}
    lines = {line.id: line.says for line in glance(without, words(), [], [], {"scored": day})}
    assert lines["scored"].startswith("Of 1,062 first series due, 71\u202f% have a PHQ-9 score")
    assert lines["scored"].endswith("(As of 30 April 2026.)")
