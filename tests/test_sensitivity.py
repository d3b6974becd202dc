"""What a headline rate becomes by other definitions: by eye, by other verbs, and what must always hold."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import random_cohorts
from matplotlib import pyplot as plt
from reference import Settings
from small_cohorts import Rows, plan_for, study_of

import ketaoutcomes as ko
from ketaoutcomes.counts.strata import KIND
from ketaoutcomes.counts.tallies import Tally, TallyError
from ketaoutcomes.definitions import FAMILIES, load
from ketaoutcomes.disclosure import DisclosureError
from ketaoutcomes.figures import forest
from ketaoutcomes.plan import Plan
from ketaoutcomes.results.sensitivity import Design, gate_of, other_gate, sensitivity_table, sentences

SESSIONS = "0 3 7 10 14 17"  # iv6: the end is judged on days 18 to 48, nearest to day 31
HEADLINE = "phq9_response50"


def complete(criteria: Sequence[str] = (HEADLINE,), **settings: Any) -> Plan:
    return plan_for(Settings(**settings), list(criteria), complete=True)


def rates(rows: Rows, plan: Plan | None = None, **options: Any) -> pd.DataFrame:
    """The sensitivity table by variant."""
    return study_of(rows, plan or complete()).sensitivity(**options).set_index("variant")


def eight() -> Rows:
    """Eight courses due, by eye: three met, two did not, three were not scored at the end.

    All but the last have a baseline within 7 days; the last's is 10 days old.
    """
    rows = Rows()
    rows.add("A", SESSIONS, phq9="0:20 31:8")
    rows.add("B", SESSIONS, phq9="0:20 31:10")
    rows.add("C", SESSIONS, phq9="0:12 31:6")  # halved, and 6 points
    rows.add("D", SESSIONS, phq9="0:20 31:14")  # 6 points, not halved
    rows.add("E", SESSIONS, phq9="0:20 31:15")  # 5 points
    rows.add("F", SESSIONS, phq9="0:20 10:9")  # last seen having met
    rows.add("G", SESSIONS, phq9="0:20 10:19")  # last seen not having met
    rows.add("H", SESSIONS, phq9="-10:20")  # never seen again
    rows.add("I", SESSIONS, phq9="0:8 31:2")  # below the gate
    return rows


def test_each_variant_by_eye() -> None:
    table = rates(eight())
    expected = {
        "headline": (3, 8),
        "analysis = observed": (3, 5),
        "analysis = locf": (4, 8),
        "analysis = missing_met": (6, 8),
        "analysis = missing_not_met": (3, 8),
        "kind = ever": (4, 8),
        "kind = sustained": (0, 8),
        "baseline_days = 7": (3, 7),  # without H
        "baseline_days = 28": (3, 8),
        "criterion = phq9_reliable6": (4 - 0, 8),  # A, B, C, D
        "criterion = phq9_mcid5": (5, 8),
        "gate = none": (4, 9),  # with I
    }
    found = {v: (table.loc[v, "met"], table.loc[v, "n"]) for v in expected}
    assert found == expected
    assert (table.loc["headline", "changes"], table.loc["headline", "differs"]) == (0, "")
    assert set(table["changes"]) == {0, 1}
    assert table.loc["kind = ever", "difference"] == pytest.approx(1 / 8)
    assert table.loc["baseline_days = 7", "difference"] == pytest.approx(3 / 7 - 3 / 8)


def test_the_variants_of_a_headline_are_always_these() -> None:
    # No PHQ-8 criterion is published for three families, and its row says so.
    table = rates(Rows().add("A", SESSIONS, phq9="0:20"), complete(["phq8_response50"]))
    assert list(table.index) == [
        "headline", "analysis = observed", "analysis = locf", "analysis = missing_met",
        "analysis = missing_not_met", "analysis = imputed", "kind = ever", "kind = sustained",
        "baseline_days = 7", "baseline_days = 28", "criterion = reliable", "criterion = mcid",
        "criterion = clinically_significant", "gate = none",
    ]  # fmt: skip
    missing = table.loc[["criterion = reliable", "criterion = mcid", "criterion = clinically_significant"]]
    assert set(missing["reason"]) == {"no_criterion"}
    assert missing[["n", "met", "rate", "difference"]].isna().all(axis=None)
    rest = table.drop(missing.index)
    assert set(rest["reason"]) == {"nobody_due"}
    assert (rest["n"] == 0).all()


def test_families_come_from_the_definitions() -> None:
    known = load()
    for name in known.instruments:
        plan = complete([known.instruments[name].criteria[0].name])
        counted = Design(plan, plan.criteria.primary).counted
        families = [known.of_family(name, family) for family in FAMILIES]
        assert set(counted) == {plan.criteria.primary[0], *(c.name for c in families if c is not None)}


def test_the_other_gate() -> None:
    plan = complete()
    assert (gate_of(plan, "phq9"), other_gate(plan, "phq9")) == (10, None)
    off = complete(gate={"phq9": 0})
    assert (gate_of(off, "phq9"), other_gate(off, "phq9")) == (None, 10)
    assert rates(eight(), off).loc["gate = 10", "n"] == 8
    none = rates(Rows().add("A", SESSIONS, phq9="0:20"), complete(["madrs_response50"]))
    assert none.loc["gate = none", "reason"] == "no_gate"


def test_a_plans_own_window_stays_the_headline() -> None:
    table = rates(eight(), complete(within_days=7))
    assert (table.loc["headline", "n"], table.loc["baseline_days = 14", "n"]) == (7, 8)
    assert "baseline_days = 7" not in table.index


def test_undated_records_without_an_end_give_observed_rates_only() -> None:
    table = rates(eight(), plan_for(Settings(), [HEADLINE]))
    assert table.loc["analysis = observed", "rate"] == pytest.approx(3 / 5)
    rest = table.drop("analysis = observed")
    assert rest["rate"].isna().all()
    assert set(rest["reason"]) <= {"no_cut_day", "no_criterion"}


# --- imputation ------------------------------------------------------------------------------------------


def strata(found: ko.Study, axis: str, criterion: str = HEADLINE) -> Counter[tuple[str, ...]]:
    """Persons by point, given and stratum, as counted."""
    points = found.tally(at=axis, criteria=criterion, tables=("strata",)).points
    assert set(points["kind"]) <= {KIND}
    return Counter({(r.point, r.given, r.state): r.n for r in points.itertuples()})


def test_strata_by_eye() -> None:
    # PHQ-9 bands: 10-14 is the third, 20-27 the fifth. D was seen on day 10 before the end's window opened.
    rows = eight()
    rows.scores += [{"patient": "D", "day": 10, "timing": "pre", "instrument": "phq9", "score": 9}]
    assert strata(study_of(rows, complete()), "end") == {
        ("end", "yes", "band5:unscored:met"): 2,  # A, B
        ("end", "yes", "band3:unscored:met"): 1,  # C
        ("end", "yes", "band5:met:not_met"): 1,  # D
        ("end", "yes", "band5:unscored:not_met"): 1,  # E
        ("end", "yes", "band5:met:missing"): 1,  # F
        ("end", "yes", "band5:not_met:missing"): 1,  # G
        ("end", "yes", "band5:unscored:missing"): 1,  # H
    }


def test_without_bands_alike_means_a_quarter_of_the_scale() -> None:
    # PCL-5 has no severity bands. 0 to 80: quarters begin at 0, 20, 40, 60.
    rows = Rows()
    for patient, baseline in (("A", 39), ("B", 40), ("C", 79), ("D", 80)):
        rows.add(patient, SESSIONS, pcl5=f"0:{baseline}")
    found = strata(study_of(rows, complete(["pcl5_reliable15"])), "end", "pcl5_reliable15")
    assert {state.split(":")[0]: n for (_, _, state), n in found.items()} == {
        "band2": 1, "band3": 1, "band4": 2,
    }  # fmt: skip


def test_a_session_not_given_leans_on_the_last_score_of_the_course() -> None:
    rows = Rows().add("A", "0 3", phq9="0:20 2:19 9:8")
    found = strata(study_of(rows, complete()), "session")
    assert found[("2", "yes", "band5:not_met:met")] == 1  # day 2 came before session 2
    assert found[("5", "no", "band5:met:missing")] == 1


@pytest.mark.parametrize("seed", range(4))
def test_strata_agree_with_the_tables_of_scores(seed: int) -> None:
    # Slowly, from the row-level tables: each state at each week, with the last score before its window.
    rows = random_cohorts.rows(seed, 60, cut=True)
    found = study_of(rows, plan_for(Settings(), [HEADLINE, "phq9_mcid5"]))
    points = found.points(at="week", criteria=HEADLINE)
    courses = found.courses.set_index(["patient", "course"])
    bases = found.baselines.query("instrument == 'phq9'").set_index(["patient", "course"])["baseline"]
    bands = load().instrument("phq9").bands
    expected: Counter[tuple[str, ...]] = Counter()
    for row in points.itertuples():
        if row.state.startswith(("not_due", "not_sch", "excluded")):
            continue
        base, first = bases[row.patient, row.course], courses.loc[(row.patient, row.course), "first_day"]
        seen = found.outcomes.query("instrument == 'phq9' and patient == @row.patient and day >= @first")
        seen = seen[(seen["day"] > first) | (seen["timing"] == "post")]
        seen = seen[seen["day"] < first + 7 * int(row.point) - 3].sort_values(
            ["day", "timing"], ascending=True
        )
        order = seen.assign(late=seen["timing"] == "post").sort_values(["day", "late"])
        last = "unscored" if order.empty else "met" if 2 * order["score"].iloc[-1] <= base else "not_met"
        band = 1 + max(i for i, b in enumerate(bands) if base >= b.low)
        outcome = row.state if row.state in ("met", "not_met") else "missing"
        expected[(row.point, row.given, f"band{band}:{last}:{outcome}")] += 1
    assert len(expected) > 20
    assert strata(found, "week") == expected


def test_with_nothing_missing_imputed_observed_and_headline_are_one() -> None:
    rows = eight()
    rows.scores += [
        {"patient": p, "day": 31, "timing": "pre", "instrument": "phq9", "score": s}
        for p, s in (("F", 9), ("G", 19), ("H", 19))
    ]
    table = rates(rows)
    same = table.loc[["headline", "analysis = observed", "analysis = imputed", "analysis = missing_met"]]
    assert (same[["met", "n", "rate", "low", "high"]].nunique() == 1).all()
    assert same.loc["analysis = imputed", "rate"] == 0.5


def test_the_same_rate_by_another_sum_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three met, and the mean of many thirds is not a third to the last digit."""
    nobody = lambda *_, imputations, **__: np.zeros(imputations, dtype=np.int64)  # noqa: E731  short
    monkeypatch.setattr("ketaoutcomes.results.sensitivity.impute", nobody)
    rows = Rows().add("A", SESSIONS, phq9="0:20 31:8").add("B", SESSIONS, phq9="0:20 31:14")
    table = rates(rows.add("C", SESSIONS, phq9="0:20"))
    imputed = table.loc["analysis = imputed"]
    assert imputed["rate"] != table.loc["headline", "rate"]
    assert imputed["rate"] == pytest.approx(1 / 3)
    assert imputed["difference"] == 0
    assert "e-" not in table[["rate", "difference"]].to_string()


