"""The command line: exit codes, what goes where, and that no cell's value ever leaves it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from intake_files import GOOD, HEADER, ROWS, plan_of, table

import ketaoutcomes as ko
from ketaoutcomes import cli
from ketaoutcomes.commands import group as commands
from ketaoutcomes.commands.explain import explanation
from ketaoutcomes.intake.rules import rules
from ketaoutcomes.intake.suggest import suggest_plan
from ketaoutcomes.plan import parse_plan
from ketaoutcomes.records.cohort import InputRefused

CANARY = "Zq7canary"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory holding one good file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_bytes(GOOD)
    return tmp_path


def run(*arguments: str) -> int:
    """Run the command line in this process."""
    return cli.main(list(arguments))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "in.csv"], 0),
        (["check"], 2),
        (["chekc", "in.csv"], 2),
        ([], 2),
        (["check", "in.csv", "--plan", "absent.toml"], 2),
        (["check", "in.csv", "--plan", "wrong.toml"], 2),
        (["check", "absent.csv"], 3),
        (["check", "tabs.csv"], 3),
        (["check", "holes.csv"], 4),
        (["check", "holes.csv", "-q"], 4),
        (["report", "in.csv"], 2),
        (["report", "in.csv", "--out", "out", "--month", "2026-13"], 2),
        (["report", "in.csv", "--out", "out", "--month", "2026-10", "--as-of", "2026-10-31"], 2),
        (["report", "tabs.csv", "--out", "out"], 3),
        (["report", "in.csv", "--out", "in.csv"], 6),
        (["init"], 0),
        (["init", "--out", "in.csv"], 6),
        (["init", "--from", "tabs.csv", "--out", "-"], 0),
        (["init", "--from", "absent.csv"], 3),
        (["explain", "c07"], 0),
        (["explain", "phq9"], 0),
        (["explain", "nothing"], 2),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else str(value),
)
def test_how_a_command_ends(
    arguments: list[str], code: int, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "tabs.csv").write_bytes(GOOD.replace(b",", b"\t"))
    (here / "holes.csv").write_bytes(table(*ROWS, "c,soon,0.5,mg/kg,iv,18"))
    (here / "wrong.toml").write_text("[rates]\nintervall = 1\n")
    assert run(*arguments) == code
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    assert code != 0 or err == "" or arguments[0] == "init"


def test_help_is_what_click_would_print() -> None:
    made = CliRunner().invoke(commands.group, ["--help"], prog_name="ketaoutcomes", terminal_width=80)
    assert made.output == cli.HELP


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_asking_for_help_imports_no_library(argument: str) -> None:
    code = (
        "import sys; from ketaoutcomes.cli import main; main(sys.argv[1:]); "
        "sys.exit(sum(name in sys.modules for name in ('numpy', 'pandas', 'scipy', 'matplotlib', 'click')))"
    )
    done = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ketaoutcomes" in done.stdout


def test_check_writes_nothing_and_json_is_one_document(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = sorted(here.iterdir())
    assert run("check", "in.csv", "--json") == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert err == ""
    assert found["files"][0]["rows"] == 4
    assert found["refused"] is False
    assert sorted(here.iterdir()) == before


def test_check_tells_a_refusal_as_json_too(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (here / "in.csv").write_bytes(GOOD.replace(b",", b";"))
    assert run("check", "in.csv", "--json") == 3
    found = json.loads(capfd.readouterr().out)
    assert found["refused"] is True
    assert [problem["rule"] for problem in found["problems"]] == ["A09"]


def test_quiet_success_is_silent(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("check", "in.csv", "-q") == 0
    assert capfd.readouterr() == ("", "")


def test_a_bug_is_told_by_its_place_alone(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ketaoutcomes import intake

    def broken(*_: object) -> None:
        raise KeyError(CANARY)

    monkeypatch.setattr(intake, "_check_tables", broken)
    assert run("check", "in.csv") == 1
    out, err = capfd.readouterr()
    assert re.fullmatch(
        r"internal error \(please report\) at ketaoutcomes\.intake\.__init__:\d+ \(KeyError\)\n", err
    )
    assert CANARY not in out + err


def test_an_interrupted_run_says_so(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ketaoutcomes import intake

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(intake, "_check_tables", interrupted)
    assert run("check", "in.csv") == 130
    assert capfd.readouterr().err.strip() == "interrupted"


# No cell's value, ever

CLEAN = "patient,day,timing,dose,unit,route,site,protocol,weight_kg,target_dose,days,phq9,phq9x,sex"
ROW = ["a", "0", "pre", "0.5", "mg/kg", "iv", "north", "iv6", "80", "0.5", "1", "18", "x", "f"]


def planted() -> dict[str, bytes]:
    """Files with a canary in every cell of every column in turn, and in damaged places."""
    files = {}
    for column, name in enumerate(CLEAN.split(",")):
        row = [CANARY if i == column else cell for i, cell in enumerate(ROW)]
        lines = [",".join(ROW), ",".join(row), ",".join([*ROW[:1], "3", *ROW[2:]])]
        files[f"cell {name}"] = table(*lines, header=CLEAN)
    files["every cell"] = table(",".join([CANARY] * len(ROW)), header=CLEAN)
    files["no header"] = table(",".join([CANARY, *ROW[1:]]), header=",".join([CANARY, *ROW[1:]]))
    files["short row"] = table(*ROWS, CANARY)
    files["long row"] = table(*ROWS, ",".join([CANARY] * 9))
    files["open quote"] = table(*ROWS, f'"{CANARY},0')
    files["not UTF-8"] = table(*ROWS) + CANARY.encode() + b"\xff,0,0.5,mg/kg,iv,18\n"
    files["NUL"] = table(*ROWS) + CANARY.encode() + b"\0,0,0.5,mg/kg,iv,18\n"
    files["ambiguous date"] = (
        GOOD.replace(b"day", b"date")
        .replace(b",0,", b",03/04/2025,")
        .replace(b"a,3", CANARY.encode() + b",3")
    )
    files["e-mail"] = table(*(f"{CANARY}@example.org{row[1:]}" for row in ROWS))
    files["rounded code"] = table("1.23457E+15,0,0.5,mg/kg,iv,18").replace(b"18", CANARY.encode())
    files["title"] = f"{CANARY}\n".encode() + GOOD
    files["conflict"] = table(*ROWS, f"{CANARY},4,,,,11", f"{CANARY},4,,,,12")
    files["other delimiter"] = GOOD.replace(b",", b";").replace(b"a;", CANARY.encode() + b";")
    return files


@pytest.mark.parametrize("name", planted())
@pytest.mark.parametrize(
    "arguments", [["check"], ["check", "--json"], ["report", "--out", "out"]], ids=" ".join
)
def test_no_cell_ever_stands_in_a_message(
    name: str, arguments: list[str], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "in.csv").write_bytes(planted()[name])
    (here / "plan.toml").write_text(
        '[columns]\ncovariates = ["sex"]\n' if name.startswith(("cell", "every")) else "[columns]\n"
    )
    code = run(*arguments, "in.csv", "--plan", "plan.toml")
    out, err = capfd.readouterr()
    assert code in (0, 2, 3, 4)
    assert CANARY not in out + err
    assert CANARY.casefold() not in (out + err).casefold()


@pytest.mark.parametrize("name", planted())
def test_no_cell_ever_stands_in_an_error_of_the_library(name: str, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(planted()[name])
    plan = plan_of('covariates = ["sex"]' if name.startswith(("cell", "every")) else "")
    told = ""
    try:
        cohort = ko.read(tmp_path / "in.csv", plan)
        told = cohort.problems.to_string() + repr(cohort)
    except InputRefused as error:
        told = f"{error!r} {error} {error.__cause__!r} {error.problems.to_string()}"
    assert CANARY.casefold() not in told.casefold()


# init --from and explain

CLINIC = """\
PatID,Patient Name,Visit Date,Drug,Ketamine Dose (mg),Status,PHQ-9 Total,PCL5_Q1,phq9_10,Sex,Ward,Notes
007,x,13/04/2025,Ketamine IV,35,Completed,18,1,0,f,2,y
008,x,02/05/2025,Spravato,56,No show,12,1,0,m,2,y
009,x,02/05/2025,Consult,0,Completed,12,1,0,m,2,y
"""


def test_init_maps_drops_or_asks_about_every_header(tmp_path: Path) -> None:
    path = tmp_path / "clinic.csv"
    path.write_text(CLINIC)
    text = suggest_plan(path)
    columns = tomllib.loads(text)["columns"]
    assert columns["patient"] == "PatID"
    assert columns["date"] == "Visit Date"
    assert columns["date_format"] == "DD/MM/YYYY"
    assert columns["phq9"] == "PHQ-9 Total"
    assert columns["pcl5_1"] == "PCL5_Q1"
    assert columns["dose"] == "Ketamine Dose (mg)"
    assert columns["unit"] == {"value": "mg"}
    assert columns["route"] == {
        "from": "Drug",
        "map": {"Ketamine IV": "iv", "Spravato": "intranasal", "Consult": "?"},
    }
    assert columns["drop"] == ["Patient Name", "phq9_10", "Notes"]
    assert columns["covariates"] == ["Sex"]
    assert '# keep = { Status = ["Completed", "No show"] }' in text
    assert '# "Ward": not used' in text
    for header in CLINIC.splitlines()[0].split(","):
        assert f'"{header}"' in text or f"{header} =" in text
    for code in ("007", "008", "009"):
        assert code not in text
    parse_plan(text)


def numbered(stem: str, items: int) -> bytes:
    """A file whose items are called PHQ1 to PHQ9: the last like the instrument itself."""
    names = ",".join(f"{stem}{i + 1}" for i in range(items))
    return f"patient,day,dose,unit,route,{names}\na,0,0.5,mg/kg,iv{',1' * items}\n".encode()


@pytest.mark.parametrize(
    ("stem", "items", "meant"),
    [("PHQ", 9, "phq9"), ("phq_", 8, "phq8"), ("GAD-", 7, "gad7"), ("PCL", 20, "pcl5"), ("PHQ", 4, None)],
)
def test_an_item_called_like_an_instrument_is_not_taken_for_its_total(
    stem: str, items: int, meant: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(numbered(stem, items))
    columns = tomllib.loads(suggest_plan(path))["columns"]
    mapped = {name: source for name, source in columns.items() if name.startswith(("phq", "gad", "pcl"))}
    assert mapped == {f"{meant}_{i + 1}": f"{stem}{i + 1}" for i in range(items) if meant}


@pytest.mark.parametrize(("stem", "items"), [("PHQ", 9), ("gad", 7), ("PCL", 20), ("HAMD", 17), ("phq", 10)])
def test_numbered_columns_are_refused_with_the_lines_to_write(stem: str, items: int, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(numbered(stem, items))
    with pytest.raises(InputRefused, match=f"write .* = .{stem}") as refused:
        ko.read(path, plan_of(""))
    assert set(refused.value.problems["rule"]) == {"G13"}


def test_numbered_items_are_read_once_the_plan_says_so(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(numbered("PHQ", 9))
    items = "\n".join(f'phq9_{i} = "PHQ{i}"' for i in range(1, 10))
    assert ko.read(path, plan_of(items)).scores["score"].tolist() == [9]
    assert ko.read(path, plan_of('phq9 = "PHQ9"\ndrop = ["PHQ8"]')).scores["score"].tolist() == [1]


def test_init_fills_the_empty_file_a_shell_has_made_for_it(here: Path) -> None:
    # `ketaoutcomes init --from in.csv > plan.toml`: the shell makes the file before the command begins.
    (here / "plan.toml").touch()
    assert run("init", "--from", "in.csv") == 0
    parse_plan((here / "plan.toml").read_text())
    assert run("init", "--from", "in.csv") == 6


def test_init_declares_what_a_refusal_would_ask_for(tmp_path: Path) -> None:
    path = tmp_path / "clinic.csv"
    path.write_bytes("Report of März\nPatID;Tag;Dosis;PHQ-9\n1;0;0,5;18\n2;0;0,5;18\n".encode("latin-1"))
    columns = tomllib.loads(suggest_plan(path))["columns"]
    assert {name: columns[name] for name in ("encoding", "delimiter", "decimal", "skip_rows")} == {
        "encoding": "latin-1",
        "delimiter": ";",
        "decimal": ",",
        "skip_rows": 1,
    }


def test_init_gives_each_file_its_names_where_they_differ(tmp_path: Path) -> None:
    doses, scores = tmp_path / "doses.csv", tmp_path / "scores.csv"
    doses.write_text("PatID,Day,Dose,Unit,Route\na,0,0.5,mg/kg,iv\n")
    scores.write_text("Code,StudyDay,PHQ9\na,0,18\n".replace("Code", "patient_id"))
    plan = parse_plan(suggest_plan([doses, scores]))
    cohort = ko.read([doses, scores], plan)
    assert len(cohort.doses) == len(cohort.scores) == 1


def test_a_plan_from_our_own_names_reads_the_file(here: Path) -> None:
    assert run("init", "--from", "in.csv", "-q") == 0
    assert run("check", "in.csv", "--plan", "plan.toml", "-q") == 0


def test_explain_knows_every_rule_and_names_sources(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    definitions = plan_of().definitions
    for code in rules():
        assert explanation(code, definitions)
    for name in (*definitions.criteria, *definitions.instruments, *definitions.protocols):
        assert explanation(name, definitions)
    assert run("explain", "phq9_response50") == 0
    assert "Source: " in capfd.readouterr().out


def test_headers_are_named_and_header_only_files_are_refused(
    here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "in.csv").write_bytes((HEADER + "\n").encode())
    assert run("check", "in.csv") == 3
    assert "[A07]" in capfd.readouterr().err
