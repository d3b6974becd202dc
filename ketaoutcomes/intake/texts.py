"""The one rule set that turns a cell's text into a value. Written out for readers in docs/reading-files.md.

Every rule here takes one text and is called once per distinct text of a column. It returns the value and the
code of the rule the text breaks, or "" where it breaks none. No rule guesses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ketaoutcomes.records.coding import clean_text
from ketaoutcomes.records.monitoring import WORDS

NONE = ""
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_GROUPED = re.compile(r"[+-]?[0-9]+(?:[.,' ][0-9]+)+")
_AMOUNT = re.compile(r"([+-]?(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+))\s*(\S.*)?")
_TRUTH = {"true", "false", "yes", "no", "t", "f", "y", "n"}
_UNBOUNDED = {"inf", "-inf", "+inf", "infinity", "-infinity", "+infinity", "nan", "-nan"}
_EXPONENT = re.compile(r"[+-]?[0-9.]+[eE][+-]?[0-9]+")
_ROUNDED_ID = re.compile(r"[0-9](\.[0-9]+)?E\+[0-9]{2,}")
_LARGEST = 10**9
_SMALL = 32_000
UNITS = {
    "mg": "mg", "milligram": "mg", "milligrams": "mg", "milligramme": "mg", "mgs": "mg",
    "mg/kg": "mg/kg", "mg per kg": "mg/kg", "mg.kg-1": "mg/kg", "mg kg-1": "mg/kg",
    "mcg": "mcg", "ug": "mcg", "μg": "mcg", "microgram": "mcg", "micrograms": "mcg",
    "mcg/kg": "mcg/kg", "ug/kg": "mcg/kg", "μg/kg": "mcg/kg",
    "g": "g", "ml": "ml", "spray": "sprays", "sprays": "sprays", "device": "devices", "devices": "devices",
}  # fmt: skip
ROUTES = {
    "iv": "iv", "i.v.": "iv", "im": "im", "i.m.": "im", "sc": "sc", "s.c.": "sc",
    "intranasal": "intranasal", "sublingual": "sublingual", "oral": "oral",
}  # fmt: skip
TIMINGS = {"pre": "pre", "post": "post"}


def number(text: str, decimal: str = ".") -> tuple[float, str]:
    """A decimal number as written; nothing is stripped from it and no thousands are guessed.

    >>> number("12.5"), number("12,5"), number("12,5", decimal=",")
    ((12.5, ''), (nan, 'D08'), (12.5, ''))
    """
    plain = text.replace("\u2212", "-")
    if decimal == ",":
        if "." in plain and _GROUPED.fullmatch(plain):
            return float("nan"), "D08"
        plain = plain.replace(",", ".")
    if _PLAIN.fullmatch(plain):
        value = float(plain)
        return (value, NONE) if abs(value) <= _LARGEST else (float("nan"), "D10")
    return float("nan"), _why_no_number(text)


def _why_no_number(text: str) -> str:
    lower = text.casefold()
    if lower in _TRUTH:
        return "D07"
    if lower in _UNBOUNDED or _EXPONENT.fullmatch(text):
        return "D10"
    return "D08" if _GROUPED.fullmatch(text) else "D09"


def whole(text: str, decimal: str = ".") -> tuple[float, str]:
    """A whole number; `3.0` is 3 and `3.5` is none.

    >>> whole("3.0"), whole("3.5")
    ((3.0, ''), (nan, 'D11'))
    """
    value, rule = number(text, decimal)
    if rule or value == int(value):
        return value, rule
    return float("nan"), "D11"


def yes_no(text: str) -> tuple[float, str]:
    """1 for yes, 0 for no, as words or numbers.

    >>> yes_no("Yes"), yes_no("0"), yes_no("mild")
    ((1.0, ''), (0.0, ''), (nan, 'D21'))
    """
    said = WORDS.get(text.casefold())
    return (float("nan"), "D21") if said is None else (float(said), NONE)


def answer(text: str, labels: Mapping[str, int], decimal: str = ".") -> tuple[float, str, bool]:
    """An item's answer: its number, or the instrument's label for it (told by the last value).

    >>> answer("Several days", {"several days": 1})
    (1.0, '', True)
    """
    if text.casefold() in labels:
        return float(labels[text.casefold()]), NONE, True
    value, rule = whole(text, decimal)
    if rule == "D09":
        return value, "D13", False
    if not rule and abs(value) > _SMALL:
        return float("nan"), "D06", False
    return value, rule, False


def amount(text: str, decimal: str = ".") -> tuple[float, str, str]:
    """A dose: its amount, the unit written behind it or "", and the rule it breaks.

    >>> amount("0.5 mg/kg"), amount("35mg"), amount("none"), amount("5 drops")
    ((0.5, 'mg/kg', ''), (35.0, 'mg', ''), (nan, '', 'D09'), (nan, '', 'D15'))
    """
    match = _AMOUNT.fullmatch(text)
    if match is None or _EXPONENT.fullmatch(text) or (match[2] and match[2][0].isdigit()):
        return float("nan"), "", _why_no_number(text)
    value, rule = number(match[1], decimal)
    if rule or match[2] is None:
        return value, "", rule
    known = UNITS.get(" ".join(match[2].casefold().split()).replace(" / ", "/"))
    return (value, known, NONE) if known else (float("nan"), "", "D15")


def unit(text: str) -> tuple[str, str]:
    """A unit of dose, spelled as ours.

    >>> unit("MG / KG"), unit("stone")
    (('mg/kg', ''), ('', 'D15'))
    """
    known = UNITS.get(" ".join(text.casefold().split()).replace(" / ", "/"))
    return (known, NONE) if known else ("", "D15")


def identifier(text: str) -> tuple[str, str]:
    """A patient's code, kept as text; refused (C04) where a spreadsheet has rounded it to a number.

    >>> identifier("007"), identifier("1E5"), identifier("1.23457E+15")
    (('007', ''), ('1E5', ''), ('', 'C04'))
    """
    return ("", "C04") if _ROUNDED_ID.fullmatch(text) else (text, NONE)


def cleaned(text: str) -> str:
    """A cell's text as every rule sees it: compatibility form, no invisible characters, trimmed."""
    return clean_text(text) if not text.isascii() or not text.isprintable() else text.strip()