def test_imputed_lies_between_the_bounds_and_repeats() -> None:
    rows = random_cohorts.rows(9, 80, cut=True)
    found = study_of(rows, plan_for(Settings(), [HEADLINE, "pcl5_reliable15", "peg_response30"]))
    table = found.sensitivity(["phq9_response50", "pcl5_reliable15", "peg_response30"], at="week")
    wide = table[table["changes"] <= 1].pivot_table(
        index=["headline", "point"], columns="variant", values="rate"
    )
    imputed = wide["analysis = imputed"].dropna()
    assert len(imputed) > 10
    assert (imputed >= wide["analysis = missing_not_met"][imputed.index] - 1e-12).all()
    assert (imputed <= wide["analysis = missing_met"][imputed.index] + 1e-12).all()
    again = found.sensitivity(["phq9_response50", "pcl5_reliable15", "peg_response30"], at="week")
    pd.testing.assert_frame_equal(table, again)


def test_nobody_scored_and_strata_without_donors() -> None:
    unseen = Rows().add("A", SESSIONS, phq9="0:20").add("B", SESSIONS, phq9="0:20")
    table = rates(unseen)
    assert table.loc["headline", "rate"] == 0
    assert table.loc["analysis = missing_met", "rate"] == 1
    assert table.loc["analysis = imputed", "reason"] == "nobody_scored"
    assert table.loc["analysis = imputed", ["met", "rate", "low", "high"]].isna().all()
    # F and G stand alone in their strata, H shares his with A, B and E; missing all the same, and imputed.
    imputed = rates(eight()).loc["analysis = imputed"]
    assert (imputed["no_donor"], imputed["n"], imputed["assessed"]) == (2, 8, 5)
    assert 3 / 8 < imputed["rate"] < 6 / 8
    assert imputed["low"] < imputed["rate"] < imputed["high"]


