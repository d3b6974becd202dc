"""Faults of bytes, files and structure: rows A and B of the catalogue, each by one small file.

Not here, because workbooks are not read: those halves of A15 and A18. B12 is in test_intake.py.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from intake_files import GOOD, HEADER, ROWS, Outcome, plan_of, read_bytes, read_file, table

from ketaoutcomes.intake import sources


@dataclass(frozen=True)
class Case:
    """One fault: the bytes, the plan's [columns], and what must become of them."""

    content: bytes
    action: str = "accepted"
    rule: str = ""
    rows: list[int] = field(default_factory=list)
    columns: str = ""
    name: str = "in.csv"
    says: str = ""


def zipped(**members: bytes) -> bytes:
    """A zip archive of the given members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), content)
    return out.getvalue()


def evil_zip() -> bytes:
    """An archive whose member would be written outside the folder it is unpacked to."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../evil.csv", GOOD)
    return out.getvalue()


WIDE_CELL = table(*ROWS, f"c,0,0.5,mg/kg,iv,{'9' * 1_000_000}")
MANY_COLUMNS = table("1," * 4999 + "1", header=",".join(f"column{i}" for i in range(5000)))
IN_QUOTES = table(*ROWS[:2], 'b,0,"0.5,mg/kg,iv,20', "b,4,,,,9", "c,0,0.5,mg/kg,iv,20")
LATE_QUOTES = table(*ROWS[:2], 'b,0,"0.5,mg/kg,iv,20', 'c,0,0.5,mg/kg,"iv",20')
LATIN = (
    table(*(f"p{i},0,0.5,mg/kg,iv,18" for i in range(50_000)), "\xe9,0,0.5,mg/kg,iv,18")
    .decode()
    .encode("latin-1")
)

