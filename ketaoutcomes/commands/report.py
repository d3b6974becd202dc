"""The command `report`: writes the report, or says with --dry-run what would be written."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ketaoutcomes.commands.group import (
    AS_OF,
    DONE,
    INPUTS,
    MONTH,
    PLAN,
    QUIET,
    TOO_MUCH_SET_ASIDE,
    as_of_day,
    group,
    plan_from,
    progress,
    say,
)  # fmt: skip

if TYPE_CHECKING:
    from ketaoutcomes.records.cohort import Cohort
    from ketaoutcomes.study import Study

UP_TO_DATE = "up to date"


class Where(NamedTuple):
    """Where a report goes, who reads it, and which one it follows."""

    out: str
    audience: str
    previous: str | None
    pdf: bool
    force: bool

    @property
    def files(self) -> list[str]:
        """The files of the report."""
        from ketaoutcomes.report.folder import FILES, PDF

        return [*FILES, PDF] if self.pdf else list(FILES)


@group.command(short_help="Write the report of the INPUT files to a folder.")
@INPUTS
@PLAN
@click.option(
    "--out", required=True, metavar="DIR", type=click.Path(), help="The folder to write the report to."
)
@MONTH
@AS_OF
@click.option(
    "--audience",
    type=click.Choice(["shared", "internal"]),
    help="shared (protected) unless the plan says so.",
)
@click.option(
    "--previous",
    metavar="DIR",
    type=click.Path(),
    help="The last shared report: this one is protected beside it.",
)
@click.option("--pdf", is_flag=True, help="Write report.pdf, too; needs the extra [pdf].")
@click.option("--force", is_flag=True, help="Write into a folder that holds other files, too.")
@click.option("--keep-going", is_flag=True, help="Leave out files that are refused, say so, and end with 4.")
@click.option("--dry-run", is_flag=True, help="Read, count and protect; say what would be written.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@QUIET
def report(
    inputs: tuple[str, ...],
    plan_path: str | None,
    out: str,
    month: str | None,
    as_of: str | None,
    audience: str | None,
    previous: str | None,
    pdf: bool,
    force: bool,
    keep_going: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Write report.html, email.eml, tables.xlsx, results.json and manifest.json to a folder.

    All five are written or none; the same input gives the same bytes.
    """
    import ketaoutcomes as ko
    from ketaoutcomes.intake import take_in
    from ketaoutcomes.report.folder import hold, refuse
    from ketaoutcomes.report.meta import untested, versions

    day, plan = as_of_day(month, as_of), plan_from(plan_path)
    for newer in untested(versions()):
        click.echo(f"newer than this package was tested with: {newer}", err=True)
    where = Where(out, audience or plan.report.audience, previous, pdf, force)
    with nullcontext() if dry_run else hold(out):
        if dry_run:
            refuse(out, where.files, force=force)
        progress(f"reading {', '.join(inputs)} ...", quiet or as_json)
        study = ko.Study(take_in(list(inputs), plan, keep_going=keep_going).cohort, as_of=day)
        progress(f"as of {study.as_of}; counting ...", quiet or as_json)
        state = _rehearsed(study, where) if dry_run else _written(study, where)
    if as_json:
        click.echo(json.dumps(_document(study, where, state), indent=1))
    elif dry_run:
        click.echo(_in_words(_document(study, where, state)))
    elif not quiet:
        done = f"{out} is up to date" if state == UP_TO_DATE else f"wrote {out}/report.html"
        click.echo(f"{done}, as of {study.as_of}", err=True)
    missing = _incomplete(study.cohort)
    return say(f"{missing}; see: ketaoutcomes check", TOO_MUCH_SET_ASIDE) if missing else DONE


def _written(study: Study, where: Where) -> str:
    from ketaoutcomes.report.folder import written

    before = written(where.out)
    study.report(
        where.out, audience=where.audience, previous=where.previous, pdf=where.pdf, force=where.force
    )
    return UP_TO_DATE if before is not None and written(where.out) == before else "written"


def _rehearsed(study: Study, where: Where) -> str:
    """Everything that may be refused but the writing itself."""
    from ketaoutcomes.published import published
    from ketaoutcomes.report.folder import written

    published(study, audience=where.audience, previous=where.previous)
    return "would be replaced" if written(where.out) else "would be written"


def _document(study: Study, where: Where, state: str) -> dict[str, Any]:
    """What a run did or would do, as one JSON document."""
    from ketaoutcomes.intake import quarantined_share
    from ketaoutcomes.plan.summary import changed

    cohort, plan = study.cohort, study.plan
    return {
        "schema": 1,
        "state": state,
        "out": where.out,
        "files": where.files,
        "as_of": study.as_of,
        "audience": where.audience,
        "profile": None if where.audience == "internal" else plan.report.profile,
        "previous": where.previous,
        "plan": {"sha256": plan.hash, "differs_in": changed(plan, type(plan)())},
        "inputs": [{"name": one.name, "rows": one.rows, "sha256": one.sha256} for one in cohort.sources],
        "left_out": list(cohort.left_out),
        "quarantined_share": quarantined_share(cohort),
        "exit_code": TOO_MUCH_SET_ASIDE if _incomplete(cohort) else DONE,
    }


def _in_words(said: dict[str, Any]) -> str:
    """The same for people."""
    plan = said["plan"]
    profile = (
        f", protected by {said['profile']}" if said["profile"] else ": exact counts, not to be passed on"
    )
    after = f"after {said['previous']}" if said["previous"] else "following no report"
    return "\n".join(
        [
            f"{said['out']} {said['state']}: {', '.join(said['files'])}",
            f"for readers: {said['audience']}{profile}",
            f"as of {said['as_of']}, {after}",
            f"plan {plan['sha256'][:12]}, different from the default in: "
            f"{', '.join(plan['differs_in']) or 'nothing'}",
            *(f"from {one['name']}: {one['rows']:,} rows" for one in said["inputs"]),
            "Nothing was written.",
        ]
    )


def _incomplete(cohort: Cohort) -> str:
    """What of its input is missing from a run that is done; empty where that is little."""
    from ketaoutcomes.intake import THRESHOLD, quarantined_share

    said = []
    if cohort.left_out:
        said.append(f"refused and left out: {', '.join(cohort.left_out)}")
    share = quarantined_share(cohort)
    if share > THRESHOLD:
        said.append(f"{share:.1%} of the rows have something set aside: more than {THRESHOLD:.0%}")
    return "; ".join(said)
