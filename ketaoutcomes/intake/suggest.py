"""A first draft of a plan from the headers of files: every header mapped, dropped or asked about.

Only names of columns are written, and the words of columns that name a route, a status or a visit: those must
be translated, and the user asked for it. No other cell is ever written.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ketaoutcomes.intake import dates, texts
from ketaoutcomes.intake.findings import Findings, Stop
from ketaoutcomes.intake.grid import Grid, read_grid
from ketaoutcomes.intake.guard import identifier_in
from ketaoutcomes.intake.header import normal
from ketaoutcomes.intake.layout import DOSE_MARKS, KEYS, numbered_items
from ketaoutcomes.intake.sources import SourceFile, names_of, open_files
from ketaoutcomes.plan import ROUTES, Columns, default_plan_text
from ketaoutcomes.plan.columns import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ketaoutcomes.definitions import Definitions

MOST_WORDS = 12
ATTEMPTS = 5
_PEOPLE = "patient|pat|subject|subj|client|participant|person|study|record|case|usubj"
_OCCASION = "visit|session|treatment|infusion|dosing|dose|service|assessment|encounter|appointment|event"
_ALIKE = {
    "patient": rf"({_PEOPLE})_?(id|code|no|nr)?|id|subjid|usubjid",
    "date": rf"(({_OCCASION})_?)?date(_of_({_OCCASION}))?|dos|datum",
    "day": r"(study|treatment|relative|visit)?_?day(_?(no|number|s))?|reldays?|days_(since|from)_.*",
    "session": r"(session|infusion|treatment|visit)_?(no|nr|num|number)|session",
    "dose": r"(ketamine_?|esketamine_?|drug_?)?(dose|dosage|amount)(_?(mg|given|amount|mg_?kg))?",
    "unit": r"(dose_?)?units?(_of_dose)?",
    "route": r"(administration_?)?route(_of_administration)?|drug|medication|product|modality|formulation|"
    r"treatment(_?type)?",
    "site": r"(clinic|site|centre|center|location|facility|practice)(_?(id|name|code))?",
    "protocol": r"protocol(_?(id|name))?",
    "weight_kg": r"(body_?)?(weight|wt)(_?kg)?",
    "timing": r"timing|pre_?post",
    "instrument": r"instrument|scale|questionnaire|measure|test",
    "score": r"(total_?)?score|total",
    "target_dose": r"target_?dose",
    "target_unit": r"target_?unit",
}
_WORDS = {
    "status": r".*status|attendance|attended|completed|show",
    "visit": r"visit(_?(name|label))?|time_?point|event(_name)?|redcap_event_name|week",
}
_COVARIATES = re.compile(
    r"sex|gender|age(_?(band|group))?|arm|therapy|treatment_?arm|diagnosis|prior_ketamine|race|ethnicity"
)
_THERAPY = re.compile(
    r"(treatment_?)?(therapy|arm)|treatment(_(name|given))?|intervention|procedure|administration"
)
_TOTAL = re.compile(r"(total|score|sum|tot|totalscore|sumscore)?")
_ITEM = re.compile(r"(?:item|question|q|i)?0?([1-9][0-9]?)")
_ROUTE_WORDS = {
    "intranasal": r"nasal|spravato|esketamine|spray",
    "sublingual": r"sublingual|troche|lozenge|\bsl\b|rdt",
    "iv": r"\biv\b|i\.v\.|intraven|infusion",
    "im": r"\bim\b|i\.m\.|intramusc",
    "sc": r"\bsc\b|subcut",
    "oral": r"\boral\b|\bpo\b|tablet|capsule",
}


@dataclass
class _Draft:
    """What is proposed for one file."""

    file: str
    settings: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)
    covariates: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


def suggest_plan(
    paths: str | os.PathLike[str] | list[str | os.PathLike[str]], definitions: Definitions | None = None
) -> str:
    """The text of a plan.toml for some files: the default plan, its `[columns]` filled in from their headers.

    Every header stands in it: mapped to a column of ours, dropped because it looks like an identifier, or
    asked about in a comment. Raises `InputRefused` where a file cannot be read at all.

    >>> import pathlib, tempfile
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "visits.csv"
    >>> _ = file.write_text("PatID,Patient Name,Visit Date,PHQ-9 Total\\n007,x,2025-03-01,12\\n")
    >>> lines = suggest_plan(file).splitlines()
    >>> [line for line in lines if line.startswith(("patient", "phq9", "drop = ["))]
    ['patient = "PatID"', 'phq9 = "PHQ-9 Total"', 'drop = ["Patient Name"]']
    """
    from ketaoutcomes.definitions import load

    known = definitions or load()
    files = open_files(paths)
    found = Findings()
    drafts = []
    for path, name in zip(files, names_of(files), strict=True):
        try:
            grid, settings = _open(SourceFile(path, name, None))
            drafts.append(_draft(grid, settings, known))
        except Stop as stop:
            found.refuse(name, stop)
    found.stop_if_refused()
    head, _, rest = default_plan_text().partition("\n[columns]")
    tail = rest[rest.index("\n[report]") :]
    return head + "\n" + "\n".join(_written(drafts, known)) + "\n" + tail


def _open(source: SourceFile) -> tuple[Grid, dict[str, str]]:
    """The whole file, trying what its refusals say should be declared; and those declarations."""
    settings: dict[str, str] = {}
    columns = Columns()
    for _ in range(ATTEMPTS):
        try:
            source.encoding = columns.encoding
            grid = read_grid(source, columns, lambda header: range(len(header.raw)), Findings())
            return grid, {name: _toml(value) for name, value in settings.items()}
        except Stop as stop:
            if not stop.setting or set(stop.setting) <= set(settings):
                raise
            settings |= stop.setting
            columns = replace(columns, **stop.setting)
    raise Stop("A14", "the file cannot be read")


def _draft(grid: Grid, settings: dict[str, str], definitions: Definitions) -> _Draft:
    draft = _Draft(grid.file, dict(settings))
    kept = [_bare(raw) for raw in grid.header.raw if normal(raw) and not identifier_in(raw)]
    items = numbered_items(kept, definitions.instruments)
    for position, raw in enumerate(grid.header.raw):
        if not normal(raw):
            continue
        if identifier_in(raw):
            draft.drop.append(raw)
        else:
            _place(draft, grid, position, definitions, items)
    _settle(draft, grid, definitions)
    return draft


def _place(
    draft: _Draft, grid: Grid, position: int, definitions: Definitions, items: Mapping[str, tuple[str, int]]
) -> None:
    """Map one header, or ask about it. `items` are the columns `numbered_items` tells of."""
    raw = grid.header.raw[position]
    name = _bare(raw)
    words = [texts.cleaned(text) for text in grid.columns[position].texts]
    kind = next((kind for kind, pattern in _WORDS.items() if re.fullmatch(pattern, name)), None)
    scored = "_".join(map(str, items[name])) if name in items else _scored(name, definitions)
    ours = name if any(name in names for names in NAMES.values()) else None
    ours = ours or next((o for o, pattern in _ALIKE.items() if re.fullmatch(pattern, name)), None)
    if scored == "beyond":
        draft.drop.append(raw)
    elif name in items and not items[name][0]:
        draft.asked.append(f"# {_toml(raw)}: an item of which instrument? Map it, or list it under drop")
    elif scored and scored not in draft.fields:
        draft.fields[scored] = _toml(raw)
    elif kind is not None and ours not in ("date", "day"):
        draft.asked.append(_question(kind, raw, words))
    elif "route" not in draft.fields and (ours == "route" or _names_routes(name, words)):
        draft.fields["route"] = _route(raw, words)
    elif ours is not None and ours not in draft.fields:
        draft.fields[ours] = _toml(raw)
        draft.sources[ours] = raw
    elif _COVARIATES.fullmatch(name):
        draft.covariates.append(raw)
        if name == "age":
            draft.asked.append(
                f"# {_toml(raw)}: single years make many small groups; bands (45-59) are read, too"
            )
    else:
        draft.asked.append(f"# {_toml(raw)}: not used; list it under covariates to keep it, or under drop")


def _bare(raw: str) -> str:
    """A header with every mark between its words as `_`: "Dose (mg)" is dose_mg."""
    return re.sub("[^a-z0-9]+", "_", normal(raw)).strip("_")


def _scored(name: str, definitions: Definitions) -> str | None:
    """The instrument's total or item a header names; `beyond` for a numbered column past its items."""
    bare = re.sub("[^a-z0-9]", "", name)
    for instrument in sorted(definitions.instruments.values(), key=lambda one: -len(one.id)):
        stem = instrument.id.replace("_", "")
        if not bare.startswith(stem):
            continue
        rest = bare[len(stem) :]
        if _TOTAL.fullmatch(rest):
            return instrument.id
        item = _ITEM.fullmatch(rest)
        if item:
            return f"{instrument.id}_{int(item[1])}" if int(item[1]) <= instrument.items else "beyond"
    return None


