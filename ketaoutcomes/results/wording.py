"""Numbers and names as a reader sees them: one rounding rule, one word for hidden cells, names as text.

Figures, page and workbook all write through these functions, so a rate cannot read 42 % in the sentence and
43 % in the table. A missing number always reads `hidden` or a dash, never 0.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import numbers
import unicodedata

HIDDEN = "hidden"
"""What a reader sees in place of a number that would describe too few people."""

NONE = "–"
"""What a reader sees where there is no number to give (nobody due, no interval)."""

_SPACE = "\N{NARROW NO-BREAK SPACE}"
_DASH = "\N{EN DASH}"
_NOTHING = 1e-9
_MARKS_IN_A_ROW = 2
_MONTHS = "January February March April May June July August September October November December"


def is_number(value: object) -> bool:
    """Whether a cell holds a finite number: NaN and None mean hidden or absent.

    >>> is_number(3.0), is_number(float("nan")), is_number(None)
    (True, False, False)
    """
    return isinstance(value, numbers.Real) and math.isfinite(value)


def count(value: float | None) -> str:
    """A whole number of people or rows, with thousands separated; `hidden` where it is missing.

    >>> count(1204.0), count(0), count(float("nan"))
    ('1,204', '0', 'hidden')
    """
    return f"{int(value):,}" if value is not None and math.isfinite(value) else HIDDEN


def percent(met: float, n: float) -> str:
    """`met` of `n` as a whole percentage, half rounded up on exact integers; extremes are not rounded away.

    >>> percent(31, 74), percent(1, 8), percent(1, 400), percent(399, 400), percent(0, 0)
    ('42\\u202f%', '13\\u202f%', '<1\\u202f%', '>99\\u202f%', '–')
    """
    if not (math.isfinite(met) and math.isfinite(n)):
        return HIDDEN
    if n == 0:
        return NONE
    return _bounded((200 * int(met) + int(n)) // (2 * int(n)), met > 0, met < n) + f"{_SPACE}%"


def share(rate: float) -> str:
    """A rate between 0 and 1 as a whole percentage, where its count is not at hand.

    >>> share(0.415), share(float("nan"))
    ('42\\u202f%', '–')
    """
    return f"{_whole(rate)}{_SPACE}%" if math.isfinite(rate) else NONE


def interval(low: float, high: float) -> str:
    """The two limits of an interval, given as rates, in percent; a dash where there is none.

    >>> interval(0.308, 0.531), interval(float("nan"), float("nan"))
    ('31–53', '–')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return NONE
    return f"{_whole(low)}{_DASH}{_whole(high)}"


def decimal(value: float, places: int = 1) -> str:
    """A mean or a median with a fixed number of decimals; a dash where there is none.

    >>> decimal(11.25), decimal(6.0, 0), decimal(float("nan"))
    ('11.3', '6', '–')
    """
    if not math.isfinite(value):
        return NONE
    scaled = math.floor(abs(value) * 10**places + 0.5)
    whole, rest = divmod(scaled, 10**places)
    sign = "\N{MINUS SIGN}" if value < 0 and scaled else ""
    return f"{sign}{whole:,}.{rest:0{places}d}" if places else f"{sign}{whole:,}"


def calendar_day(text: str) -> str:
    """An ISO date as a reader writes it; any other text is returned as it is.

    >>> calendar_day("2026-10-31"), calendar_day("2026-10"), calendar_day("complete")
    ('31 October 2026', 'October 2026', 'complete')
    """
    whole = len(text) == len("2026-10-31")
    try:
        day = datetime.date.fromisoformat(text if whole else f"{text}-01")
    except ValueError:
        return text
    return f"{day.day} {_month(day)}" if whole else _month(day)