def test_imputation_is_given_for_current_only() -> None:
    table = study_of(eight(), complete()).sensitivity(combined=True)
    other = table[
        (table["analysis"] == "imputed") & (table["kind"] != "current") & (table["reason"] != "no_gate")
    ]
    assert set(other["reason"]) == {"imputation_not_defined"}
    assert other["rate"].isna().all()


def test_missing_at_random_is_recovered_from_the_rows_up() -> None:
    # Everyone is seen on day 10 and truly has an end score, but of those not yet halved by day 10 only three
    # in ten come back for it, of the others nine in ten: complete cases flatter, imputation does not.
    rng = np.random.Generator(np.random.PCG64(5))
    n = 3000
    early = rng.random(n) < 0.5
    met = rng.random(n) < np.where(early, 0.7, 0.2)
    back = rng.random(n) < np.where(early, 0.9, 0.3)
    patient = np.array([f"P{i:04d}" for i in range(n)])
    doses = pd.DataFrame({
        "patient": np.repeat(patient, 6), "day": np.tile([0, 3, 7, 10, 14, 17], n), "dose": 35.0,
        "unit": "mg", "route": "iv",
    })  # fmt: skip
    scores = pd.concat([
        pd.DataFrame({"patient": patient, "day": 0, "phq9": 20}),
        pd.DataFrame({"patient": patient, "day": 10, "phq9": np.where(early, 9, 16)}),
        pd.DataFrame({"patient": patient, "day": 31, "phq9": np.where(met, 8, 15)})[back],
    ])  # fmt: skip
    cohort = ko.Cohort.from_frames(doses, scores, plan=complete())
    table = ko.Study(cohort).sensitivity(HEADLINE).set_index("variant")
    truth = met.mean()
    imputed = table.loc["analysis = imputed"]
    error = (imputed["high"] - imputed["low"]) / 4
    assert imputed["rate"] == pytest.approx(truth, abs=2.5 * error)
    assert error < 0.02
    assert table.loc["analysis = observed", "rate"] > truth + 0.08
    assert table.loc["headline", "rate"] < truth - 0.1