def _question(kind: str, raw: str, words: list[str]) -> str:
    distinct = sorted({word for word in words if word})
    known = distinct if len(distinct) <= MOST_WORDS else ["..."]
    if kind == "status":
        kept = ", ".join(_toml(word) for word in known)
        return f"# keep = {{ {_key(raw)} = [{kept}] }}  # which of these rows are visits that took place?"
    pairs = ", ".join(f"{_toml(word)} = 0" for word in known)
    return f"# day = {{ from = {_toml(raw)}, map = {{ {pairs} }} }}  # on which day does each fall?"


def _route(raw: str, words: list[str]) -> str:
    """A route column: as it is where it holds our routes, else with a map to complete."""
    distinct = sorted({word for word in words if word})
    if all(word.casefold() in texts.ROUTES for word in distinct):
        return _toml(raw)
    if len(distinct) > MOST_WORDS:
        return f"{{ from = {_toml(raw)}, map = {{ }} }}  # theirs = ours: {', '.join(ROUTES)}"
    pairs = ", ".join(f"{_toml(word)} = {_toml(_guessed_route(word))}" for word in distinct)
    return (
        f'{{ from = {_toml(raw)}, map = {{ {pairs} }} }}  # check each; "?" must be filled in, "" is no dose'
    )


def _names_routes(name: str, words: list[str]) -> bool:
    """Whether a column of treatments tells their route: at least one of its words does."""
    distinct = {word for word in words if word}
    known = [word for word in distinct if _guessed_route(word) != "?"]
    return bool(_THERAPY.fullmatch(name) and known) and len(distinct) <= MOST_WORDS


