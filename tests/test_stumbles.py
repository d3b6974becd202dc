"""What a newcomer stumbles over: files as clinics export them, frames without a start, words nearly right."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes import cli
from ketaoutcomes.plan import parse_plan
from ketaoutcomes.records.cohort import InputRefused
from ketaoutcomes.shown import PlainError

EXPORT = """\
Study ID;Patient Name;Age;Sex;Visit Date;Therapy;Dose (mg/kg);PHQ9 Total;Clinic
K1;x;35;f;14.03.2026;Ketamine IV;0,5;22;North
K1;x;35;f;18.03.2026;Ketamine IV;0,5;14;North
K2;x;93;F;14.03.2026;Ketamine IV;0,75;19;North
K2;x;93;F;14.03.2026;Ketamine IV;0,75;19;North
K2;x;93;F;29.03.2026;;;9;North
"""


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clinic's own file as Excel saves it: with a mark, semicolons and decimal commas."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "visits.csv"
    path.write_text(EXPORT, encoding="utf-8-sig", newline="\r\n")
    return path


def test_a_drafted_plan_reads_the_file_it_was_drafted_from(
    export: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["init", "--from", "visits.csv"]) == 0
    columns = tomllib.loads(Path("plan.toml").read_text())["columns"]
    assert columns["route"] == {"from": "Therapy", "map": {"Ketamine IV": "iv"}}
    assert columns["covariates"] == ["Age", "Sex"]
    assert cli.main(["check", "visits.csv", "--plan", "plan.toml"]) == 0
    told = capfd.readouterr().out
    assert "Cohort(2 patients, 3 doses, 4 scores of phq9" in told
    for rule in ("C07 normalised", "I11 normalised", "I12 asked"):
        assert rule in told
    assert cli.main(["report", "visits.csv", "--plan", "plan.toml", "--out", "r", "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("header", "words", "routed"),
    [
        ("Therapy", "Spravato 56 mg", True),
        ("Treatment arm", "ketamine im", True),
        ("Arm", "intervention", False),  # no word of it names a route: an attribute of people
        ("Therapy", "CBT", False),
    ],
)
def test_a_column_of_treatments_is_the_route_where_its_words_name_one(
    tmp_path: Path, header: str, words: str, routed: bool
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,date,{header},dose,phq9\n1,2026-03-01,{words},0.5,18\n")
    text = ko.suggest_plan(path)
    columns = tomllib.loads(text)["columns"]
    assert ("route" in columns) is routed
    assert columns["covariates"] == ([] if routed else [header])
    assert ('# route = { value = "iv" }' in text) is not routed


def test_check_says_what_a_report_would_be_refused_for(
    export: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = 'patient = "Study ID"\ndate = "Visit Date"\ndose = "Dose (mg/kg)"\nphq9 = "PHQ9 Total"\n'
    lines += 'unit = { value = "mg/kg" }\ndrop = ["Patient Name"]\n'
    lines += 'delimiter = ";"\ndecimal = ","\ndate_format = "DD.MM.YYYY"\n'
    Path("plan.toml").write_text(f"[columns]\n{lines}")
    assert cli.main(["check", "visits.csv", "--plan", "plan.toml"]) == 2
    assert "some first doses have no route" in capfd.readouterr().out
    assert cli.main(["report", "visits.csv", "--plan", "plan.toml", "--out", "r", "--dry-run"]) == 2
    Path("plan.toml").write_text(f'[columns]\n{lines}route = {{ value = "iv" }}\n')
    assert cli.main(["check", "visits.csv", "--plan", "plan.toml"]) == 0


# Frames


def frames(**people: list[object]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two people by day offsets: one dose and two scores each, and what is said of the people."""
    doses = pd.DataFrame({"patient": ["a", "b"], "day": 0, "dose": 0.5, "unit": "mg/kg", "route": "iv"})
    scores = pd.DataFrame({"patient": ["a", "a", "b", "b"], "day": [0, 14, 0, 14], "phq9": [18, 8, 17, 15]})
    return doses, scores, pd.DataFrame({"patient": ["a", "b"], **people})


@pytest.mark.parametrize("column", ["cut_date", "target_date", "birth_date"])
def test_a_date_beside_day_offsets_needs_the_date_of_day_0(column: str) -> None:
    with pytest.raises(InputRefused, match=rf"`{column}` is a date .* give `start_date`") as refused:
        ko.Cohort.from_frames(*frames(**{column: ["2026-01-31", "2026-02-28"]}))
    assert refused.value.problems["rule"].tolist() == ["E18"]
    assert "2026-0" not in str(refused.value)
    dated = frames(**{column: ["2026-01-31", "2026-02-28"], "start_date": ["2026-01-01", None]})
    cohort = ko.Cohort.from_frames(*dated)
    # 31 January is 30 days after 1 January; the other has no first day, which is said of row 3.
    day = cohort.people[column.replace("date", "day")]
    assert day.iloc[0] == 30
    assert pd.isna(day.iloc[1])
    assert cohort.problems[["row", "column", "rule"]].values.tolist() == [[3, column, "E18"]]


