"""Texts to calendar days: ISO as it stands, anything else only by the plan's `date_format`.

The process's locale plays no part. A time of day is checked and left out: the local date as written decides
the day, unless the plan names the clinic's `time_zone` and the time its own offset.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from ketaoutcomes.intake.findings import Stop

FIRST_DAY = datetime.date(1990, 1, 1)
LAST_DAY = datetime.date(2049, 12, 31)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = (
    r"(?:[T ]\s*(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,][0-9]+)?)?"
    r"\s*(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_ISO = re.compile(
    r"(?P<year>[0-9]{4})([-/.])(?P<month>[0-9]{1,2})\2(?P<day>[0-9]{1,2})" + _TIME, re.IGNORECASE
)
_COMPACT = re.compile(r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})(?P<day>[0-9]{2})" + _TIME, re.IGNORECASE)
_NUMERIC = re.compile(r"([0-9]{1,2})([-/. ])([0-9]{1,2})\2([0-9]{4}|[0-9]{2})\b.*")
_NAMED = re.compile(r"([0-9]{1,2})[-/. ]?([A-Za-z]{3,9})[-/. ,]*([0-9]{4}|[0-9]{2})\b.*")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})[-/. ]*([0-9]{1,2})[-/. ,]+([0-9]{4}|[0-9]{2})\b.*")
_TOKENS = re.compile("YYYY|MON|MM|DD|YY|hh|mm")
_PATTERNS = {
    "YYYY": "(?P<year>[0-9]{4})",
    "YY": "(?P<year>[0-9]{2})",
    "MON": "(?P<month>[A-Za-z]{3,9})",
    "MM": "(?P<month>[0-9]{1,2})",
    "DD": "(?P<day>[0-9]{1,2})",
    "hh": "(?P<hour>[0-9]{1,2})",
    "mm": "(?P<minute>[0-9]{2})",
}
_UTC = {"Z", "z", "+00:00", "-00:00", "+0000", "-0000"}


def compiled(date_format: str) -> re.Pattern[str]:
    """A declared format as a pattern; a time may follow the date where the format has none.

    >>> bool(compiled("DD-MON-YY").fullmatch("03-Mar-25"))
    True
    """
    parts, at = [], 0
    for match in _TOKENS.finditer(date_format):
        parts += [re.escape(date_format[at : match.start()]), _PATTERNS[match[0]]]
        at = match.end()
    tail = re.escape(date_format[at:])
    return re.compile("".join(parts) + tail + ("" if "hh" in date_format else _TIME), re.IGNORECASE)


def date(
    text: str, declared: re.Pattern[str] | None = None, zone: ZoneInfo | None = None
) -> tuple[datetime.date | None, str]:
    """One date, and the rule it breaks: E05 no such day, E04 a spreadsheet's serial, E07 a placeholder.

    With a `zone`, a time that has an offset (or Z) falls on the day it was there; one without is local.

    >>> date("2025-02-28"), date("2025-02-30"), date("45678"), date("9999-12-31")
    ((datetime.date(2025, 2, 28), ''), (None, 'E05'), (None, 'E04'), (None, 'E07'))
    """
    match = declared.fullmatch(text) if declared else None
    match = match or _ISO.fullmatch(text) or (None if declared else _COMPACT.fullmatch(text))
    if match is None:
        return None, "E04" if re.fullmatch(r"[0-9]{5}(\.[0-9]+)?", text) else "E05"
    part = match.groupdict()
    if not _time_exists(part):
        return None, "E05"
    year, month = int(part["year"]), _month(part["month"])
    if len(part["year"]) == 2:
        year += 2000 if year < 50 else 1900
    try:
        found = datetime.date(year, month, int(part["day"]))
        if zone is not None and part.get("zone"):
            found = _local(found, part, zone)
    except (ValueError, OverflowError):
        return None, "E05"
    return (found, "") if FIRST_DAY <= found <= LAST_DAY else (None, "E07")


def _local(day: datetime.date, part: dict[str, str | None], zone: ZoneInfo) -> datetime.date:
    """The calendar day it was in a time zone, at a time with an offset."""
    hour, minute, offset = int(part["hour"] or 0), int(part["minute"] or 0), str(part["zone"])
    west = -1 if offset[0] == "-" else 1
    ahead = (
        datetime.timedelta()
        if offset in _UTC
        else west * datetime.timedelta(hours=int(offset[1:3]), minutes=int(offset[-2:]))
    )
    moment = datetime.datetime.combine(day, datetime.time(hour, minute), datetime.timezone(ahead))
    return moment.astimezone(zone).date()


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    return MONTHS.index(text[:3].casefold()) + 1 if text[:3].casefold() in MONTHS else 0


def _time_exists(part: dict[str, str | None]) -> bool:
    hour, minute, second = (int(part.get(name) or 0) for name in ("hour", "minute", "second"))
    return hour < 24 and minute < 60 and second < 60


def check_dates(texts: Sequence[str], declared: str | None, column: str, *, zoned: bool = False) -> None:
    """Refuse a column of dates whose reading would be a guess; the message has the line to write.

    `zoned`: the clinic's time zone is known.
    """
    odd = [text for text in texts if text and not _ISO.fullmatch(text)]
    if declared is None:
        wanted = _formats(odd)
        if wanted:
            lines = " or ".join(f'date_format = "{one}"' for one in wanted)
            message = f"holds dates that are not YYYY-MM-DD; write under [columns]: {lines}"
            raise Stop("E01", message, column=column, setting={"date_format": wanted})
    if not zoned:
        _check_zones(texts, column)


def local_zone(
    texts: Sequence[str], name: str | None, declared: re.Pattern[str] | None = None
) -> ZoneInfo | None:
    """The clinic's time zone, where a column's times need one: midnight in UTC throughout means dates."""
    patterns = [_ISO, _COMPACT] if declared is None else [declared, _ISO]
    found = [next((m for one in patterns if (m := one.fullmatch(text))), None) for text in texts]
    timed = [m for m in found if m is not None and m.groupdict().get("zone")]
    return None if name is None or not timed or _are_dates(timed) else ZoneInfo(name)


def _are_dates(timed: Sequence[re.Match[str]]) -> bool:
    return all(m["zone"] in _UTC and not int(m["hour"]) and not int(m["minute"]) for m in timed)


def _formats(texts: Iterable[str]) -> list[str]:
    """The formats in which every oddly written date exists; every candidate where none fits them all."""
    numeric = [m for text in texts if (m := _NUMERIC.fullmatch(text))]
    if numeric:
        mark, year = numeric[0][2], "YYYY" if len(numeric[0][4]) == 4 else "YY"
        day_first = all(int(m[1]) <= 31 and int(m[3]) <= 12 for m in numeric)
        month_first = all(int(m[1]) <= 12 and int(m[3]) <= 31 for m in numeric)
        both = [f"DD{mark}MM{mark}{year}", f"MM{mark}DD{mark}{year}"]
        return [one for one, fits in zip(both, (day_first, month_first), strict=True) if fits] or both
    for pattern, shape in ((_NAMED, "day"), (_MONTH_FIRST, "month")):
        named = [
            m
            for text in texts
            if (m := pattern.fullmatch(text)) and (m[2] if shape == "day" else m[1])[:3].casefold() in MONTHS
        ]
        if named:
            found = named[0]
            year = "YYYY" if len(found[3]) == 4 else "YY"
            if shape == "month":
                between = found[0][found.end(1) : found.start(2)], found[0][found.end(2) : found.start(3)]
                return [f"MON{between[0]}DD{between[1]}{year}"]
            between = found[0][found.end(1) : found.start(2)], found[0][found.end(2) : found.start(3)]
            return [f"DD{between[0]}MON{between[1]}{year}"]
    return []


def _check_zones(texts: Sequence[str], column: str) -> None:
    """Times in UTC do not say which local day it was; times with a local offset do."""
    timed = [m for text in texts if (m := _ISO.fullmatch(text) or _COMPACT.fullmatch(text)) and m["zone"]]
    if timed and not _are_dates(timed) and all(m["zone"] in _UTC for m in timed):
        message = (
            "holds times in UTC, which do not say the clinic's local day; write under [columns]: "
            'time_zone = "Europe/Berlin" (the clinic\'s), or export local times, or dates only'
        )
        raise Stop("E10", message, column=column)
