"""The commands for those who answer for a report: `verify` one, and print the `worklist` of patients."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ketaoutcomes.commands.group import (
    AS_OF,
    DONE,
    INPUTS,
    MONTH,
    PLAN,
    QUIET,
    REFUSED,
    as_of_day,
    group,
    plan_from,
    say,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd


@group.command(short_help="Print whose course to look at: row by row, internal.")
@INPUTS
@PLAN
@MONTH
@AS_OF
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of CSV.")
@QUIET
def worklist(
    inputs: tuple[str, ...],
    plan_path: str | None,
    month: str | None,
    as_of: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Print whose course to look at, as CSV: the only command whose output names patients.

    Reasons, gravest first: the last answer to the safety item is above 0 and no score has followed; worse
    than at baseline; not better after session 4; no score since the last session; treatment lapsed. Internal,
    and not an alert: it shows only what is on record.
    """
    import ketaoutcomes as ko
    from ketaoutcomes.rows.worklist import NOTE, REASONS

    day = as_of_day(month, as_of)
    study = ko.Study(ko.read(list(inputs), plan_from(plan_path)), as_of=day)
    table = study.worklist()
    if as_json:
        rows = json.loads(table.to_json(orient="records"))
        content = {"schema": 1, "as_of": study.as_of, "note": NOTE, "reasons": REASONS, "rows": rows}
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(as_csv(table), nl=False)
    if not quiet:
        patients = table["patient"].nunique()
        click.echo(f"{NOTE} As of {study.as_of}: {patients:,} patients, {len(table):,} rows.", err=True)
    return DONE


def as_csv(table: pd.DataFrame) -> str:
    """A table as CSV. Text a spreadsheet would take for a formula is led by an apostrophe.

    >>> import pandas as pd
    >>> as_csv(pd.DataFrame({"patient": ["=1+1", "P2"], "days": [-1, 2]}))
    "patient,days\\n'=1+1,-1\\nP2,2\\n"
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.astype(object).to_numpy().tolist():
        writer.writerow([_text(value) for value in row])
    return out.getvalue()


def _text(value: Any) -> Any:
    if value is None or value != value:
        return ""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r\0" and value else value


@group.command(short_help="Say whether a report is still as it was written.")
@click.argument("folder", metavar="DIR", type=click.Path())
@click.argument("inputs", nargs=-1, metavar="[INPUT]...", type=click.Path())
@PLAN
@click.option("--previous", metavar="DIR", type=click.Path(), help="The report that this one followed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@QUIET
def verify(
    folder: str,
    inputs: tuple[str, ...],
    plan_path: str | None,
    previous: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Re-hash a report's files against its manifest; with the INPUT files, compute it again and compare.

    The report it followed is checked, too, where it stands beside it or --previous names it. Ends with 3
    where a byte has changed or the numbers come out differently.
    """
    from ketaoutcomes.report.audit import NotAReport, changed_files, followed, manifest_of

    try:
        found = changed_files(folder)
        manifest = manifest_of(folder)
        before, wrong = followed(folder, previous)
        found += wrong
    except NotAReport as error:
        return say(str(error), REFUSED, as_json=as_json)
    again = bool(inputs) and not found
    if again:
        found = _recomputed(Path(folder), manifest, inputs, plan_path, previous)
    if as_json:
        content = {"schema": 1, "folder": folder, "as_written": not found, "computed_again": again}
        content["follows"] = before or None
        click.echo(json.dumps({**content, "found": found}, indent=1))
        return REFUSED if found else DONE
    if found:
        return say("\n".join(found), REFUSED)
    if not quiet:
        same = ", and the inputs give the same report again" if again else ""
        beside = f"; so is {before}, which it followed" if before else ""
        click.echo(f"{folder}: every file is as it was written{same}{beside}", err=True)
    return DONE


def _recomputed(
    folder: Path,
    manifest: dict[str, Any],
    inputs: tuple[str, ...],
    plan_path: str | None,
    previous: str | None,
) -> list[str]:
    """How a report differs from what its inputs give now; nothing where it does not."""
    import ketaoutcomes as ko
    from ketaoutcomes.report.audit import follows_another
    from ketaoutcomes.report.folder import PDF
    from ketaoutcomes.report.meta import versions

    plan = plan_from(plan_path)
    cohort = ko.read(list(inputs), plan, keep_going=bool(manifest.get("left_out")))
    differ = []
    read = sorted(source.sha256 for source in cohort.sources)
    if read != sorted(one["sha256"] for one in manifest["inputs"]):
        differ.append("these are not the input files the report was made from")
    if plan.hash != manifest["plan"]["sha256"]:
        differ.append("this is not the plan the report was made by")
    if follows_another(folder) != (previous is not None):
        follows = "an earlier one: name its folder" if previous is None else "no other: leave it out"
        differ.append(f"the report follows {follows}, --previous")
    if differ:
        return differ
    dated = str(manifest["as_of"])[:1].isdigit()
    study = ko.Study(cohort, as_of=manifest["as_of"] if dated else None)
    with tempfile.TemporaryDirectory() as place:
        again = Path(place) / "again"
        study.report(again, audience=manifest["audience"], previous=previous, pdf=PDF in manifest["outputs"])
        names = sorted(set(manifest["outputs"]))
        differ = [name for name in names if not _same(folder / name, again / name)]
    if not differ:
        return []
    now = versions()
    newer = [f"{name} {was} then, {now.get(name)} now" for name, was in sorted(manifest["versions"].items())
             if now.get(name) != was]  # fmt: skip
    why = f" (versions differ: {'; '.join(newer)})" if newer else ""
    return [f"computed again, {', '.join(differ)} comes out differently{why}"]


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()
