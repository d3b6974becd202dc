"""The statistical analysis plan: one frozen value that fixes every choice behind a number."""

# ruff: noqa: RUF009 - the sections are frozen, so one default may serve every plan

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from ketaoutcomes.frozen import FrozenMap
from ketaoutcomes.plan.columns import Columns
from ketaoutcomes.plan.keys import Fault, Place, PlanError, Section, echo, kind, nearest, texts
from ketaoutcomes.plan.sections import (
    Assessments,
    Baseline,
    Criteria,
    GoodTime,
    Points,
    Population,
    Rates,
    Report,
    Scores,
)
from ketaoutcomes.shown import Prose, WrongChoice

if TYPE_CHECKING:
    from ketaoutcomes.definitions import Definitions

ROUTES = ("iv", "im", "sc", "intranasal", "sublingual", "oral")
SLIP = 0.8  # how alike a word and a route must be to be one misspelt: transdermal is not intranasal
BY_ROUTE = FrozenMap(
    {"iv": "iv6", "im": "im", "intranasal": "esketamine", "sublingual": "home", "oral": "home"}
)

SECTIONS: dict[str, type[Section]] = {
    cls.section: cls
    for cls in (
        Population, Baseline, Scores, Assessments, Criteria, Points, Rates, GoodTime, Columns, Report,
    )
}  # fmt: skip
"""Every table of declared keys, in the order of the file."""

