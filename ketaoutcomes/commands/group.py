"""The commands before a report, and how all commands end: no traceback, no cell's value in any message."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from ketaoutcomes import __version__
from ketaoutcomes.notices import Notice
from ketaoutcomes.progress import quiet

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.intake import Intake
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.records.cohort import Cohort, InputRefused

DONE, BUG, USAGE, REFUSED, TOO_MUCH_SET_ASIDE, DISCLOSURE, CANNOT_WRITE, INTERRUPTED = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    130,
)
FIRST_ROWS = 5
INPUTS = click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path())
PLAN = click.option(
    "--plan", "plan_path", metavar="PLAN", type=click.Path(), help="The plan to read by (TOML)."
)
MONTH = click.option("--month", metavar="YYYY-MM", help="As of the last day of a month.")
AS_OF = click.option(
    "--as-of", metavar="YYYY-MM-DD", help="As of a day. With neither, the last date on record."
)
QUIET = click.option("-q", "--quiet", is_flag=True, help="Say nothing where nothing is wrong.")


@click.group(
    help="Response and remission across ketamine sessions, from de-identified scores.\n\n"
    "Exit codes: 0 done; 2 usage or plan; 3 input refused; 4 done, but more rows were set aside than the "
    "threshold allows; 5 disclosure refused; 6 cannot write; 1 is a bug.",
    context_settings={"help_option_names": ["--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="ketaoutcomes", message="%(prog)s %(version)s")
def group() -> None:
    """The commands."""


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Whatever goes wrong is one plain message on stderr."""
    importlib.import_module("ketaoutcomes.commands.report")  # these add their commands to the group
    importlib.import_module("ketaoutcomes.commands.audit")
    before, as_json = os.umask(0o077), "--json" in arguments
    try:
        with warnings.catch_warnings():
            # A warning of a library may quote the data it is about; ours never does.
            warnings.simplefilter("ignore")
            warnings.simplefilter("once", Notice)
            warnings.showwarning = _show_notice
            with quiet(as_json or bool({"-q", "--quiet"} & set(arguments))):
                return _ended(group.main(list(arguments), prog_name="ketaoutcomes", standalone_mode=False))
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        return say("interrupted", INTERRUPTED, as_json=as_json)
    except click.ClickException as error:
        error.show()
        return _as_document(error.format_message(), USAGE) if as_json else USAGE
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123  nobody reads on; nothing may fail at exit
        return DONE
    except MemoryError:
        said = "not enough memory; split the input by patient and add the parts' tallies"
        return say(said, REFUSED, as_json=as_json)
    except Exception as error:
        return _failed(error, as_json)
    finally:
        os.umask(before)