def period(text: str) -> str:
    """A calendar period as a reader writes it; any other text as `calendar_day` gives it.

    >>> period("2026-10"), period("2026-Q3"), period("2026-H1")
    ('October 2026', 'July to September 2026', 'January to June 2026')
    >>> period("2026-08/2026-10"), period("2025-11/2026-01")
    ('August to October 2026', 'November 2025 to January 2026')
    """
    if "/" in text:
        begin, end = map(period, text.split("/", 1))
        return f"{begin.removesuffix(end[-5:])} to {end}"
    year, _, part = text.partition("-")
    months = {"Q": 3, "H": 6}.get(part[:1], 0)
    if not (months and year.isdigit() and part[1:].isdigit()):
        return calendar_day(text)
    last = min(months * int(part[1:]), 12)
    names = _MONTHS.split()
    return f"{names[last - months]} to {names[last - 1]} {year}"


def during(text: str) -> str:
    """When, in a sentence: in one month, or from one to another.

    >>> during("2026-10"), during("2026-08/2026-10")
    ('in October 2026', 'from August to October 2026')
    """
    words = period(text)
    return f"from {words}" if " to " in words else f"in {words}"


def plural(n: float, one: str, many: str) -> str:
    """The word that goes with a number of people; a hidden number is many.

    >>> plural(1, "was", "were"), plural(0, "was", "were"), plural(float("nan"), "was", "were")
    ('was', 'were', 'were')
    """
    return one if n == 1 else many


def gap(difference: float, low: float, high: float) -> str:
    """A difference of two rates in percentage points, signed, with its interval; `hidden` where missing.

    >>> gap(0.023, -0.146, 0.192), gap(float("nan"), float("nan"), float("nan"))
    ('+2 (\u221215 to +19)', 'hidden')
    """
    if not all(math.isfinite(x) for x in (difference, low, high)):
        return HIDDEN
    return f"{_signed(difference)} ({_signed(low)} to {_signed(high)})"


def _signed(rate: float) -> str:
    whole = math.floor(100 * abs(rate) + 0.5)
    sign = "" if not whole else "+" if rate > 0 else "\N{MINUS SIGN}"
    return f"{sign}{whole}"


def label(text: object, longest: int = 60) -> str:
    """A name from data, safe to show anywhere: visible characters on one line, at most `longest` of them.

    Control characters, direction overrides, zero-width characters and heaps of combining marks are removed.
    A longer name is cut and ends in a short hash of the whole, so two long names never become one.

    >>> label("North\\u202e Clinic\\t1")
    'North Clinic 1'
    >>> label("=cmd|' /C calc'!A0"), label("{{7*7}} $x^2$ <b>")
    ("=cmd|' /C calc'!A0", '{{7*7}} $x^2$ <b>')
    >>> len(label("x" * 300))
    60
    """
    whole = str(text)
    kept = _visible(unicodedata.normalize("NFC", whole))
    kept = " ".join(kept.split()) or "(blank)"
    if len(kept) <= longest:
        return kept
    mark = hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:6]
    return f"{kept[: longest - 8].rstrip()}… {mark}"


def capital(text: str) -> str:
    """A text that begins a sentence, a row or a cell: its first letter a capital, the rest as it is.

    >>> capital("oral or sublingual at home"), capital("PHQ-9 halved"), capital("")
    ('Oral or sublingual at home', 'PHQ-9 halved', '')
    """
    return text[:1].upper() + text[1:]


def listed(words: list[str]) -> str:
    """Words as a sentence lists them.

    >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def _month(day: datetime.date) -> str:
    # Not strftime: its month names follow the machine's locale, and the same input must give the same bytes.
    return f"{_MONTHS.split()[day.month - 1]} {day.year}"


def _visible(text: str) -> str:
    out: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in {"Zs", "Zl", "Zp"} or character in "\t\n\r":
            out.append(" ")
        elif category[0] != "C" and marks <= _MARKS_IN_A_ROW:
            out.append(character)
    return "".join(out)


def _whole(rate: float) -> str:
    return _bounded(math.floor(100 * rate + 0.5), rate > _NOTHING, rate < 1 - _NOTHING)


def _bounded(shown: int, above_none: bool, below_all: bool) -> str:
    if shown == 0 and above_none:
        return "<1"
    if shown == 100 and below_all:
        return ">99"
    return str(shown)