def _guessed_route(word: str) -> str:
    lower = word.casefold()
    if lower in texts.ROUTES:
        return texts.ROUTES[lower]
    fitting = [route for route, pattern in _ROUTE_WORDS.items() if re.search(pattern, lower)]
    return fitting[0] if len(fitting) == 1 else "?"


def _settle(draft: _Draft, grid: Grid, definitions: Definitions) -> None:
    """What follows from several columns together: units, dates, what is still lacking."""
    named = _bare(draft.sources.get("dose", ""))
    if "dose" in draft.fields and "unit" not in draft.fields:
        unit = "mg/kg" if re.search("mg_?(per_)?kg", named) else "mg" if named.endswith("mg") else None
        if unit:
            draft.fields["unit"] = f'{{ value = "{unit}" }}'
        else:
            draft.asked.append(
                '# unit = { value = "mg" }  # in which unit are doses written, if not beside each?'
            )
        if not {"route", "protocol"} & set(draft.fields):
            listed_routes = ", ".join(ROUTES)
            draft.asked.append(
                f'# route = {{ value = "iv" }}  # no column names the route; one of: {listed_routes}'
            )
    if "date" in draft.fields and "day" in draft.fields:
        draft.drop.append(draft.sources["day"])
        del draft.fields["day"]
    if "date" in draft.fields:
        _ask_date_format(draft, grid)
    if "patient" not in draft.fields:
        draft.asked.append('# patient = "..."  # which column holds the patient\'s study code?')
    if not {"day", "date"} & set(draft.fields) and _table(draft, definitions) != "people":
        draft.asked.append('# date = "..."  # which column holds the day or date of the visit?')
    if "score" in draft.fields and "instrument" not in draft.fields:
        draft.asked.append(f"# phq9 = {draft.fields.pop('score')}  # a score of which instrument?")


