"""What the page says and what it never says, from tables made by hand."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
import report_tables

from ketaoutcomes import report
from ketaoutcomes.counts.tallies import Header
from ketaoutcomes.plan import Plan
from ketaoutcomes.report.finished import Described
from ketaoutcomes.report.page import arranged, render

HOSTILE = "<script>alert(1)</script>\" onmouseover=x $x^2$ {{7*7}} =cmd|' /C calc'!A0 \u202egpj.exe"


class Source:
    """An input as a report names it."""

    def __init__(self, name: str) -> None:
        self.name, self.sha256, self.rows = name, "ab" * 32, 9151


def header(plan: Plan, as_of: str = "2026-10-31") -> Header:
    return Header(plan.canonical(), plan.hash, as_of, (), ("end",), plan.criteria.primary, ("current",))


def ledger(file: str = "sessions.csv") -> pd.DataFrame:
    rows = [(file, "doses", "kept", "", 9120.0), (file, "doses", "quarantined", "D02", 31.0)]
    rows.append((file, "scores", "filtered", "", float("nan")))
    return pd.DataFrame(rows, columns=["file", "table", "outcome", "reason", "n"])


def page(
    tables: dict[str, pd.DataFrame] | None = None,
    *,
    audience: str = "shared",
    as_of: str = "2026-10-31",
    **meta: Any,
) -> str:
    plan = Plan()
    tables = report_tables.everything() if tables is None else tables
    described = {name: Described(name, name, name, table) for name, table in tables.items()}
    problems = pd.DataFrame([("D02", "quarantined", 31.0)], columns=["rule", "action", "n"])
    given = {"sources": [Source("sessions.csv")], "ledger": ledger(), "problems": problems} | meta
    about = report.Meta(as_of=as_of, dates="dates", rules={"D02": "an answer outside the scale"}, **given)
    profile = "cms11" if audience == "shared" else None
    content = arranged(described, plan, audience)
    return render(content, header(plan, as_of), plan=plan, meta=about, profile=profile, audience=audience)


@pytest.fixture(scope="module")
def whole() -> str:
    return page()


def seen(text: str) -> str:
    """What a reader sees: the text without its marks, spaces folded."""
    text = re.sub(r"<(style|svg).*?</\1>", " ", text, flags=re.DOTALL)
    text = re.sub(r'<span class="nb">([^<]*)</span>', r"\1", text)  # part of a word or a bracket
    text = html.unescape(re.sub(r"<[^>]+>", " ", text)).replace("\u202f", " ")
    return re.sub(r"\s+([.,;)])", r"\1", re.sub(r"\s+", " ", text))


class Outline(HTMLParser):
    """Every tag with its attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag in names]


def test_the_first_sentence_is_the_answer(whole: str) -> None:
    # 812 due, 607 scored, half of those and 0.52 of them in the two criteria of report_tables.everything().
    assert (
        "Of 812 patients whose first series came due, 315 (39 %, 35–42) are known to have at least halved "
        "their PHQ-9 and 164 (20 %, 17–23) to be in remission (PHQ-9 below 5) at the end of the series. "
        "205 of them have no PHQ-9 score at that point and count as not improved. "
        "Among the 607 scored it is 315 (52 %, 48–56) and 164 (27 %, 23–31)."
    ) in seen(whole)


def test_it_says_what_was_asked_of_whom_and_by_which_protocol(whole: str) -> None:
    said = seen(whole)
    assert "Records to 31 October 2026" in said
    assert "at or above the entry threshold (PHQ-9 10, PCL-5 33)" in said
    assert "6 intravenous sessions in 2 to 3 weeks, then every 4 to 6 weeks ( iv6)" in said
    assert "HIPAA limited data set" in said


def test_conclusions_stand_above_their_charts(whole: str) -> None:
    assert (
        "PHQ-9. After session 6, 43 % of the 412 patients due are known to have at least halved their PHQ-9 "
        "and 22 % to be in remission (PHQ-9 below 5); 309 were scored. After session 1 it was 17 % and 9 %."
    ) in seen(whole)
    assert "received session 6, planned for day 17 and given on day 19 (median)." in seen(whole)