# --- the other verbs say the same ------------------------------------------------------------------------


def test_every_combination_is_the_rate_of_its_own_plan() -> None:
    rows = random_cohorts.rows(21, 70, cut=True)
    plan = plan_for(Settings(), [HEADLINE])
    table = study_of(rows, plan).sensitivity(combined=True)
    assert len(table) == 6 * 3 * 3 * 4 * 2
    plain = table[table["analysis"].isin(["nri", "observed", "locf"])]
    for row in random.Random(1).sample(plain.to_dict("records"), 15):
        gate = {"phq9": 0 if pd.isna(row["gate"]) else int(row["gate"])}
        own = plan.replace(baseline={"within_days": row["baseline_days"], "gate": gate})
        other = study_of(rows, own).rates(
            at="end", criteria=row["criterion"], kind=row["kind"], analysis=row["analysis"]
        )
        (other_row,) = other.to_dict("records")
        for name in ("due", "assessed", "met", "n", "rate", "low", "high", "reason"):
            assert row[name] == other_row[name] or (pd.isna(row[name]) and pd.isna(other_row[name])), name


def test_sessions_and_groups_have_rows_of_their_own() -> None:
    found = ko.Study(ko.load_sample())
    table = found.sensitivity(HEADLINE, at="session", by="site")
    lead = table[table["variant"] == "headline"]
    same = found.rates(at="session", by="site", criteria=HEADLINE, analysis="nri")
    keys = ["protocol", "site", "point"]
    both = lead.merge(same, on=keys, suffixes=("", "_of_rates"))
    assert len(both) == len(lead) == len(same)
    assert both["rate"].equals(both["rate_of_rates"])
    assert (table.groupby(keys).size() == 14).all()


def test_a_group_that_a_variant_empties_keeps_its_row() -> None:
    rows = Rows()
    rows.add("A", SESSIONS, {"site": "North"}, phq9="0:20 31:8")
    rows.add("B", SESSIONS, {"site": "South"}, phq9="-10:20 31:8")  # no baseline within 7 days
    table = study_of(rows, complete()).sensitivity(by="site").set_index(["site", "variant"])
    assert table.loc[("South", "baseline_days = 7"), ["n", "reason"]].tolist() == [0, "nobody_due"]
    assert table.loc[("North", "baseline_days = 7"), "n"] == 1


# --- what must hold for any cohort -----------------------------------------------------------------------


def tallies(rows: Rows, design: Design, **options: Any) -> list[Tally]:
    wanted = {"at": "end", "criteria": design.counted, "tables": ("points", "strata")}
    return [study_of(rows, plan).tally(**(wanted | options)) for plan in design.plans()]


def parts_of(rows: Rows, seed: int) -> list[Rows]:
    share = {str(p["patient"]): random.Random(f"{seed}{p['patient']}").randrange(3) for p in rows.people}
    kinds = (rows.doses, rows.scores, rows.people)
    return [Rows(*([row for row in kind if share[row["patient"]] == i] for kind in kinds)) for i in range(3)]


@pytest.mark.parametrize("seed", [3, 4])
def test_parts_counted_apart_and_added_give_the_same_table(seed: int) -> None:
    rows = random_cohorts.rows(seed, 60, cut=True)
    design = Design(plan_for(Settings(), [HEADLINE, "pcl5_reliable15"]), (HEADLINE, "pcl5_reliable15"))
    whole = sensitivity_table(design, tallies(rows, design))
    apart = [tallies(part, design) for part in parts_of(rows, seed)]
    added = [ko.combine(same) for same in zip(*apart, strict=True)]
    assert [t.to_json() for t in added] == [t.to_json() for t in tallies(rows, design)]
    pd.testing.assert_frame_equal(whole, sensitivity_table(design, added))
    pd.testing.assert_frame_equal(
        whole, study_of(rows, design.plan).sensitivity([HEADLINE, "pcl5_reliable15"])
    )


def test_order_of_rows_and_days_of_the_calendar_carry_no_meaning() -> None:
    rows = random_cohorts.rows(8, 60, dated=True)
    plan, last = plan_for(Settings(), [HEADLINE]), random_cohorts.EPOCH + 400
    rows.people = [{k: v for k, v in person.items() if k != "observed_from"} for person in rows.people]
    kinds = (rows.doses, rows.scores, rows.people)
    mixed = Rows(*(random.Random(2).sample(kind, len(kind)) for kind in kinds), dated=True)
    moved = Rows(
        *([row | {"day": row["day"] + 5} if "day" in row else row for row in kind] for kind in kinds),
        dated=True,
    )
    table = study_of(rows, plan, last).sensitivity(at="week")
    pd.testing.assert_frame_equal(table, study_of(mixed, plan, last).sensitivity(at="week"))
    pd.testing.assert_frame_equal(table, study_of(moved, plan, last + 5).sensitivity(at="week"))


def test_tallies_that_do_not_fit_are_refused() -> None:
    rows = eight()
    design = Design(complete(), (HEADLINE,))
    good = tallies(rows, design)
    for wrong, words in (
        (good[:-1], "one tally for each"),
        (tallies(rows, design, tables=("points",)), "strata"),
        (tallies(rows, design, at=("end", "week")), "one axis"),
        ([good[1], good[0], *good[2:]], "order of the design"),
        (tallies(rows, design, criteria=HEADLINE), "lack criteria"),
        ([*good[:-1], tallies(rows, design, by="route")[-1]], "differently"),
    ):
        with pytest.raises(TallyError, match=words):
            sensitivity_table(design, wrong)
    with pytest.raises(TallyError, match="kinds"):
        good[0] + tallies(rows, design, tables=("points",))[0]