def test_labels_that_differ_only_by_capitals_are_asked_about_and_kept() -> None:
    cohort = ko.Cohort.from_frames(*frames(sex=["f", "F "]))
    assert cohort.problems[["file", "row", "column", "rule", "action"]].values.tolist() == [
        ["people", 0, "sex", "I12", "asked"]
    ]
    assert cohort.people["sex"].tolist() == ["f", "F"]
    assert ko.Cohort.from_frames(*frames(sex=["f", "m"])).problems.empty


@pytest.mark.parametrize("name", ["sex", "Sex", "gender"])
def test_spellings_of_a_covariate_can_be_mapped(export: Path, name: str) -> None:
    """As the page of I12 says."""
    draft = ko.suggest_plan(export)
    mapped = (
        f'{name} = {{ from = "Sex", map = {{ "f" = "female", "F" = "female" }} }}\ncovariates = ["{name}"]'
    )
    assert 'covariates = ["Age", "Sex"]' in draft
    Path("plan.toml").write_text(draft.replace('covariates = ["Age", "Sex"]', mapped), encoding="utf-8")
    cohort = ko.read(export, ko.read_plan("plan.toml"))
    assert cohort.people[name].tolist() == ["female", "female"]
    assert set(cohort.problems["rule"]) == {"C07"}
    page = str(ko.Plan().explain("I12"))
    assert 'covariates = ["sex"]' in page.replace("\n", " ")


def test_a_total_beside_too_many_blank_answers_is_told() -> None:
    doses, _, _ = frames()
    answers = {f"phq9_{k}": [2, None if k > 6 else 2, None if k > 7 else 2] for k in range(1, 10)}
    forms = pd.DataFrame({"patient": ["a", "a", "b"], "day": [0, 14, 0], "phq9": [18, 12, 14], **answers})
    cohort = ko.Cohort.from_frames(doses, forms)
    # Three blank answers are one too many; two take the mean of the other seven.
    assert cohort.problems[["row", "column", "rule"]].values.tolist() == [[3, "phq9", "D23"]]
    assert cohort.scores["score"].tolist()[0::2] == [18, 18]
    assert pd.isna(cohort.scores["score"].iloc[1])


@pytest.mark.parametrize(("gate", "eligible"), [(None, 1), (0, 2), (8, 1)])
def test_a_gate_of_0_lets_everyone_in_where_lower_is_worse_too(
    tmp_path: Path, gate: int | None, eligible: int
) -> None:
    """A score of well-being from 0 to 25, cited gate 10: 7 passes it, 20 does not."""
    (tmp_path / "well.toml").write_text(
        '[instrument]\nid = "well"\ntitle = "Well"\nitems = 0\nrange = [0, 25]\nworse = "lower"\ngate = 10\n'
        'recall_days = 14\n[cites]\nscoring = "house"\nmissing_items = "house"\nrecall_days = "house"\n'
        'gate = "house"\n[[criteria]]\nshort = "ge13"\ntitle = "13 or higher"\nrule = "at_most"\nvalue = 13\n'
        'cite = "house"\n'
    )
    baseline = {} if gate is None else {"gate": {"well": gate}}
    plan = ko.Plan(folders=(str(tmp_path),), criteria={"primary": ("well_ge13",)}, baseline=baseline)
    doses, _, _ = frames()
    scores = pd.DataFrame({"patient": ["a", "b"], "day": [0, 0], "well": [7, 20]})
    study = ko.Study(ko.Cohort.from_frames(doses, scores, plan=plan))
    assert int(study.baselines["eligible"].sum()) == eligible


# Words nearly right


def test_a_criterion_that_is_none_is_answered_with_what_was_meant() -> None:
    study = ko.Study(ko.Cohort.from_frames(*frames(cut_day=[90, 90])))
    for asked, answer in [
        ("phq9", "that is an instrument: write one of its criteria, such as 'phq9_response50'"),
        ("phq9_respons50", "did you mean 'phq9_response50'?"),
        ("response", "did you mean 'response50' or "),
        ("whatever", r"plan.explain\('phq9'\) lists"),
    ]:
        with pytest.raises(ValueError, match=answer):
            study.rates(at="end", criteria=asked)
    with pytest.raises(ValueError, match=r'"response"; did you mean "gad7_response50" or '):
        parse_plan('[criteria]\nprimary = ["response"]')