def _show_notice(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of ours as one line on standard error."""
    click.echo(f"warning: {message}", err=True)


def _ended(code: object) -> int:
    return code if isinstance(code, int) else DONE


def say(text: str, code: int, *, as_json: bool = False) -> int:
    """Say why a command ends with a code: on standard error, and as a document where one was asked for."""
    click.echo(text, err=True)
    return _as_document(text, code) if as_json else code


def _as_document(text: str, code: int) -> int:
    click.echo(json.dumps({"schema": 1, "error": text, "exit_code": code}, indent=1))
    return code


KINDS = (
    ("ketaoutcomes.records.cohort", "InputRefused", REFUSED),
    ("ketaoutcomes.plan", "PlanError", USAGE),
    ("ketaoutcomes.definitions", "DefinitionError", USAGE),
    ("ketaoutcomes.disclosure", "DisclosureError", DISCLOSURE),
    ("ketaoutcomes.report", "CannotWrite", CANNOT_WRITE),
    ("ketaoutcomes.report.pdf", "NoPdf", USAGE),
    ("ketaoutcomes.report.previous", "NoPreviousReport", USAGE),
)
"""Every error meant for the user: its module, its name, the exit code it leads to."""


def _failed(error: Exception, as_json: bool) -> int:
    """An error of ours by its exit code; any other is a bug, told by its place alone."""
    for module, name, code in KINDS:
        kind = getattr(sys.modules.get(module), name, None)  # a module not loaded has raised nothing
        if kind is not None and isinstance(error, kind):
            return say(f"refused:\n{error}" if code == REFUSED else str(error), code, as_json=as_json)
    return say(f"internal error (please report) at {_place(error)}", BUG, as_json=as_json)


def _place(error: Exception) -> str:
    """Where in this package an error arose, as module:line. Nothing the error says: it may quote a cell."""
    home = str(Path(__file__).parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(home)]
    if not frames:
        return f"an unknown place ({type(error).__name__})"
    inside = Path(frames[-1].filename).relative_to(Path(home).parent).with_suffix("")
    return f"{'.'.join(inside.parts)}:{frames[-1].lineno} ({type(error).__name__})"


def plan_from(path: str | None) -> Plan:
    """The plan of a file given on the command line, or the default plan; its mistakes end the command."""
    from ketaoutcomes.plan import Plan, read_plan

    if path is None:
        return Plan()
    try:
        return read_plan(path)
    except OSError:
        raise click.ClickException(f"the plan {path} cannot be read") from None


def progress(text: str, quiet: bool) -> None:
    """A word on a terminal about what is going on; nothing anywhere else."""
    if not quiet and sys.stderr.isatty():
        click.echo(text, err=True)


@group.command(short_help="Write a commented plan.toml, from the headers of files if given.")
@click.option(
    "--from",
    "inputs",
    multiple=True,
    metavar="INPUT",
    type=click.Path(),
    help="A file to write the plan for.",
)
@click.argument("more", nargs=-1, metavar="[INPUT]...", type=click.Path())
@click.option(
    "--out", default="plan.toml", show_default=True, help="Where to write it; - for standard output."
)
@click.option("--force", is_flag=True, help="Replace a plan that is there.")
@QUIET
def init(inputs: tuple[str, ...], more: tuple[str, ...], out: str, force: bool, quiet: bool) -> int:
    """Write a commented plan, every line showing its default.

    With --from, each header of the files is mapped, dropped because it looks like an identifier, or asked
    about in a comment.
    """
    from ketaoutcomes.plan import default_plan_text

    if more and not inputs:
        raise click.UsageError("name input files after --from")
    if inputs:
        from ketaoutcomes.intake.suggest import suggest_plan

        text = suggest_plan([*inputs, *more])
    else:
        text = default_plan_text()
    if out == "-":
        click.echo(text, nl=False)
        return DONE
    try:
        # An empty file holds nothing to lose: the shell has made it where output is sent there with `>`.
        empty = Path(out).is_file() and not Path(out).stat().st_size
        with Path(out).open("w" if force or empty else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return say(
            f"{out} is there already; give --force to replace it, or --out for another name", CANNOT_WRITE
        )
    except OSError:
        return say(f"{out} cannot be written", CANNOT_WRITE)
    if not quiet:
        click.echo(
            f"wrote {out}; look through [columns], then run: ketaoutcomes check INPUT... --plan {out}",
            err=True,
        )
    return DONE


@group.command(short_help="Say what reading the INPUT files would do; write nothing.")
@INPUTS
@PLAN
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@QUIET
def check(inputs: tuple[str, ...], plan_path: str | None, as_json: bool, quiet: bool) -> int:
    """Say what reading the INPUT files would do: rows by outcome, problems by rule, columns used.

    Writes nothing. Ends with 3 where the input is refused, with 2 where the plan does not fit what was read,
    with 4 where too many rows would be set aside.
    """
    from ketaoutcomes.intake import THRESHOLD, quarantined_share, take_in
    from ketaoutcomes.records.cohort import InputRefused

    plan = plan_from(plan_path)
    progress(f"reading {', '.join(inputs)} ...", quiet or as_json)
    try:
        intake = take_in(list(inputs), plan)
    except InputRefused as refused:
        if as_json:
            click.echo(json.dumps(_refusal(refused), indent=1, ensure_ascii=True))
        else:
            click.echo(f"refused:\n{refused}", err=True)
        return REFUSED
    share = quarantined_share(intake.cohort)
    unfit = _unfit(intake.cohort)
    code = USAGE if unfit else TOO_MUCH_SET_ASIDE if share > THRESHOLD else DONE
    if as_json:
        findings = {**_findings(intake, share), "report_refused": unfit}
        click.echo(json.dumps(findings, indent=1, ensure_ascii=True))
    elif not quiet or code:
        click.echo(_in_words(intake, share))
        if unfit:
            click.echo("\n".join(["", "Read, but a report would be refused:", *unfit]))
    return code


def _unfit(cohort: Cohort) -> list[str]:
    """Why the plan does not fit what was read, for which a report would be refused; empty where it does."""
    from ketaoutcomes.per_patient.patients import record_dates
    from ketaoutcomes.plan import PlanError
    from ketaoutcomes.study import Study

    dates = record_dates(cohort)
    try:
        # As of the last date, lone or not: a report may be given another. Finding every course tells whether
        # each has a protocol.
        Study(cohort, dates[1] if dates else None).flow()
    except PlanError as error:
        return list(error.lines)
    return []


def _refusal(refused: InputRefused) -> dict[str, Any]:
    return {
        "schema": 1,
        "refused": True,
        "messages": list(refused.messages),
        "problems": _by_rule(refused.problems),
    }


def _findings(intake: Intake, share: float) -> dict[str, Any]:
    """Everything `check` found, as one JSON document."""
    from ketaoutcomes.intake import THRESHOLD
    from ketaoutcomes.per_patient.patients import record_dates

    cohort = intake.cohort
    files = [
        {
            "name": source.name,
            "sha256": source.sha256,
            "rows": source.rows,
            **intake.columns.get(source.name, {}),
        }
        for source in cohort.sources
    ]
    return {
        "schema": 1,
        "refused": False,
        "dates": cohort.dates,
        "record_dates": record_dates(cohort),
        "files": files,
        "ledger": json.loads(cohort.ledger.to_json(orient="records")),
        "problems": _by_rule(cohort.problems),
        "notes": list(intake.notes),
        "quarantined_share": share,
        "threshold": THRESHOLD,
    }


def _by_rule(problems: pd.DataFrame) -> list[dict[str, Any]]:
    """Problems counted by file, column and rule, with the first rows of each."""
    from ketaoutcomes.intake.rules import rules

    known = rules()
    found: list[dict[str, Any]] = []
    for key, part in problems.groupby(["file", "column", "rule", "action"], sort=True, observed=True):
        file, column, rule, action = (str(one) for one in key)
        rows = sorted({int(row) for row in part["row"].to_numpy() if row > 0})
        title = known[rule].title if rule in known else ""
        found.append(
            {"file": file, "column": column, "rule": rule, "action": action, "title": title}
            | {"n": len(part), "first_rows": rows[:FIRST_ROWS]}
        )
    return found


def _in_words(intake: Intake, share: float) -> str:
    """Everything `check` found, for people."""
    from ketaoutcomes.intake import THRESHOLD
    from ketaoutcomes.per_patient.patients import record_dates

    cohort = intake.cohort
    dates = record_dates(cohort)
    lines = [repr(cohort), *([f"Records from {dates[0]} to {dates[1]}."] if dates else []), ""]
    for source in cohort.sources:
        lines.append(f"{source.name}: {source.rows:,} rows")
        uses = [use.split(" -> ") for use in intake.columns.get(source.name, {}).get("mapped", ())]
        same = [theirs for theirs, ours in uses if theirs == ours]
        lines += [f"  {len(same)} columns by our own names: {', '.join(same)}"] if same else []
        lines += [f"  {ours} = {theirs}" for theirs, ours in uses if theirs != ours]
    lines += ["", *intake.notes] if intake.notes else []
    lines += ["", "What became of the rows:"]
    for file, table, outcome, reason, n in cohort.ledger.to_numpy().tolist():
        why = f" ({reason})" if reason else ""
        lines.append(f"  {file}, {table}: {outcome}{why} {n:,}")
    lines += ["", "Problems:"] if len(cohort.problems) else ["", "No problems."]
    for found in _by_rule(cohort.problems):
        column = f", column {found['column']}" if found["column"] else ""
        rows = ", ".join(str(row) for row in found["first_rows"])
        at = f" (rows {rows}{', ...' if found['n'] > len(found['first_rows']) else ''})" if rows else ""
        lines.append(f"  {found['rule']} {found['action']}: {found['title']}")
        lines.append(f"      {found['n']:,} in {found['file']}{column}{at}")
    if len(cohort.problems):
        lines.append("  `ketaoutcomes explain CODE` says what each rule means and what to do.")
    if share > THRESHOLD:
        lines += ["", f"{share:.1%} of the rows have something set aside: more than {THRESHOLD:.0%}."]
    return "\n".join(lines)


def as_of_day(month: str | None, as_of: str | None) -> str | None:
    """The as-of day two options give between them; None where neither is given."""
    if month and as_of:
        raise click.UsageError("give --month or --as-of, not both")
    _check_day(month, "--month", 7)
    _check_day(as_of, "--as-of", 10)
    return month or as_of


def _check_day(text: str | None, option: str, length: int) -> None:
    import datetime

    if text is None:
        return
    try:
        if len(text) != length:
            raise ValueError
        datetime.date.fromisoformat(text if length == 10 else f"{text}-01")
    except ValueError:
        wanted = "YYYY-MM-DD" if length == 10 else "YYYY-MM"
        raise click.UsageError(f"{option} takes {wanted}") from None


@group.command(short_help="Explain a rule, a criterion, an instrument or a protocol.")
@click.argument("code")
@click.option(
    "--plan", "plan_path", metavar="PLAN", type=click.Path(), help="A plan with definitions of its own."
)
def explain(code: str, plan_path: str | None) -> int:
    """Explain a rule of `check` (C07), a warning (W01), a criterion (phq9_response50), an instrument, a
    protocol, a measure, or the columns of a table (rates)."""
    from ketaoutcomes.commands.explain import explanation, near

    definitions = plan_from(plan_path).definitions
    text = explanation(code, definitions)
    if text is None:
        raise click.UsageError(f"nothing is known by the name {code}{near(code, definitions)}")
    click.echo(text)
    return DONE