def _ask_date_format(draft: _Draft, grid: Grid) -> None:
    position = grid.header.find(draft.sources["date"])
    cells = [texts.cleaned(text) for text in grid.columns[position].texts] if position is not None else []
    try:
        dates.check_dates(cells, None, "")
    except Stop as stop:
        formats = stop.setting.get("date_format", [])
        if len(formats) == 1:
            draft.settings["date_format"] = _toml(formats[0])
        else:
            draft.asked += [
                f"# date_format = {_toml(one)}  # or another of these lines: only you know" for one in formats
            ]


def _table(draft: _Draft, definitions: Definitions) -> str:
    """The table a file mostly is."""
    if any(mark in draft.fields for mark in DOSE_MARKS):
        return "doses"
    if "kind" in draft.fields:
        return "events"
    stems = {name.rpartition("_")[0] for name in draft.fields} | set(draft.fields)
    return "scores" if stems & set(definitions.instruments) or "instrument" in draft.fields else "people"


def _written(drafts: list[_Draft], definitions: Definitions) -> list[str]:
    """The lines of [columns]."""
    lines = ["[columns]                     # ours = theirs; not analysis, outside the plan's hash"]
    together = _agreeing(drafts)
    if together is not None:
        lines += [f"{name} = {source}" for name, source in together.items()]
    lines += _list("drop", [name for draft in drafts for name in draft.drop])
    lines += _list("covariates", [name for draft in drafts for name in draft.covariates])
    settings = {name: value for draft in drafts for name, value in draft.settings.items()}
    lines += [f"{name} = {value}" for name, value in settings.items()]
    lines.append('missing = []                  # your codes for missing, such as "-9" or "NA"')
    for draft in drafts:
        if draft.asked:
            lines += ["", f"# To decide, in {draft.file}:", *dict.fromkeys(draft.asked)]
    if together is None:
        lines += [line for draft in drafts for line in _as_table(draft, definitions)]
    return lines


def _agreeing(drafts: list[_Draft]) -> dict[str, str] | None:
    """The mapping all files share; None where two files call a column of ours by different names."""
    together: dict[str, str] = {}
    for draft in drafts:
        for name, source in draft.fields.items():
            if together.setdefault(name, source) != source:
                return None
    return together


def _as_table(draft: _Draft, definitions: Definitions) -> list[str]:
    """The tables of one file, each headed [[columns...]], where files differ in their names."""
    scored = {name for name in draft.fields if {name, name.rpartition("_")[0]} & set(definitions.instruments)}
    dosed = bool({*DOSE_MARKS, "session"} & set(draft.fields))
    lines: list[str] = []
    for table in NAMES:
        own = [name for name in draft.fields if name in NAMES[table] and name not in KEYS]
        own += [name for name in draft.fields if table == "scores" and name in scored]
        if dosed and table == "people":
            own = [name for name in own if name not in NAMES["doses"]]
        if not own or (table == "doses" and not dosed) or (table == "scores" and not scored):
            continue
        if table == "events" and "kind" not in draft.fields:
            continue
        keys = [name for name in KEYS if name in draft.fields and name in NAMES[table]]
        lines += ["", f"[[columns.{table}]]", f"file = {_toml(draft.file)}"]
        lines += [f"{name} = {draft.fields[name]}" for name in [*keys, *own]]
    return lines


def _list(name: str, values: list[str]) -> list[str]:
    return [f"{name} = [{', '.join(_toml(value) for value in dict.fromkeys(values))}]"]


def _toml(value: object) -> str:
    """A value as TOML writes it."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _toml(name)