@pytest.fixture(scope="module")
def study() -> ko.Study:
    return ko.Study(ko.load_sample(), as_of="2026-10")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (lambda s: ko.Study("visits.csv"), r'cohort must be a Cohort, not str; write ko.read\("visits.csv"'),
        (lambda s: ko.Study(s.cohort, plan="plan.toml"), r'plan must be a Plan.*ko.read_plan\("plan.toml"\)'),
        (lambda s: ko.read("visits.csv", "plan.toml"), r'plan must be a Plan.*ko.read_plan\("plan.toml"\)'),
        (lambda s: ko.read(pd.DataFrame()), "named by their paths, not a DataFrame; .*Cohort.from_frames"),
        (lambda s: ko.Cohort.from_frames({"patient": ["a"]}), "doses must be a DataFrame, not dict"),
        (lambda s: s.plan.replace(basline={}), "basline is no section of the plan; did you mean baseline"),
        (lambda s: s.tally(tables=("point",)), "tables must be one of flow, points, .*; got 'point'"),
        (lambda s: s.rates(level=95), "level must lie between 0 and 1, for example 0.95; got 95"),
        (lambda s: s.rates(interval="wald"), "interval must be one of wilson, .*; got 'wald'"),
        (lambda s: s.rates(analysis="itt"), "analysis must be one of nri, .*; got 'itt'"),
        (lambda s: s.plot.timeline("nobody"), r"this good-time table holds 0; study.good_time\(\) lists"),
        (lambda s: s.plan.explain("phq9_respons50"), "did you mean phq9_response50?"),
        (lambda s: ko.show(s.flow(), "m"), "no column 'm'; the table has unit, instrument"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(
    study: ko.Study, asked: Callable[[ko.Study], object], answer: str
) -> None:
    with pytest.raises(PlainError, match=answer) as refused:
        asked(study)
    # A notebook shows these lines in place of a traceback.
    assert refused.value._render_traceback_() == [f"{type(refused.value).__name__}: {refused.value}"]


def test_a_table_and_a_measure_can_be_explained(study: ko.Study) -> None:
    told = str(study.plan.explain("rates"))
    assert told.startswith("table rates: one row per instrument, criterion, kind, analysis, group and point")
    assert "  due: " in told
    assert str(study.plan.explain("cms159")).startswith("cms159: Depression remission at twelve months")


# How things look


def test_a_table_is_shown_as_it_is_read() -> None:
    table = pd.DataFrame(
        {
            "site": ["a<b", None],
            "n": [1234.0, 12],
            "rate": [0.381, 0.999],
            "low": [0.002, float("nan")],
            "difference": [0.11, -0.0001],
            "mean": [18.46, 9.0],
        }
    )
    assert repr(ko.show(table)).splitlines() == [
        "site      n   rate   low  difference  mean",
        "a<b   1,234   38 %  <1 %      +11 pp  18.5",
        "         12  >99 %             +0 pp     9",
    ]
    assert repr(ko.show(table, "rate", "low", decimals=1)).splitlines()[1] == "38.1 %  0.2 %"
    # An interval of something that is no share is no percentage.
    assert repr(ko.show(table.drop(columns="rate"), "low")).splitlines()[1] == "0.00200"
    pivoted = table.set_index("site")[["low", "mean"]]
    assert repr(ko.show(pivoted, percent=["low"])).splitlines()[0] == "site   low  mean"
    shown = ko.show(table)._repr_html_()
    assert "a&lt;b" in shown
    assert "a<b" not in shown


def test_a_study_names_itself_in_one_short_line(study: ko.Study) -> None:
    assert repr(study) == "Study(as of 2026-10-31; 1,200 patients, 11,256 doses; plan c97b8889814e)"
    assert "<script" not in study._repr_html_()


def test_the_verbs_and_figures_can_be_completed_and_are_typed(study: ko.Study) -> None:
    assert {"rates", "curve", "good_time_summary", "table1", "plot"} <= set(dir(study))
    assert {"rates", "curve", "flow", "waterfall"} <= set(dir(study.plot))
    assert {"read", "show", "Study", "suggest_plan"} <= set(dir(ko))
    assert (Path(ko.__file__).parent / "py.typed").exists()


def test_somebody_without_any_record_has_no_day_0():
    days = pd.to_datetime(["2026-01-01", "2026-01-04"])
    doses = pd.DataFrame({"patient": "a", "date": days, "dose": 35, "unit": "mg", "route": "iv"})
    scores = pd.DataFrame({"patient": "a", "instrument": "phq9", "date": days, "score": [20, 8]})
    people = pd.DataFrame({"patient": ["a", "b"], "cut_date": pd.to_datetime(["2026-06-01"] * 2)})
    cohort = ko.Cohort.from_frames(doses, scores, people)
    assert cohort.people["start_date"].isna().tolist() == [False, True]
    assert cohort.people["cut_day"].iloc[0] == 151
    assert cohort.problems.empty
    flow = ko.Study(cohort, as_of="2026-02-20").flow()
    assert flow[flow["unit"] == "patient"][["reason", "n"]].to_numpy().tolist() == [
        ["no_dose", 1], ["with_course", 1],
    ]  # fmt: skip