CASES = {
    "A01": Case(b"\xef\xbb\xbf" + GOOD),
    "A02": Case(GOOD.decode().encode("utf-16"), "normalised", "A02", [0]),
    "A02-big-endian": Case(b"\xfe\xff" + GOOD.decode().encode("utf-16-be"), "normalised", "A02", [0]),
    "A02-without-mark": Case(GOOD.decode().encode("utf-16-le"), "refused", "A02"),
    "A04": Case(
        LATIN, "refused", "A04", [50_002], says=f"byte {LATIN.index(0xE9)}; save it as UTF-8, or write"
    ),
    "A04-line": Case(LATIN, "refused", "A04", says='write under [columns]: encoding = "latin-1"'),
    "A04-declared": Case(GOOD.replace(b"b,", b"\xe9,"), columns='encoding = "latin-1"'),
    "A05": Case(GOOD.replace(b"12", b"1\x002"), "quarantined", "A05", [3]),
    "A06": Case(b"", "refused", "A06", [0]),
    "A06-blank-lines": Case(b"\n\n \n", "refused", "A06", [0]),
    "A07": Case(table(), "refused", "A07", [0]),
    "A09": Case(b"id;v\n1;2,5\n", "refused", "A09", [1], says='delimiter = ";" and decimal = ","'),
    "A09-declared": Case(
        GOOD.replace(b".", b"|").replace(b",", b";").replace(b"|", b","),
        columns='delimiter = ";"\ndecimal = ","',
    ),
    "A10": Case(GOOD.replace(b",", b"\t"), "refused", "A10", [1], says='delimiter = "\\t"'),
    "A10-declared": Case(GOOD.replace(b",", b"\t"), columns='delimiter = "\\t"'),
    "A10-tsv": Case(GOOD.replace(b",", b"\t"), name="in.tsv"),
    "A11": Case(IN_QUOTES, "refused", "A11", [4]),
    "A11-closed-by-another": Case(LATE_QUOTES, "refused", "A11", [4]),
    "A12": Case(b"# exported in March\n" + GOOD, "refused", "A12", [1], says="skip_rows = 1"),
    "A12-title-with-delimiters": Case(
        b"Sessions,,,,,\n,,,,,\n" + GOOD, "refused", "A12", [1], says="skip_rows = 2"
    ),
    "A12-declared": Case(b"# exported; in March\n" + GOOD, columns="skip_rows = 1"),
    "A14-gz": Case(gzip.compress(GOOD), name="in.csv.gz"),
    "A14-zip": Case(zipped(in_csv=GOOD), name="in.zip"),
    "A14-truncated": Case(gzip.compress(GOOD)[:-9], "refused", "A14", [0], name="in.csv.gz"),
    "A15": Case(zipped(in_csv=b"0" * 30_000_000), "refused", "A15", [0], name="in.zip"),
    "A15-gz": Case(gzip.compress(b"0" * 30_000_000), "refused", "A15", [0], name="in.csv.gz"),
    "A16": Case(zipped(one_csv=GOOD, two_csv=GOOD), "refused", "A16", [0], name="in.zip"),
    "A16-outside": Case(evil_zip(), "refused", "A16", [0], name="in.zip"),
    "A18-pickle": Case(b"\x80\x04\x95", "refused", "A18", [0]),
    "A18-name": Case(GOOD, "refused", "A18", [0], name="in.pkl"),
    "A18-workbook": Case(zipped(**{"[Content_Types].xml": b"x", "b": b""}), "refused", "A18", [0]),
    "B01": Case(table(*(row + ",1" for row in ROWS)), "refused", "B01", [0]),
    "B02": Case(table(*ROWS, "c,0,0.5,mg/kg,iv,18,extra"), "quarantined", "B02", [6]),
    "B03": Case(table(*ROWS, "c,0,0.5"), "quarantined", "B03", [6]),
    "B04-text-after-quote": Case(table(*ROWS, '"c"x,0,0.5,mg/kg,iv,18'), "quarantined", "B04", [6]),
    "B05": Case(GOOD.replace(b"patient,day", " Patient\u00a0,D\u200bay".encode()), "normalised", "B05", [0]),
    "B05-collide": Case(GOOD.replace(b"day", b"Patient "), "refused", "B05", [1]),
    "B06": Case(
        GOOD.replace(b"patient", b"patient_no"), "refused", "B06", [0], says="patient (near: patient_no)"
    ),
    "B06-plan": Case(GOOD, "refused", "B06", [0], columns='site = "Clinc"', says="Clinc"),
    "B07": Case(
        table("x,1980-01-01," + ROWS[0], header="Patient Name,dob," + HEADER),
        "refused",
        "B07",
        [0],
        says='drop = ["Patient Name", "dob"]',
    ),
    "B07-dropped": Case(
        table(*(f"x,{row}" for row in ROWS), header="Patient Name," + HEADER),
        columns='drop = ["Patient Name"]',
    ),
    "B07-unknown": Case(table(*(f"x,{row}" for row in ROWS), header="ward," + HEADER)),
    "B08": Case(table(ROWS[0], HEADER, *ROWS[1:]), "quarantined", "B08", [3]),
    "B10": Case(table(*(row + "," for row in ROWS), header=HEADER + ","), "normalised", "B10", [0]),
    "B14-columns": Case(MANY_COLUMNS, "refused", "B14", [1], says="2,000"),
    "B14-cell": Case(WIDE_CELL, "refused", "B14", [6], says="100,000"),
    "B15-no-header": Case("\n".join(ROWS).encode() + b"\n", "refused", "B15", [1]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_faulty_file(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    outcome = read_bytes(tmp_path, case.content, case.columns, name=case.name)
    if case.action == "accepted":
        assert (outcome.message, outcome.found) == ("", frozenset())
        assert outcome.cohort is not None
        assert outcome.cohort.scores["score"].sum() == 18 + 12 + 20 + 9
    else:
        assert case.rule in outcome.rules(case.action)
        assert not case.rows or outcome.rows(case.rule) == case.rows
        assert (outcome.cohort is None) == (case.action == "refused")
    assert case.says in outcome.message


def test_a07_an_empty_file_is_accepted_on_request(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(table())
    outcome = read_file(tmp_path / "in.csv", allow_empty=True)
    assert outcome.cohort is not None
    assert len(outcome.cohort.doses) == 0


def test_a19_a_file_beyond_the_cap_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LARGEST", 10)
    assert read_bytes(tmp_path, GOOD).rules("refused") == {"A19"}


def _folder(path: Path) -> Path:
    return path.parent


def _pipe(path: Path) -> Path:
    os.mkfifo(path.with_name("pipe"))
    return path.with_name("pipe")


def _absent(path: Path) -> Path:
    return path.with_name("absent.csv")


@pytest.mark.parametrize(
    "other", [_folder, _pipe, _absent, lambda _: Path(os.devnull)], ids=["folder", "pipe", "absent", "device"]
)
def test_a20_only_files_are_read(other: Callable[[Path], Path], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(GOOD)
    assert read_file(other(tmp_path / "in.csv")).rules("refused") == {"A20"}


def test_a20_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(GOOD)
    (tmp_path / "link.csv").symlink_to(tmp_path / "in.csv")
    direct, linked = (read_file(tmp_path / name).cohort for name in ("in.csv", "link.csv"))
    assert direct is not None
    assert linked is not None
    assert direct.sources[0].sha256 == linked.sources[0].sha256


def test_a21_a_file_that_grows_while_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(GOOD)
    whole = sources.SourceFile._text

    def growing(self: sources.SourceFile, raw: Iterator[bytes]) -> Iterator[bytes]:
        yield from whole(self, raw)
        with path.open("ab") as file:
            file.write(b"z,0,0.5,mg/kg,iv,18\n")

    monkeypatch.setattr(sources.SourceFile, "_text", growing)
    assert read_file(path).rules("refused") == {"A21"}


def test_b13_order_of_rows_and_columns_changes_nothing(tmp_path: Path) -> None:
    straight = read_bytes(tmp_path, GOOD).cohort
    cells = [row.split(",") for row in (HEADER, *ROWS)]
    turned = [",".join(reversed(row)) for row in [cells[0], *reversed(cells[1:])]]
    shuffled = read_bytes(tmp_path, "\n".join(turned).encode()).cohort
    assert straight is not None
    assert shuffled is not None
    for name in ("doses", "scores", "people"):
        assert getattr(straight, name).equals(getattr(shuffled, name))


def test_every_refusal_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_bytes(b"")
    (tmp_path / "two.csv").write_bytes(GOOD.replace(b",", b"\t"))
    outcome = read_file([tmp_path / "one.csv", tmp_path / "two.csv"])
    assert outcome.rules("refused") == {"A06", "A10"}


def test_what_may_not_be_dropped_is_not_dropped(tmp_path: Path) -> None:
    outcome: Outcome = read_bytes(tmp_path, GOOD, 'drop = ["phq9"]')
    assert outcome.rules("refused") == {"B06"}


def test_file_names_are_told_apart(tmp_path: Path) -> None:
    for folder in ("north", "south"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "in.csv").write_bytes(GOOD.replace(b"a,", folder[0].encode() + b","))
    outcome = read_file([tmp_path / "north" / "in.csv", tmp_path / "south" / "in.csv"], plan_of())
    assert outcome.cohort is not None
    assert [source.name for source in outcome.cohort.sources] == ["north/in.csv", "south/in.csv"]
