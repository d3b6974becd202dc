"""Calendar periods: months, and runs of months that are told as one."""

from __future__ import annotations

import datetime
from typing import NamedTuple

_LETTERS = {"Q": 3, "H": 6}


class Period(NamedTuple):
    """A run of whole months: its first month, counted from year 0, and how many there are."""

    first: int
    months: int = 1

    @property
    def last(self) -> int:
        """Its last month."""
        return self.first + self.months - 1

    @property
    def name(self) -> str:
        """As in tables: the month, or the first and the last one (ISO 8601).

        >>> Period(24319).name, Period(24319, 3).name
        ('2026-08', '2026-08/2026-10')
        """
        names = [f"{month // 12}-{month % 12 + 1:02d}" for month in (self.first, self.last)]
        return names[0] if self.months == 1 else "/".join(names)


def period(name: str) -> Period | None:
    """A period from its name; None for anything else.

    >>> period("2026-10"), period("2026-Q4"), period("2026-08/2026-10"), period("end")
    (Period(first=24321, months=1), Period(first=24321, months=3), Period(first=24319, months=3), None)
    """
    begin, _, end = name.partition("/")
    if end:
        first, last = _month(begin), _month(end)
        return Period(first, last - first + 1) if 0 <= first <= last else None
    year, _, part = begin.partition("-")
    months = _LETTERS.get(part[:1], 1)
    number = part if months == 1 else part[1:]
    if not (year.isdigit() and number.isdigit()):
        return None
    return Period(12 * int(year) + (int(number) - 1) * months, months)


def _month(text: str) -> int:
    year, _, number = text.partition("-")
    return 12 * int(year) + int(number) - 1 if year.isdigit() and number.isdigit() else -1


def closed_until(as_of: str) -> int:
    """The last month that is over on a day, counted from year 0; -1 where the day is no date.

    >>> closed_until("2026-10-31") - closed_until("2026-10-30"), closed_until("complete")
    (1, -1)
    """
    try:
        day = datetime.date.fromisoformat(as_of)
    except ValueError:
        return -1
    whole = (day + datetime.timedelta(days=1)).day == 1
    return 12 * day.year + day.month - (1 if whole else 2)


def last_day(month: int) -> str:
    """The last day of a month counted from year 0, as an ISO date.

    >>> last_day(closed_until("2024-02-29"))
    '2024-02-29'
    """
    after = month + 1
    return str(datetime.date(after // 12, after % 12 + 1, 1) - datetime.timedelta(days=1))
