"""The report: finished tables as a page for people, a workbook for analysts, and JSON for machines.

It is built from protected counts alone and cannot hold a row: nothing here knows a cohort or a patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ketaoutcomes.report.beside import by_their_rules, from_the_page
from ketaoutcomes.report.finished import finish
from ketaoutcomes.report.folder import MANIFEST, PDF, CannotWrite, replace_folder
from ketaoutcomes.report.letter import letter
from ketaoutcomes.report.meta import Meta
from ketaoutcomes.report.page import AUDIENCES, arranged, render
from ketaoutcomes.report.pdf import pdf
from ketaoutcomes.report.record import manifest_json, results_json
from ketaoutcomes.report.series import in_series
from ketaoutcomes.report.told_by import told_by
from ketaoutcomes.report.workbook import workbook

if TYPE_CHECKING:
    import pandas as pd

    from ketaoutcomes.counts.tallies import Header, Tally
    from ketaoutcomes.plan import Plan
    from ketaoutcomes.results.benchmarks import Benchmark

__all__ = ["CannotWrite", "Meta", "write"]


def write(
    out: str | Path,
    *,
    tallies: Mapping[str, Tally],
    plan: Plan,
    meta: Meta,
    profile: str | None = "cms11",
    audience: str = "shared",
    history: pd.DataFrame | None = None,
    steps: pd.DataFrame | None = None,
    restated: pd.DataFrame | None = None,
    coarsened: pd.DataFrame | None = None,
    benchmarks: Benchmark | None = None,
    follows: Mapping[str, str] | None = None,
    as_pdf: bool = False,
    force: bool = False,
) -> list[Path]:
    """Write report.html, email.eml, tables.xlsx, results.json and manifest.json to `out`, all or none.

    `tallies` are named Tallies protected by `profile`; one of them must be of everyone together (`by=()`),
    and those grouped by protocol give the pages by session. For `audience="internal"` they may be raw and
    `profile` is None: the page then says that it must not be passed on. The same input gives the same bytes.
    In a series of reports `history` is what all of them told, which the next one needs; `steps` and
    `restated` say what was repeated as it stood and which published numbers changed, and `follows` names the
    last one in the manifest. `coarsened` says by which periods and sites the counts are told, and why
    (`disclosure.coarsen`). Tallies named safety,
    safety_by_session and durability make sections of their own. `benchmarks`, one's own rates by the rules of
    published series, is for internal reports only: its counts are protected by nothing. With
    `as_pdf`, the page is written as report.pdf, too.

    Returns their paths. Raises `ValueError` where a shared report is asked for from raw counts, and
    `CannotWrite` where the folder holds files of others (unless `force`, which keeps them) or the file system
    refuses; the old report then stands as it was.
    """
    if audience not in AUDIENCES:
        raise ValueError(f"audience must be one of {', '.join(AUDIENCES)}")
    raw = [name for name, tally in tallies.items() if tally.protected is None]
    if audience == "shared" and raw:
        raise ValueError(
            f"a shared report is made from protected Tallies only; not protected: {', '.join(raw)}"
        )
    if audience == "shared" and benchmarks is not None:
        raise ValueError("a shared report cannot hold one's own counts by the rules of published series")
    tables = finish(tallies, plan.folders)
    beside = by_their_rules(benchmarks) or from_the_page(tables, plan)
    tables |= {one.name: one for one in beside} | in_series(steps, restated) | told_by(coarsened)
    header = next(iter(tallies.values())).header
    content = arranged(tables, plan, audience)
    page = render(content, header, plan=plan, meta=meta, profile=profile, audience=audience)
    files = {
        "report.html": page.encode(),
        "results.json": results_json(
            tables, tallies, meta, audience=audience, profile=profile, history=history, steps=steps
        ),
        "tables.xlsx": workbook(tables, _about(meta, audience, header)),
        "email.eml": letter(content, tables, header, meta=meta, audience=audience),
    }
    if as_pdf:
        files[PDF] = pdf(page)
    vouched = manifest_json(
        files, plan=plan, tallies=tallies, meta=meta, audience=audience, profile=profile, follows=follows
    )
    return replace_folder(Path(out), files | {MANIFEST: vouched}, force=force)


def _about(meta: Meta, audience: str, header: Header) -> list[tuple[str, str]]:
    counted = [("Counted to", header.as_of)] if header.as_of != meta.as_of else []
    return [
        ("Report", meta.title),
        ("As of", meta.as_of),
        *counted,
        ("For", AUDIENCES[audience]),
        ("Plan (SHA-256)", header.plan_hash),
        ("Made by", f"ketaoutcomes {meta.versions.get('ketaoutcomes', '')}"),
        ("The word hidden", "A number that would describe too few people. It is not zero."),
        ("An empty cell", "There is no such number; where the sheet has a column `reason`, it says why."),
        ("analysis nri", "Of all due: a patient without a score counts as not improved. The headline."),
        ("analysis observed", "Of those scored only."),
    ]