ANALYSIS = tuple(name for name in SECTIONS if name not in {"columns", "report"})
"""The tables that can change a number: these make the plan's hash."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every choice behind a number, as one frozen value. `Plan()` holds the defaults.

    Sections may be given as objects or as plain dictionaries; what is left out keeps its default, and so do
    routes not named in `protocol` (the key `all` stands for every route). Raises PlanError, which lists every
    mistake.

    >>> plan = Plan(rates={"level": 0.9}, protocol={"sc": "im"})
    >>> plan.rates.level, plan.protocol["sc"], plan.protocol["iv"]
    (0.9, 'im', 'iv6')
    >>> plan.hash == Plan().hash
    False
    """

    folders: tuple[str, ...] = ()
    protocol: Mapping[str, str] = BY_ROUTE
    population: Population = Population()
    baseline: Baseline = Baseline()
    scores: Scores = Scores()
    assessments: Assessments = Assessments()
    criteria: Criteria = Criteria()
    points: Points = Points()
    rates: Rates = Rates()
    good_time: GoodTime = GoodTime()
    columns: Columns = Columns()
    report: Report = Report()

    def __post_init__(self) -> None:
        faults: list[Fault] = []
        folders = Place(("folders",), faults)
        self._set("folders", texts(wanted="a list of folders").read(self.folders, folders) or ())
        self._set("protocol", _read_protocol(self.protocol, Place(("protocol",), faults)) or BY_ROUTE)
        for name, section in SECTIONS.items():
            value = getattr(self, name)
            if not isinstance(value, section):
                self._set(name, section.read(value, Place((name,), faults)))
        folders_stand = not any(fault.path[0] == "folders" for fault in faults)
        if folders_stand and any(getattr(self, f.name) != f.default for f in dataclasses.fields(self)):
            faults.extend(self._undefined())
        if faults:
            raise PlanError(faults)

    def __repr__(self) -> str:
        from ketaoutcomes.plan.summary import in_a_line

        return in_a_line(self, type(self)())

    def _repr_html_(self) -> str:
        from ketaoutcomes.plan.summary import in_facts
        from ketaoutcomes.shown import facts

        return facts(in_facts(self, type(self)()), "Plan")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @cached_property
    def definitions(self) -> Definitions:
        """Every instrument, criterion and protocol known here: the package's, and those of `folders`.

        >>> Plan().definitions.instrument("phq9").title, list(Plan().definitions.protocols)[:3]
        ('PHQ-9', ['esketamine', 'home', 'im'])
        """
        from ketaoutcomes.definitions import load  # numpy comes with it, and a plan must import fast

        return load(tuple(self.folders))

    @property
    def instruments(self) -> tuple[str, ...]:
        """The instruments that the plan's criteria are about, in their order.

        >>> Plan().instruments
        ('phq9', 'pcl5')
        """
        names = (*self.criteria.primary, *self.criteria.also)
        return tuple(dict.fromkeys(self.definitions.criterion(name).instrument for name in names))

    @property
    def firsts(self) -> tuple[str, ...]:
        """The first primary criterion of each instrument: the one that is told where there is room for one.

        >>> Plan().firsts
        ('phq9_response50', 'pcl5_reliable15')
        """
        first: dict[str, str] = {}
        for name in self.criteria.primary:
            first.setdefault(self.definitions.criterion(name).instrument, name)
        return tuple(first.values())

    @property
    def protocol_ids(self) -> tuple[str, ...]:
        """Every protocol a course can be judged by: `people.protocol` may name any that is defined.

        >>> Plan().protocol_ids
        ('esketamine', 'home', 'im', 'iv6', 'iv6_weekly', 'none')
        """
        return tuple(sorted(self.definitions.protocols))

    @property
    def people_columns(self) -> tuple[str, ...]:
        """Columns of people to keep beyond the usual ones: covariates, and what entry rules ask for.

        >>> Plan(columns={"covariates": ["sex"]}).people_columns
        ('sex',)
        """
        return tuple(
            dict.fromkeys((*self.columns.covariates, *(rule.column for rule in self.population.entry)))
        )

    def gate(self, instrument: str) -> int | None:
        """The mildest baseline that is judged, in points: the plan's, else the instrument's own; None: any.

        Where lower is worse, it is the highest one. A gate of 0 is none, whichever way is worse.

        >>> Plan().gate("phq9"), Plan(baseline={"gate": {"phq9": 15}}).gate("phq9")
        (10, 15)
        >>> Plan(baseline={"gate": {"phq9": 0}}).gate("phq9") is None
        True
        """
        return self.baseline.gate.get(instrument, self.definitions.instrument(instrument).gate) or None

    def replace(self, **changes: Any) -> Self:
        """The same plan with some values changed; a dictionary changes only the keys it names.

        >>> Plan().replace(baseline={"within_days": 28}).baseline.within_days
        28
        """
        sections = [field.name for field in dataclasses.fields(self)]
        for name, value in changes.items():
            if name not in sections:
                raise PlanError(lines=[f"{name} is no section of the plan{nearest(name, sections)}"])
            if name in SECTIONS and isinstance(value, Mapping):
                changes[name] = {**getattr(self, name).as_table(), **value}
            elif name == "protocol" and isinstance(value, Mapping) and "all" not in {*value, *self.protocol}:
                changes[name] = {**self.protocol, **value}
        return dataclasses.replace(self, **changes)

    def canonical(self) -> str:
        """Everything that can change a number, as JSON with sorted keys: analysis tables and definitions.

        Where data and folders lie, what their columns are called and who may read the report are left out.
        Two plans give the same numbers on the same cohort if these texts are equal.

        >>> '"level":0.95' in Plan().canonical()
        True
        """
        return self._canonical

    @cached_property
    def _canonical(self) -> str:
        names = (*self.criteria.primary, *self.criteria.also, self.good_time.criterion)
        definitions = json.loads(self.definitions.as_text(sorted(set(names)), self.protocol_ids))
        content: dict[str, Any] = {name: _plain(getattr(self, name).as_table()) for name in ANALYSIS}
        content["protocol"] = dict(self.protocol)
        content["baseline"]["gate"] = {name: self.gate(name) or 0 for name in definitions["instruments"]}
        content["population"]["entry"] = [
            {"column": rule.column, "is": sorted(rule.values)} for rule in self.population.entry
        ]
        if self.good_time.level is not None:
            content["good_time"]["level"].sort(key=lambda level: (level["route"], level["unit"]))
        content = {"schema": 1, "definitions": definitions, **content}
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of `canonical()`, in hexadecimal.

        >>> Plan().hash[:12], Plan(report={"audience": "internal"}).hash == Plan().hash
        ('c97b8889814e', True)
        """
        return hashlib.sha256(self.canonical().encode("ascii")).hexdigest()

    def methods(self, *, good_time: bool = False) -> Prose:
        """A paragraph for a paper's Methods section, with numbered references, in this plan's own numbers.

        `good_time` adds what was done about time at an adequate dose, where a report shows it.

        >>> text = Plan().methods()
        >>> print(text.split(". ")[0])
        A course was a run of dosing days with no gap longer than its protocol's course gap
        >>> print(text.splitlines()[-1])
        10. Wilson 1927 J Am Stat Assoc 22:209-212
        """
        from ketaoutcomes.plan.methods import methods

        return Prose(methods(self, good_time=good_time))

    def explain(self, name: str) -> Prose:
        """What a name means and where it comes from: a criterion, an instrument, a protocol, a rule's code.

        As `ketaoutcomes explain` prints it. Raises `ValueError` for a name that nothing is known by.

        >>> print(Plan().explain("phq9_response50").splitlines()[0])
        phq9_response50: PHQ-9 at least halved from baseline
        """
        from ketaoutcomes.commands.explain import explanation, near

        text = explanation(name, self.definitions)
        if text is None:
            raise WrongChoice(f"nothing is known by the name {echo(name)}{near(name, self.definitions)}")
        return Prose(text)

    def _undefined(self) -> list[Fault]:
        """Names that no definition has, and what one table says against another or against a definition."""
        from ketaoutcomes.definitions import DefinitionError

        faults: list[Fault] = []
        try:
            definitions = self.definitions
        except DefinitionError as error:
            return [Fault(("folders",), 1, f"cannot be read: {finding}") for finding in error.findings]
        except OSError as error:
            return [Fault(("folders",), 1, f"cannot be read: {error.strerror}")]
        for route, name in self.protocol.items():
            if name not in definitions.protocols:
                message = (
                    f"names no protocol: {echo(name)}{nearest(name, definitions.protocols, quote=chr(34))}"
                )
                Place(("protocol", route), faults).refuse(message)
        for index, rule in enumerate(self.population.entry):
            if rule.column in self.columns.drop:
                place = Place(("population", "entry", index), faults)
                place.refuse(f"needs {echo(rule.column)}, which [columns] drop lists")
        self._undefined_criteria(definitions, faults)
        self._gates_off_scale(definitions, faults)
        self._ends_too_late(definitions, faults)
        items = {name: instrument.items for name, instrument in definitions.instruments.items()}
        self.columns.unknown(Place(("columns",), faults), items, self.people_columns)
        return faults

    def _undefined_criteria(self, definitions: Definitions, faults: list[Fault]) -> None:
        listed = [
            (Place(("criteria", part, index), faults), name)
            for part in ("primary", "also")
            for index, name in enumerate(getattr(self.criteria, part))
        ]
        for place, name in [*listed, (Place(("good_time", "criterion"), faults), self.good_time.criterion)]:
            if name in definitions.criteria:
                continue
            bare = [echo(c.name) for c in definitions.criteria.values() if c.short == name]
            hint = (
                f"; write {' or '.join(bare)}"
                if bare
                else definitions.meant(name, full=True).replace("'", '"')
            )
            place.refuse(f"names no criterion: {echo(name)}{hint}")

    def _gates_off_scale(self, definitions: Definitions, faults: list[Fault]) -> None:
        for name, points in self.baseline.gate.items():
            place = Place(("baseline", "gate", name), faults)
            instrument = definitions.instruments.get(name)
            if instrument is None:
                place.refuse(f"is no instrument{nearest(name, definitions.instruments)}")
            elif not instrument.low <= points <= instrument.high:
                place.refuse(f"must be between {instrument.low} and {instrument.high}; got {points}")

    def _ends_too_late(self, definitions: Definitions, faults: list[Fault]) -> None:
        """An end score may come no later than its course is due, or it could never be read."""
        known = [definitions.protocols.get(name) for name in dict.fromkeys(self.protocol.values())]
        rooms = [
            (protocol.maturity - protocol.induction_limit, protocol.id)
            for protocol in known
            if protocol is not None and protocol.maturity is not None and protocol.induction_limit is not None
        ]
        latest = self.points.end_days[2]
        if rooms and latest > min(rooms)[0]:
            room, name = min(rooms)
            message = f"must end by day {room}, when a course of {name} is due; got {latest}"
            Place(("points", "end_days"), faults).refuse(message)


def _read_protocol(value: Any, place: Place) -> FrozenMap[str] | None:
    """The protocol of each route, the routes not named keeping their default."""
    if not isinstance(value, Mapping):
        return place.refuse(f'must be a table, route = "protocol"; got {kind(value)}')
    stands = True
    for route, name in value.items():
        # A route of one's own may be named: only what is nearly one of ours is taken for a slip.
        hint = "" if route in (*ROUTES, "all") else nearest(route, (*ROUTES, "all"), alike=SLIP)
        if hint:
            place.at(route).refuse(f"is not a route{hint}")
        elif route != route.strip().casefold() or not route:
            place.at(route).refuse("must be a route in lower-case letters")
        elif not (isinstance(name, str) and name):
            place.at(route).refuse(f"must be the name of a protocol in quotes; got {kind(name)}")
        elif "all" in value and route != "all":
            place.at(route).refuse(
                "has no use beside all, which is one protocol for everyone; leave one of them out"
            )
        else:
            continue
        stands = False
    if not stands:
        return None
    chosen = value if "all" in value else {**BY_ROUTE, **value}
    # One order whatever order was written: it settles which route a day with two of them counts for.
    return FrozenMap({route: chosen[route] for route in sorted(chosen, key=lambda r: (_rank(r), r))})


def _rank(route: str) -> int:
    return ROUTES.index(route) if route in ROUTES else len(ROUTES)


def _plain(value: Any) -> Any:
    """A value of a section as JSON's own kinds; 1.0 and 1 are the same plan."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return (
        _plain(dataclasses.asdict(value))
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )
