"""What counts as change beyond error on an instrument: thresholds resolved from its published numbers.

A rule is settled once, before any patient is looked at, and written into the Tally's header: the change that
is reliable, the cutoff between the populations, and the norm and reliability that effect sizes and regression
to the mean are computed from. Nothing here ever comes from the sample itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ketaoutcomes.definitions import Criterion, Definitions, Instrument, met, suggestion

if TYPE_CHECKING:
    from numpy.typing import NDArray

Side = Literal["below", "at_most"]
Points = str | float | Fraction | tuple[float | Fraction, float | Fraction]
Choice = Points | Mapping[str, Points] | None
PUBLISHED = "published"
CUTS = ("a", "b", "c")
NUMBERS = ("reliable", "cutoff", "sd", "mean", "retest")
Z = Fraction(196, 100)  # Jacobson and Truax 1991
CATEGORIES = (
    "recovered",
    "improved",
    "improved_from_functional",
    "unchanged_crossed",
    "unchanged",
    "deteriorated",
)
RECOVERED, IMPROVED, FROM_FUNCTIONAL, CROSSED, UNCHANGED, DETERIORATED = range(6)


class ChangeError(ValueError):
    """What was asked for as reliable change, cutoff, norm or reliability is not there, and what is."""


@dataclass(frozen=True)
class ChangeRule:
    """Change beyond error on one instrument, in points; None where nothing is published.

    `reliable` is the smallest change that counts. A score is functional if it is better than `cutoff`, or
    equal to it where `side` is at_most. `sd` is the published standard deviation, `mean` the mean of the
    population people are drawn from, `retest` its test-retest correlation.
    """

    instrument: str
    worse: Literal["higher", "lower"]
    ticks: int
    reliable: Fraction | None
    cutoff: Fraction | None
    side: Side
    sd: Fraction | None
    mean: Fraction | None
    retest: Fraction | None

    def categories(self, baseline: NDArray[np.int32], value: NDArray[np.int32]) -> NDArray[np.int64]:
        """Each pair of scores' place in CATEGORIES; scores in ticks, none of them missing.

        Without a cutoff nobody is recovered. Raises `ChangeError` where no reliable change is known.

        >>> import numpy as np
        >>> from ketaoutcomes.definitions import load
        >>> (rule,) = settle_rules(load(), ["phq9"])
        >>> before, after = np.array([[15, 20, 9, 12, 12, 12], [9, 14, 3, 9, 12, 18]], dtype=np.int32) * 56
        >>> [CATEGORIES[code] for code in rule.categories(before, after)][:3]
        ['recovered', 'improved', 'improved_from_functional']
        >>> [CATEGORIES[code] for code in rule.categories(before, after)][3:]
        ['unchanged_crossed', 'unchanged', 'deteriorated']
        """
        if self.reliable is None:
            raise ChangeError(f"{self.instrument}: no reliable change is known")
        better = met(self._criterion("fall_points", self.reliable), baseline, value, self.ticks) == 1
        worse = met(self._criterion("rise_points", self.reliable), baseline, value, self.ticks) == 1
        was, now = self.functional(baseline), self.functional(value)
        found = np.where(better, np.where(was, FROM_FUNCTIONAL, IMPROVED), UNCHANGED)
        found = np.where(better & now & ~was, RECOVERED, found)
        found = np.where(~better & now & ~was, CROSSED, found)
        return np.where(worse, DETERIORATED, found)

    def functional(self, scores: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Whether scores in ticks lie on the functional side of the cutoff; nobody where there is none."""
        if self.cutoff is None:
            return np.zeros(len(scores), dtype=bool)
        yes: NDArray[np.bool_] = met(self._criterion(self.side, self.cutoff), scores, scores, self.ticks) == 1
        return yes

    def _criterion(self, rule: str, value: Fraction) -> Criterion:
        return Criterion(
            name=f"{self.instrument}_{rule}", instrument=self.instrument, short=rule, title="", rule=rule,
            value=value, limit=None, variable="score", worse=self.worse, uses_baseline=True, cite="",
        )  # fmt: skip


def settle_rules(
    definitions: Definitions,
    instruments: Sequence[str],
    *,
    reliable: Choice = None,
    cutoff: Choice = None,
    population: Choice = None,
    retest: Choice = None,
) -> tuple[ChangeRule, ...]:
    """The rules of some instruments, from what is published about them or what the caller names.

    Each choice is one value for all the instruments, or a mapping from instrument to value:

    - `reliable`: None: the published number of points; a kind of reliability of the instrument's file
      ("retest", "internal consistency"): computed by Jacobson and Truax; a number of points; or a pair
      (standard deviation, reliability).
    - `cutoff`: None: the published one; "a", "b" or "c": from the norms in the instrument's file; or a score,
      functional being strictly better.
    - `population`: "dysfunctional" (default), "functional", or a pair (mean, standard deviation).
    - `retest`: None: the instrument's test-retest correlation; or a number.

    What is not published is None in the rule. Raises `ChangeError` where a named kind or norm is not there,
    every mistake at once.

    >>> from ketaoutcomes.definitions import load
    >>> (rule,) = settle_rules(load(), ["phq9"])
    >>> float(rule.reliable), float(rule.cutoff), rule.side
    (6.0, 10.0, 'below')
    >>> (own,) = settle_rules(load(), ["phq9"], reliable="retest", cutoff="c")
    >>> round(float(own.reliable), 3), round(float(own.cutoff), 2)
    (6.768, 8.6)
    """
    choices = {"reliable": reliable, "cutoff": cutoff, "population": population, "retest": retest}
    _check_choices(choices, instruments)
    faults: list[str] = []
    rules = []
    for name in dict.fromkeys(instruments):
        it = definitions.instrument(name)
        chosen = [_own(choice, name) for choice in choices.values()]
        cut, side = _cutoff(definitions, it, chosen[1], faults)
        mean, sd = _population(it, chosen[2], faults)
        smallest = _reliable(definitions, it, chosen[0], faults)
        again = _retest(it, chosen[3], faults)
        rules.append(ChangeRule(name, it.worse, it.ticks, smallest, cut, side, sd, mean, again))
    if faults:
        raise ChangeError("\n".join(faults))
    return tuple(rules)


def as_text(rules: Sequence[ChangeRule]) -> str:
    """The rules as canonical JSON, for a Tally's header."""
    content = {
        rule.instrument: {
            "worse": rule.worse, "ticks": rule.ticks, "side": rule.side,
            **{key: _text(getattr(rule, key)) for key in NUMBERS},
        }
        for rule in rules
    }  # fmt: skip
    return json.dumps(content, sort_keys=True, separators=(",", ":")) if content else ""


def parse_rules(text: str) -> dict[str, ChangeRule]:
    """The rules of a Tally's header, by instrument."""
    content: dict[str, dict[str, Any]] = json.loads(text) if text else {}
    return {name: _parsed(name, fields) for name, fields in content.items()}


def _parsed(name: str, fields: dict[str, Any]) -> ChangeRule:
    known = {
        key: None if value is None else Fraction(value) for key, value in fields.items() if key in NUMBERS
    }
    return ChangeRule(name, fields["worse"], fields["ticks"], side=fields["side"], **known)


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


def _check_choices(choices: Mapping[str, Choice], instruments: Sequence[str]) -> None:
    """Refuse choices for instruments not asked about, and those that are neither a word nor a number."""
    faults: list[str] = []
    for option, choice in choices.items():
        named = choice if isinstance(choice, Mapping) else {}
        strange = [name for name in named if instruments and name not in instruments]
        faults += [
            f"{option}: no instrument {name!r} is asked about{suggestion(name, instruments)}"
            for name in strange
        ]
        values = named.values() if isinstance(choice, Mapping) else [choice]
        if not all(_is_choice(value) for value in values):
            faults.append(f"{option}: a word, a finite number or a pair of numbers is needed")
    if faults:
        raise ChangeError("\n".join(faults))


def _is_choice(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) == 2 and all(
            one is not None and not isinstance(one, str) and _is_choice(one) for one in value
        )
    is_number = isinstance(value, (int, float, Fraction, np.integer, np.floating)) and not isinstance(
        value, bool
    )
    return value is None or isinstance(value, str) or (is_number and bool(np.isfinite(float(value))))


def _own(choice: Choice, instrument: str) -> Points | None:
    """The choice for one instrument: its own, or the one for all."""
    return choice.get(instrument) if isinstance(choice, Mapping) else choice