def test_strata_are_not_published() -> None:
    with pytest.raises(DisclosureError, match="cannot be protected"):
        ko.protect([tallies(eight(), Design(complete(), (HEADLINE,)))[0]])


def test_a_grouping_named_like_a_column_of_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="names a column of the results"):
        study_of(eight(), complete()).sensitivity(by="variant")


# --- sentences and figure --------------------------------------------------------------------------------


def test_the_spread_in_one_sentence() -> None:
    table = study_of(eight(), complete()).sensitivity()
    (text,) = sentences(table, {HEADLINE: "response", "end": "after induction"})
    assert text.replace("\u202f", " ") == (
        "response, after induction: 38 % of 8 by the headline's definition (interval 14 % to 69 %); over 12 "
        "others, each changed in one respect, it runs from 25 % (PHQ-9 from 10 or higher to below 10, and "
        "lower by at least 6 points) to 75 % (every missing score taken as met); 1 more could not be "
        "computed."
    )
    nobody = study_of(Rows().add("A", SESSIONS, phq9="0:20"), complete(["phq8_response50"]))
    (none,) = sentences(nobody.sensitivity())
    assert none == "phq8_response50, end: no headline rate (nobody due)."
    unscored = study_of(Rows().add("A", SESSIONS, phq9="0:20"), complete(["phq9_response50"]))
    (none,) = sentences(unscored.sensitivity())  # 0 % of nobody scored is no headline
    assert none == "phq9_response50, end: none of the 1 due was scored, so there is no rate to compare."


def test_sentences_count_what_could_not_be_computed() -> None:
    rows = Rows()
    for patient, score in (("A", 8), ("B", 20)):
        rows.add(patient, SESSIONS, peg=f"0:9 31:{score // 3}", phq9="0:20")
    (text,) = sentences(study_of(rows, complete(["peg_response30"])).sensitivity())
    assert text.endswith("could not be computed.")


@pytest.fixture
def _closed() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.mark.usefixtures("_closed")
def test_the_forest_draws_what_the_table_says() -> None:
    table = study_of(eight(), complete()).sensitivity()
    unseen = forest(table.copy())
    assert "nobody scored" in [text.get_text() for text in unseen.texts]  # nobody was seen four weeks later
    table = table[table["assessed"] > 0]
    ax = forest(table, names={HEADLINE: "response"})
    marks = [line for line in ax.get_lines() if line.get_linestyle() == "None"]
    assert [float(line.get_xdata()[0]) for line in marks] == table["rate"].tolist()
    bars = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
    assert [list(map(float, line.get_xdata())) for line in bars] == table[["low", "high"]].to_numpy().tolist()
    assert marks[0].get_marker() != marks[1].get_marker()  # the headline is told without colour
    written = [text.get_text().replace("\u202f", " ") for text in ax.texts]
    assert "60 % of 5" in written
    assert ax.get_title(loc="left") == "response, end"
    assert forest(table, ax=ax) is ax


@pytest.mark.usefixtures("_closed")
def test_a_variant_without_a_rate_keeps_its_line() -> None:
    rows = Rows().add("A", SESSIONS, phq9="0:20", peg="0:9 31:3")
    ax = forest(study_of(rows, complete(["peg_response30"])).sensitivity())
    assert [text.get_text() for text in ax.texts].count("none declared") == 2
    assert len(ax.get_yticks()) == 14


@pytest.mark.usefixtures("_closed")
def test_a_forest_shows_one_headline_and_leaves_combinations_out() -> None:
    found = study_of(eight(), complete())
    with pytest.raises(ValueError, match="one headline"):
        forest(found.sensitivity([HEADLINE, "phq9_remission_lt5"]))
    with pytest.raises(ValueError, match="no rows"):
        forest(found.sensitivity().iloc[:0])
    assert len(forest(found.sensitivity(combined=True)).get_yticks()) == 14