def test_the_flow_adds_up_and_a_sum_with_a_hidden_part_is_hidden(whole: str) -> None:
    said = seen(whole)
    assert "Patients in the records hidden hidden no dose on record hidden hidden" in said
    assert "Series found 1,253 1,253" in said
    assert 902 + 121 + 142 + 88 == 1253
    assert "Due: counted in every rate 812 325" in said


def test_schedules_without_sessions_are_named_and_not_drawn() -> None:
    tables = report_tables.everything()
    home = report_tables.rates("session", {"": (0, 0.0)}, 0, protocol="home").assign(reason="not_visit_based")
    tables["rates_session"] = pd.concat([tables["rates_session"], home], ignore_index=True)
    said = seen(page(tables))
    assert "without numbered sessions and so judged by week, below: Oral or sublingual at home." in said


def test_hidden_reads_hidden_and_never_zero() -> None:
    end = report_tables.everything()["rates_end"]
    pcl = end["instrument"] == "pcl5"
    text = page(report_tables.everything() | {"rates_end": report_tables.hidden(end, pcl)})
    assert "PCL-5: no rate can be given; hidden: describes too few people." in seen(text)
    south = next(
        row for row in re.findall(r"<tr>.*?</tr>", text, re.DOTALL) if ">South<" in row and "hidden" in row
    )
    assert re.findall(r"<td>(.*?)</td>", south) == ['<span class="hidden">hidden</span>'] * 6


def test_what_one_criterion_hides_another_may_show() -> None:
    sessions = report_tables.by_session()
    one = (
        (sessions["protocol"] == "iv6")
        & (sessions["criterion"] == "phq9_response50")
        & (sessions["point"] == "1")
    )
    said = seen(page(report_tables.everything() | {"rates_session": report_tables.hidden(sessions, one)}))
    assert "1 412 389 hidden hidden 9 % 6–11 9 % 6–12" in said


def test_a_step_of_the_cascade_is_told_even_where_the_first_is_hidden() -> None:
    measured = report_tables.measured().astype({"n": "float64", "of": "float64"})
    phq = measured["instrument"] == "phq9"
    measured.loc[phq, ["of", "rate"]] = float("nan")
    measured.loc[phq & (measured["step"] == "started"), "n"] = float("nan")
    said = seen(page(report_tables.everything() | {"measured": measured}))
    assert "PHQ-9. 607 patients have a PHQ-9 score at the end of the series." in said
    assert "first series due hidden hidden hidden baseline score 812 hidden hidden" in said


def test_a_report_without_anybody_due_says_so() -> None:
    end = report_tables.rates("end", {"end": (0, 0.0)}, 0).assign(reason="nobody_due")
    said = seen(page({"rates_end": end}))
    assert "PHQ-9: no rate can be given; nobody with a baseline score to judge by is due yet." in said
    assert "0 patients are due." in said


def test_a_trial_judged_by_week_is_answered_in_its_last_week() -> None:
    weeks = report_tables.rates("week", {"4": (80, 0.4), "8": (70, 0.5)}, 84)
    end = report_tables.rates("end", {"": (0, 0.0)}, 0).assign(reason="judged_by_week_only")
    assert "to be in remission (PHQ-9 below 5) in week 8." in seen(
        page({"rates_end": end, "rates_week": weeks})
    )


def test_internal_reports_are_marked() -> None:
    assert "Internal: exact counts of few people. Do not forward" in seen(page(audience="internal"))


@pytest.mark.parametrize(
    ("as_of", "said"),
    [
        ("complete", "The records are complete"),
        ("none", "The records do not say when they end"),
        ("cut_day", "Each patient"),
    ],
)
def test_undated_records_say_what_their_end_is(as_of: str, said: str) -> None:
    assert said in seen(page(as_of=as_of))


