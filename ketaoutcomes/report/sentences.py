"""The words of a report: how a criterion, a reason or a day is said to someone who did not write the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ketaoutcomes.results.wording import calendar_day, label

if TYPE_CHECKING:
    from fractions import Fraction

    from ketaoutcomes.definitions import Criterion, Instrument

REASONS = {
    "kept": "rows used",
    "filtered": "set aside by the plan's row filter",
    "duplicate": "repeats of a row already read",
    "quarantined": "kept out because a value could not be trusted",
    "with_course": "patients with a treatment series",
    "no_dose": "no dose on record",
    "eligible": "series judged",
    "other_course": "another series of a patient than the one judged",
    "no_baseline": "no score in the days before the first dose",
    "below_gate": "baseline score below the entry threshold",
    "start_not_observed": "series may have begun before the records do",
    "later_course": "later series of a patient already counted",
    "due": "due",
    "not_due": "not yet due: too little time since the first dose",
    "given": "given",
    "not_given": "not given",
    "hidden": "hidden: describes too few people",
    "not_visit_based": "this schedule has no numbered sessions: it is judged by week",
    "no_cut_day": "the records do not say when they end",
    "judged_by_week_only": "there is no schedule to judge by, only weeks since the first dose",
    "no_dates": "the records hold no calendar dates",
    "nobody_scored": "nobody was scored",
    "nobody_due": "nobody with a baseline score to judge by is due yet",
    "not_scheduled": "no score was planned here",
}
"""Reason codes in plain words; codes with a detail after a colon are looked up by what stands before it."""

AS_OF = {
    "complete": "the records are complete; nothing is still open",
    "cut_day": "each patient's records, to their own last known day",
    "none": "the records do not say when they end",
}

DATES = {
    "offsets": "Days are counted from each patient's first record; the input held no calendar dates.",
    "dates": "The input held calendar dates, which makes it a HIPAA limited data set.",
    "shifted": "The input's dates had been shifted per patient; calendar months mean nothing here.",
}


def reason(code: str) -> str:
    """A reason code in plain words.

    >>> reason("no_baseline"), reason("entry:prior_ketamine"), reason("quarantined:D02")
    ('no score in the days before the first dose', 'left out by the entry rule on prior_ketamine', \
'kept out because a value could not be trusted (D02)')
    """
    head, _, detail = code.partition(":")
    if head == "entry":
        return f"left out by the entry rule on {label(detail)}"
    if head == "excluded":
        return f"excluded: {label(detail)}"
    known = REASONS.get(head, label(head.replace("_", " ")))
    return f"{known} ({label(detail)})" if detail else known


def as_of(text: str) -> str:
    """The as-of day of a report.

    >>> as_of("2026-10-31"), as_of("complete")
    ('records to 31 October 2026', 'the records are complete; nothing is still open')
    """
    return AS_OF.get(text) or f"records to {calendar_day(text)}"


def counted(records: str, closed: str) -> str:
    """The as-of day of a report, and the day to which it counts where that is an earlier one.

    >>> counted("2026-11-30", "2026-10-31")
    'records to 30 November 2026, counted to 31 October 2026'
    """
    return as_of(records) if records == closed else f"{as_of(records)}, counted to {calendar_day(closed)}"


def known_to(criterion: Criterion, instrument: Instrument) -> str:
    """What patients who meet a criterion "are known" to have done.

    >>> from ketaoutcomes.definitions import load
    >>> known = load()
    >>> known_to(known.criterion("phq9_response50"), known.instrument("phq9"))
    'to have at least halved their PHQ-9'
    >>> known_to(known.criterion("phq9_remission_lt5"), known.instrument("phq9"))
    'to be in remission (PHQ-9 below 5)'
    >>> known_to(known.criterion("pcl5_reliable15"), known.instrument("pcl5"))
    'to have lowered their PCL-5 by 15 points or more'
    """
    test, value, down = label(instrument.title), _plain(criterion.value), _lowered(criterion)
    below, at_most = _sides(criterion)
    place = {"below": f"{test} {below} {value}", "at_most": f"{test} {at_most} {value}"}.get(criterion.rule)
    if criterion.rule == "fall_percent":
        halved = value == "50" and down == "lowered"
        fell = f"{down} their {test} by {value}\u202f% or more"
        return f"to have at least halved their {test}" if halved else f"to have {fell}"
    if criterion.rule == "fall_points":
        return f"to have {down} their {test} by {value} points or more"
    if criterion.rule == "crosses_below":
        return f"to have come {below} {value} on the {test}"
    if place:
        return (
            f"to be in remission ({place})"
            if criterion.short.startswith("remission")
            else f"to have a {place}"
        )
    return f"to meet “{label(criterion.title)}”"


def short_name(criterion: Criterion) -> str:
    """A criterion in two or three words, for the end of a line or the head of a column.

    >>> from ketaoutcomes.definitions import load
    >>> [short_name(load().criterion(name)) for name in ("phq9_response50", "phq9_remission_lt5")]
    ['halved', 'remission, below 5']
    >>> [short_name(load().criterion(name)) for name in ("pcl5_reliable15", "pcl5_below33")]
    ['down 15 points', 'now below 33']
    """
    value, down = _plain(criterion.value), _lowered(criterion) == "lowered"
    below, at_most = _sides(criterion)
    remission = "remission, " if criterion.short.startswith("remission") else ""
    words = {
        "fall_percent": "halved" if value == "50" and down else f"{'down' if down else 'up'} {value}\u202f%",
        "fall_points": f"{'down' if down else 'up'} {value} points",
        "rise_points": f"{'up' if down else 'down'} {value} points",
        "below": f"{remission}{below} {value}",
        "at_most": f"{remission}{at_most} {value}",
        "crosses_below": f"now {below} {value}",
        "lost_diagnosis": "diagnosis no longer met",
    }
    return words.get(criterion.rule) or label(criterion.short.replace("_", " "))


def source(cite: str) -> str:
    """A citation as printed: `house` is this package's own choice and says so.

    >>> source("house"), source("Kroenke 2001")
    ('no published source: this package’s own choice (house)', 'Kroenke 2001')
    """
    return "no published source: this package’s own choice (house)" if cite == "house" else cite


def _lowered(criterion: Criterion) -> str:
    return "lowered" if criterion.worse == "higher" else "raised"


def _sides(criterion: Criterion) -> tuple[str, str]:
    return ("below", "at most") if criterion.worse == "higher" else ("above", "at least")


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"