def _reliable(
    definitions: Definitions, it: Instrument, choice: Points | None, faults: list[str]
) -> Fraction | None:
    if choice is None or choice == PUBLISHED:
        criterion = definitions.of_family(it.id, "reliable")
        return None if criterion is None else criterion.value
    if isinstance(choice, str):
        kinds = {one.kind: one for one in it.reliability}
        if choice not in kinds:
            faults.append(f"{it.id}: no reliability of kind {choice!r}{suggestion(choice, kinds)}")
            return None
        return _beyond_error(it, kinds[choice].sd, kinds[choice].r)
    if isinstance(choice, tuple):
        sd, r = _exact(choice[0]), _exact(choice[1])
        if sd > 0 and 0 <= r < 1:
            return _beyond_error(it, sd, r)
        faults.append(f"{it.id}: a standard deviation above 0 and a reliability from 0 to below 1 are needed")
        return None
    if not 0 < _exact(choice) <= it.high - it.low:
        faults.append(f"{it.id}: a reliable change above 0 and up to {it.high - it.low} points is needed")
    return _exact(choice)


def _beyond_error(it: Instrument, sd: Fraction, r: Fraction) -> Fraction:
    """The smallest change in whole ticks that exceeds 1.96 standard errors of a difference, exactly."""
    squared = (Z * it.ticks * sd) ** 2 * 2 * (1 - r)
    return Fraction(isqrt(squared.numerator // squared.denominator) + 1, it.ticks)


def _cutoff(
    definitions: Definitions, it: Instrument, choice: Points | None, faults: list[str]
) -> tuple[Fraction | None, Side]:
    if choice is None or choice == PUBLISHED:
        criterion = definitions.of_family(it.id, "clinically_significant")
        if criterion is None:
            return None, "below"
        return criterion.limit, "at_most" if criterion.rule.endswith("at_most") else "below"
    if isinstance(choice, str):
        norms = {norm.population: norm for norm in it.norms}
        if choice not in CUTS:
            faults.append(f"{it.id}: cutoff {choice!r} is not one of published, a, b, c or a score")
        elif len(norms) < 2:
            faults.append(
                f"{it.id}: cutoff {choice!r} needs norms of both populations, and none is published in its "
                "file; give a score, or [[norms]] with their source in a file of your own"
            )
        else:
            well, unwell = norms["functional"], norms["dysfunctional"]
            towards = 1 if well.mean > unwell.mean else -1
            cuts = {
                "a": unwell.mean + towards * 2 * unwell.sd,
                "b": well.mean - towards * 2 * well.sd,
                "c": (well.sd * unwell.mean + unwell.sd * well.mean) / (well.sd + unwell.sd),
            }
            return cuts[choice], "below"
        return None, "below"
    if isinstance(choice, tuple):
        faults.append(f"{it.id}: a cutoff is one score")
        return None, "below"
    if not it.low <= _exact(choice) <= it.high:
        faults.append(f"{it.id}: a cutoff from {it.low} to {it.high} is needed")
    return _exact(choice), "below"


def _population(
    it: Instrument, choice: Points | None, faults: list[str]
) -> tuple[Fraction | None, Fraction | None]:
    """Mean and standard deviation of the population that people are drawn from."""
    if isinstance(choice, tuple):
        if _exact(choice[1]) <= 0:
            faults.append(f"{it.id}: a population is a mean and a standard deviation above 0")
        return _exact(choice[0]), _exact(choice[1])
    wanted = "dysfunctional" if choice is None else choice
    for norm in it.norms:
        if norm.population == wanted:
            return norm.mean, norm.sd
    if choice is not None:
        faults.append(
            f"{it.id}: no norm of a population {choice!r} is published in its file; give (mean, sd)"
        )
    return None, None


def _retest(it: Instrument, choice: Points | None, faults: list[str]) -> Fraction | None:
    if choice is None:
        return next((one.r for one in it.reliability if one.kind == "retest"), None)
    if isinstance(choice, (str, tuple)) or not 0 <= _exact(choice) <= 1:
        faults.append(f"{it.id}: a test-retest correlation is a number from 0 to 1")
        return None
    return _exact(choice)


def _exact(number: Any) -> Fraction:
    """A number as it is written: 0.1 is a tenth."""
    return Fraction(str(number))