def test_names_from_data_are_text_everywhere() -> None:
    tables = report_tables.everything()
    tables["rates_end_by_site"] = tables["rates_end_by_site"].replace({"site": {"South": HOSTILE}})
    tables["rates_session"] = tables["rates_session"].replace({"protocol": {"im": HOSTILE}})
    tables["retention"] = tables["retention"].replace({"protocol": {"im": HOSTILE}})
    text = page(tables, sources=[Source(HOSTILE)], ledger=ledger(HOSTILE), title=HOSTILE)
    outline = Outline(text)
    assert not outline.all("script")
    assert not any(name.startswith("on") for _, attrs in outline.tags for name in attrs)
    assert "{{7*7}}" in text
    assert "\u202e" not in text


def test_it_needs_nothing_and_runs_nothing(whole: str) -> None:
    outline = Outline(whole)
    assert not outline.all("script", "link", "img", "iframe", "object", "form", "base")
    assert not any("style" in attrs for _, attrs in outline.tags)
    targets = {value for _, attrs in outline.tags for name, value in attrs.items() if name in ("href", "src")}
    assert all(target is not None and target.startswith("#") for target in targets)
    assert re.findall(r"https?://[^\s\"<]+", whole) == ["http://www.w3.org/2000/svg"] * whole.count("<svg")
    policy = next(attrs["content"] for attrs in outline.all("meta") if attrs.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", whole, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert len(whole.encode()) < 400_000


def test_it_is_built_for_screen_readers(whole: str) -> None:
    outline = Outline(whole)
    assert outline.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(attrs.get("scope") in {"col", "row", "colgroup"} for attrs in outline.all("th"))
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in outline.all("svg"))
    ids = [attrs["id"] for _, attrs in outline.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    wanted = {str(attrs["href"])[1:] for attrs in outline.all("a", "use")}
    assert wanted <= set(ids)
    regions = outline.all("div")
    assert all(
        attrs.get("aria-label") and attrs.get("tabindex") == "0" for attrs in regions if attrs.get("role")
    )


def test_charts_hold_text_and_no_id_twice(whole: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", whole, re.DOTALL)
    assert len(charts) == 6 + 2 + 2 + 1 + 2  # sessions, weeks, means, retention, who was scored
    for chart in charts:
        tree = ElementTree.fromstring(chart)
        assert any(element.text for element in tree.iter("{http://www.w3.org/2000/svg}text"))


def test_the_same_tables_give_the_same_bytes(whole: str) -> None:
    assert page() == whole


def test_the_users_own_matplotlib_style_changes_nothing(whole: str) -> None:
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        assert page() == whole


def unknown_end(table: pd.DataFrame) -> pd.DataFrame:
    """The same rates of records that do not say when they end: only those scored are told of."""
    table = table.astype(dict.fromkeys(["due", "given", "met", "n"], "float64"))
    nri = table["analysis"] == "nri"
    table.loc[:, ["due", "given"]] = float("nan")
    table.loc[nri, ["met", "n", "rate", "low", "high"]] = float("nan")
    table.loc[nri, "reason"] = "no_cut_day"
    return table


def test_records_without_an_end_show_the_rates_of_those_scored() -> None:
    tables = {
        name: unknown_end(table) for name, table in report_tables.everything().items() if "rates" in name
    }
    said = seen(page(tables, as_of="none"))
    assert "Of 607 patients scored on the PHQ-9 at the end of the series, 315 (52 %, 48–56) are known" in said
    assert "nobody can be called due" in said
    assert "Of those scored only, since the records do not say when they end: in week 12" in said
    assert "Everyone hidden 607 – 52 % 48–56" in said


def test_where_nobody_is_due_the_page_does_not_speak_of_small_numbers() -> None:
    tables = report_tables.everything()
    none = report_tables.rates("session", {"1": (0, 0.0), "2": (0, 0.0)}, 0, protocol="iv6")
    measured = tables["measured"].assign(n=0, of=0, rate=float("nan"))
    retention = tables["retention"].assign(due=0, reached=0, rate=float("nan"))
    said = seen(
        page(
            tables | {"rates_session": none, "measured": measured, "retention": retention},
            audience="internal",
        )
    )
    assert "Too few patients to show" not in said
    assert said.count("Nobody is due yet") >= 3


def test_one_person_is_spoken_of_as_one() -> None:
    weeks = report_tables.rates("week", {"8": (1, 1.0)}, 1)
    end = report_tables.rates("end", {"end": (1, 1.0)}, 1, report_tables.CRITERIA[:1])
    said = seen(page({"rates_end": end, "rates_week": weeks}, audience="internal"))
    assert "of the 1 patient due are known" in said
    assert "; 1 was scored." in said
    assert (
        "Of 1 patient whose first series came due, 1 (100 %, 21–100) is known" in said or "1 (100 %" in said
    )


def test_judged_by_names_the_plans_schedules_where_all_are_hidden() -> None:
    tables = report_tables.everything()
    for name in ("rates_session", "rates_end_by_protocol", "retention", "timing"):
        del tables[name]
    said = seen(page(tables))
    assert "6 intravenous sessions in 2 to 3 weeks, then every 4 to 6 weeks ( iv6)" in said
    assert "Weeks since the first dose, without a planned schedule" not in said


def test_sections_stand_in_reading_order_with_one_closing_block(whole: str) -> None:
    ids = [str(attrs["id"]) for attrs in Outline(whole).all("section")]
    assert ids == ["stayed", "scored", "sessions", "weeks", "end", "over-time", "sites", "about"]
    about = whole[whole.index('id="about"') :]
    for head in (
        "What was asked", "Everyone accounted for", "Data quality", "What was hidden, and why", "Methods",
        "References", "Definitions", "What this cannot say",
    ):  # fmt: skip
        assert f"<h3>{head}</h3>" in about
        assert f"<h3>{head}</h3>" not in whole[: whole.index('id="about"')]


def test_a_part_stands_on_the_page_once_its_table_is_there() -> None:
    safety = pd.DataFrame(
        [
            {"measure": HOSTILE, "of": 900, "n": 850, "not_recorded": 50, "count": 40, "value": 0.047},
            {
                "measure": "b",
                "of": 900,
                "n": report_tables.NAN,
                "not_recorded": report_tables.NAN,
                "count": report_tables.NAN,
                "value": report_tables.NAN,
            },
        ]
    ).assign(
        axis="course",
        point="any",
        instrument="safety",
        statistic="share",
        low=report_tables.NAN,
        high=report_tables.NAN,
    )
    text = page(report_tables.everything() | {"safety": safety})
    said = seen(text)
    assert "not a pharmacovigilance system" in said
    assert "<script>" not in text
    assert "\u202e" not in text
    assert "hidden" in seen(text[text.index('id="safety"') : text.index('id="about"')])
    assert 'id="safety"' not in page(report_tables.everything())


def test_an_internal_report_hides_nothing_where_nobody_reached_a_session() -> None:
    tables = report_tables.everything()
    row = (
        tables["retention"]
        .iloc[-1:]
        .assign(reached=0.0, rate=0.0, low=0.0, high=0.1, median_day=float("nan"))
    )
    tables["retention"] = pd.concat([tables["retention"].iloc[:-1], row], ignore_index=True)
    stayed = page(tables, audience="internal").partition('<section id="stayed"')[2].partition("</section>")[0]
    assert "hidden" not in stayed


def test_rounded_numbers_are_said_to_be_on_the_first_screen() -> None:
    plan, said = Plan(), "Numbers of people are rounded to the nearest 5."
    content = arranged({name: Described(name, name, name, table) for name, table in
                        report_tables.everything().items()}, plan, "shared")  # fmt: skip
    meta = report.Meta(as_of="2026-10-31")
    for profile in ("cms11", "opensafely"):
        text = render(content, header(plan), plan=plan, meta=meta, profile=profile, audience="shared")
        assert (said in text.partition("<main")[0]) == (profile == "opensafely")


def test_no_narrow_screen_parts_a_name_or_the_limits_of_a_difference(whole: str) -> None:
    assert '<span class="nb">PHQ-9</span> halved' in whole
    rest = re.sub(r'<span class="nb">[^<]*</span>', " ", whole)
    rest = re.sub(r"<(style|svg|title).*?</\1>|<[^>]*>", " ", rest, flags=re.DOTALL)
    assert "PHQ-9" not in rest
    assert "PCL-5" not in rest
    assert not re.search(r'="[^">]*<span', whole)  # no mark in an attribute
