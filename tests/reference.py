"""The rules of courses, windows, states and rates once more: slow, obvious, and independent of the package.

Plain dictionaries, loops and fractions; nothing here imports numpy, pandas or ketaoutcomes, so that a mistake
would have to be made twice to go unseen. Every part is written to be read beside the rules it spells out.

Rows come in as dictionaries:

- doses: patient, day, and optionally dose (None: amount not recorded), route, days
- scores: patient, day, instrument, timing ("pre" or "post"), and either score or items (None: unanswered)
- people: patient, and optionally protocol, cut_day, observed_from and columns of one's own
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

Row = Mapping[str, Any]
Moment = tuple[int, int]  # a day and where in it: before the dose, the dose itself, after the dose

PRE, DOSE, POST = 0, 1, 2
SUSTAINED_GAP, SUSTAINED_WAIT = 28, 59


@dataclass(frozen=True)
class Protocol:
    """A planned schedule: how many visits, and every length in days."""

    visits: int | None
    session_window: int | None
    induction_limit: int | None
    carry: tuple[int, int] | None
    course_gap: int | None
    maturity: int | None
    end_week: int | None = None


PROTOCOLS: dict[str, Protocol] = {
    "iv6": Protocol(6, 7, 35, (7, 63), 91, 35 + 31),
    "iv6_weekly": Protocol(6, 10, 60, (11, 63), 91, 60 + 31),
    "im": Protocol(4, 10, 42, (11, 47), 69, 42 + 31),
    "esketamine": Protocol(8, 7, 45, (7, 21), 45, 45 + 31),
    "home": Protocol(None, None, None, (7, 7), 45, 59, end_week=8),
    "none": Protocol(None, None, None, None, None, None),
}

Rule = Callable[[Fraction, Fraction], bool]  # baseline, score -> met

CRITERIA: dict[str, Rule] = {
    "phq9_response50": lambda baseline, score: score <= baseline / 2,
    "phq9_response_orig": lambda baseline, score: score <= baseline / 2 and score <= 9,
    "phq9_partial25": lambda baseline, score: baseline / 2 < score <= baseline * Fraction(3, 4),
    "phq9_remission_lt5": lambda baseline, score: score < 5,
    "phq9_remission_le5": lambda baseline, score: score <= 5,
    "phq9_reliable6": lambda baseline, score: baseline - score >= 6,
    "phq9_mcid5": lambda baseline, score: baseline - score >= 5,
    "phq9_deterioration": lambda baseline, score: score - baseline >= 6,
    "pcl5_reliable15": lambda baseline, score: baseline - score >= 15,
    "pcl5_reliable18": lambda baseline, score: baseline - score >= 18,
    "pcl5_change10": lambda baseline, score: baseline - score >= 10,
    "pcl5_resp30": lambda baseline, score: score <= baseline * Fraction(7, 10),
    "pcl5_resp50": lambda baseline, score: score <= baseline / 2,
    "pcl5_below33": lambda baseline, score: baseline >= 33 and score < 33,
    "pcl5_csc28": lambda baseline, score: score <= 28 and baseline - score >= 15,
    "pcl5_remission20": lambda baseline, score: score < 20,
    "pcl5_loss_dx": lambda baseline, diagnosis: not diagnosis,
    "gad7_response50": lambda baseline, score: score <= baseline / 2,
    "gad7_remission_lt5": lambda baseline, score: score < 5,
    "gad7_mcid4": lambda baseline, score: baseline - score >= 4,
    "peg_response30": lambda baseline, score: score <= baseline * Fraction(7, 10),
}
PERCENT_RULES = {
    "phq9_response50", "phq9_response_orig", "phq9_partial25", "pcl5_resp30", "pcl5_resp50",
    "gad7_response50", "peg_response30",
}  # fmt: skip
DIAGNOSIS_RULES = {"pcl5_loss_dx"}


@dataclass(frozen=True)
class Settings:
    """What the analysis plan fixes, as far as the rules here need it."""

    by_route: Mapping[str, str] = field(
        default_factory=lambda: {
            "iv": "iv6", "im": "im", "intranasal": "esketamine", "sublingual": "home", "oral": "home",
        }
    )  # fmt: skip
    everyone: str | None = None
    own_protocols: Mapping[str, Protocol] = field(default_factory=dict)
    index: int = 1
    observed_from: int | None = None
    entry: tuple[tuple[str, tuple[str, ...]], ...] = ()
    within_days: int = 14
    gate: Mapping[str, int] = field(default_factory=lambda: {"phq9": 10, "pcl5": 33, "gad7": 10})
    prorate: bool = True
    schedule: str = "every session"
    every_days: int | None = None
    weeks: tuple[int, ...] = (1, 2, 4, 6, 8, 12)
    margin: int = 3
    end_days: tuple[int, int, int] = (1, 14, 31)

    def protocol(self, name: str) -> Protocol:
        """The schedule of this name, the plan's own before the built-in ones."""
        return {**PROTOCOLS, **self.own_protocols}[name]


@dataclass(frozen=True)
class Score:
    """One questionnaire: when, its exact total, and the provisional diagnosis where it is known."""

    moment: Moment
    total: Fraction
    diagnosis: bool | None

    @property
    def day(self) -> int:
        """The day it was completed."""
        return self.moment[0]


@dataclass
class Course:
    """One treatment series of one patient."""

    patient: str
    number: int
    protocol: str
    days: list[int]  # its dose days
    ends: dict[int, int]  # dose day -> last day its records cover
    induction: list[int]  # dose days within induction; empty where there are no visits
    next_first: int | None  # first dose day of the next course
    all_days: list[int]  # every dose day of the patient

    @property
    def first(self) -> int:
        """The day of the first dose."""
        return self.days[0]


# --- scoring ---------------------------------------------------------------------------------------------


def total_of(instrument: str, items: Sequence[int | None], prorate: bool = True) -> Fraction | None:
    """The total of one questionnaire's answers; None where it may not be scored."""
    answered = [item for item in items if item is not None]
    missing = len(items) - len(answered)
    allowed = {"phq9": 2}.get(instrument, 0) if prorate else 0
    if missing > allowed:
        return None
    mean = Fraction(sum(answered), len(answered))
    return mean if instrument == "peg" else mean * len(items)


def diagnosis_of(instrument: str, items: Sequence[int | None]) -> bool | None:
    """PCL-5's provisional diagnosis: at least 1 B, 1 C, 2 D and 2 E items rated 2 or more."""
    if instrument != "pcl5" or any(item is None for item in items):
        return None
    high = [item is not None and item >= 2 for item in items]
    return sum(high[0:5]) >= 1 and sum(high[5:7]) >= 1 and sum(high[7:14]) >= 2 and sum(high[14:20]) >= 2


def scores_of(
    rows: Iterable[Row], patient: str, instrument: str, last: int | None, plan: Settings
) -> list[Score]:
    """A patient's scores up to the as-of day, in order; what cannot be scored is no score."""
    found = []
    for row in rows:
        if row["patient"] != patient or row["instrument"] != instrument:
            continue
        if last is not None and row["day"] > last:
            continue
        items = row.get("items")
        diagnosis = None
        if items is not None:
            total = total_of(instrument, items, plan.prorate)
            diagnosis = diagnosis_of(instrument, items)
        else:
            total = None if row["score"] is None else Fraction(row["score"])
        if total is not None:
            moment = (row["day"], POST if row["timing"] == "post" else PRE)
            found.append(Score(moment, total, diagnosis))
    return sorted(found, key=lambda score: score.moment)


# --- courses ---------------------------------------------------------------------------------------------


def dose_days(
    rows: Iterable[Row], patient: str, last: int | None
) -> tuple[dict[int, int], dict[int, set[str]]]:
    """Each dose day's last covered day and its routes: amount 0 is not a dose, a blank amount is one."""
    ends: dict[int, int] = {}
    routes: dict[int, set[str]] = {}
    for row in rows:
        if row["patient"] != patient or row.get("dose") == 0:
            continue
        day = row["day"]
        if last is not None and day > last:
            continue
        ends[day] = max(ends.get(day, day), day + (row.get("days") or 1) - 1)
        routes.setdefault(day, set())
        if row.get("route"):
            routes[day].add(row["route"])
    return ends, routes


def protocol_name(person: Row, routes: set[str], plan: Settings) -> str:
    """By the person, else the plan's one for everyone, else by the route of the first dose."""
    if person.get("protocol"):
        return str(person["protocol"])
    if plan.everyone:
        return plan.everyone
    return next(name for route, name in plan.by_route.items() if route in routes)


def courses_of(rows: Iterable[Row], person: Row, last: int | None, plan: Settings) -> list[Course]:
    """A patient's courses: runs of dose days with no gap longer than the current protocol's course gap."""
    ends, routes = dose_days(rows, person["patient"], last)
    runs: list[list[int]] = []
    names: list[str] = []
    covered = 0
    for day in sorted(ends):
        gap = plan.protocol(names[-1]).course_gap if names else None
        if not runs or (gap is not None and day - covered > gap):
            runs.append([])
            names.append(protocol_name(person, routes[day], plan))
            covered = ends[day]
        runs[-1].append(day)
        covered = max(covered, ends[day])
    courses = []
    for number, (days, name) in enumerate(zip(runs, names, strict=True), start=1):
        protocol = plan.protocol(name)
        induction = []
        if protocol.visits is not None and protocol.induction_limit is not None:
            induction = [day for day in days if day <= days[0] + protocol.induction_limit][: protocol.visits]
        following = runs[number][0] if number < len(runs) else None
        courses.append(
            Course(person["patient"], number, name, days, ends, induction, following, sorted(ends))
        )
    return courses


def covered(course: Course, day: int, plan: Settings) -> bool:
    """Whether a dose of the course still acts on this day."""
    protocol = plan.protocol(course.protocol)
    if protocol.carry is None:
        return True
    for position, dosed in enumerate(course.days, start=1):
        in_induction = protocol.visits is None or (
            position < protocol.visits and dosed <= course.first + (protocol.induction_limit or 0)
        )
        carry = protocol.carry[0] if in_induction else protocol.carry[1]
        until = course.ends[dosed] + carry
        later = [other for other in course.all_days if other > dosed]
        if later:
            until = min(until, later[0])
        if dosed <= day < until:
            return True
    return False


# --- baselines -------------------------------------------------------------------------------------------


def baseline_of(course: Course, scores: Sequence[Score], plan: Settings) -> Score | None:
    """The last score from so many days before the first dose up to it."""
    earliest = (course.first - plan.within_days, PRE)
    candidates = [score for score in scores if earliest <= score.moment < (course.first, DOSE)]
    return candidates[-1] if candidates else None


def why_not(course: Course, person: Row, baseline: Score | None, instrument: str, plan: Settings) -> str:
    """The first reason a course is left out, or `eligible`."""
    gap = plan.protocol(course.protocol).course_gap
    records_begin = person.get("observed_from")
    if records_begin is None:
        records_begin = plan.observed_from
    if records_begin is not None and gap is not None and course.first <= records_begin + gap:
        return "start_not_observed"
    if baseline is None:
        return "no_baseline"
    if baseline.total < plan.gate.get(instrument, 0):
        return "below_gate"
    for column, values in plan.entry:
        if person.get(column) not in values:
            return f"entry:{column}"
    return "eligible"


# --- windows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """One point of one course: the scores it may judge, and the limits of everything around it."""

    point: str
    given: bool
    candidates: list[Score]  # for `current`
    nearest_to: int | None  # None: the last candidate; else the nearest, ties to the later
    close: Moment  # `ever` and carried scores count up to here
    due_day: int  # due on this day; records of `sustained` are read SUSTAINED_WAIT days longer
    course_only: (
        bool  # `ever` and `sustained` read the course's scores, else any of the patient since its start
    )
    scheduled: bool

    def picked(self) -> Score | None:
        """The score `current` judges."""
        if not self.candidates:
            return None
        if self.nearest_to is None:
            return self.candidates[-1]
        target = self.nearest_to
        return min(self.candidates, key=lambda s: (abs(s.day - target), -s.moment[0], -s.moment[1]))


def since_start(course: Course, scores: Sequence[Score]) -> list[Score]:
    """The patient's scores after the course's first dose."""
    return [score for score in scores if score.moment > (course.first, DOSE)]


def of_course(course: Course, scores: Sequence[Score]) -> list[Score]:
    """Those of them before the next course's first dose, that day's score before the dose included."""
    return [
        score
        for score in since_start(course, scores)
        if course.next_first is None or score.moment < (course.next_first, DOSE)
    ]


def session_windows(course: Course, scores: Sequence[Score], plan: Settings) -> list[Window]:
    """Sessions 1 to n: the last score after dose k, up to the next dose day and within the session window."""
    protocol = plan.protocol(course.protocol)
    if protocol.visits is None or protocol.session_window is None or protocol.maturity is None:
        return []
    mature = course.first + protocol.maturity
    windows = []
    for k in range(1, protocol.visits + 1):
        given = k <= len(course.induction)
        close: Moment = (mature, POST)
        candidates: list[Score] = []
        if given:
            dosed = course.induction[k - 1]
            close = min(close, (dosed + protocol.session_window, POST))
            for later in course.all_days:
                if later > dosed:
                    close = min(close, (later, PRE))
            candidates = [s for s in of_course(course, scores) if (dosed, DOSE) < s.moment <= close]
        scheduled = plan.schedule == "every session"
        windows.append(Window(str(k), given, candidates, None, close, mature, True, scheduled))
    return windows


def week_windows(course: Course, scores: Sequence[Score], plan: Settings) -> list[Window]:
    """The plan's weeks: the score nearest to day 7w, any of the patient's, treated again or not."""
    return [_week(course, scores, plan, week, str(week)) for week in plan.weeks]


def _week(course: Course, scores: Sequence[Score], plan: Settings, week: int, point: str) -> Window:
    ideal = course.first + 7 * week
    opens, close = (ideal - plan.margin, PRE), (ideal + plan.margin, POST)
    candidates = [s for s in since_start(course, scores) if opens <= s.moment <= close]
    scheduled = plan.schedule == "every session"
    if plan.schedule == "every days" and plan.every_days is not None:
        multiples = range(plan.every_days, 7 * week + plan.margin + 1, plan.every_days)
        scheduled = any(abs(multiple - 7 * week) <= plan.margin for multiple in multiples)
    due = ideal + plan.margin
    return Window(point, covered(course, ideal, plan), candidates, ideal, close, due, False, scheduled)


def end_windows(course: Course, scores: Sequence[Score], plan: Settings) -> list[Window]:
    """The end of induction: the score nearest to 14 days after its last dose, before a further dose acts."""
    protocol = plan.protocol(course.protocol)
    if protocol.maturity is None:
        return []
    mature = course.first + protocol.maturity
    if protocol.visits is None:
        week = _week(course, scores, plan, protocol.end_week or 0, "end")
        close = min(week.close, (mature, POST))
        within = [s for s in week.candidates if s.moment <= close]
        return [Window("end", week.given, within, week.nearest_to, close, mature, False, True)]
    earliest, ideal, latest = plan.end_days
    last_dose = course.induction[-1]
    close = min((last_dose + latest, POST), (mature, POST))
    candidates = []
    for score in of_course(course, scores):
        if not (last_dose + earliest, PRE) <= score.moment <= close:
            continue
        if any(last_dose < later <= score.day and score.moment > (later, DOSE) for later in course.days):
            continue  # a maintenance dose has acted
        candidates.append(score)
    given = len(course.induction) == protocol.visits
    return [Window("end", given, candidates, last_dose + ideal, close, mature, True, True)]


def month_windows(course: Course, scores: Sequence[Score], plan: Settings) -> list[Window]:
    """The end point, named by the calendar month in which the course matures; days are day ordinals here."""
    found = []
    for window in end_windows(course, scores, plan):
        month = date.fromordinal(window.due_day).strftime("%Y-%m")
        values = (window.given, window.candidates, window.nearest_to, window.close, window.due_day)
        found.append(Window(month, *values, window.course_only, True))
    return found


AXES = {"session": session_windows, "week": week_windows, "end": end_windows, "month": month_windows}


# --- states ----------------------------------------------------------------------------------------------


def state_of(
    window: Window,
    course: Course,
    scores: Sequence[Score],
    baseline: Score,
    criterion: str,
    kind: str,
    last: int | None,
) -> tuple[str, Score | None]:
    """The one state of a course at a point, and the score `current` judged."""
    if criterion in PERCENT_RULES and baseline.total == 0:
        return "excluded:zero_baseline", None
    if criterion in DIAGNOSIS_RULES and baseline.diagnosis is not True:
        return "excluded:no_baseline_diagnosis", None
    due_day = window.due_day + (SUSTAINED_WAIT if kind == "sustained" else 0)
    if last is not None and due_day > last:
        return "not_due", None
    if not window.scheduled:
        return "not_scheduled", None

    def met(score: Score) -> bool:
        value = Fraction(bool(score.diagnosis)) if criterion in DIAGNOSIS_RULES else score.total
        return CRITERIA[criterion](baseline.total, value)

    pool = of_course(course, scores) if window.course_only else since_start(course, scores)
    if kind == "ever":
        seen = [score for score in pool if score.moment <= window.close]
        if not seen:
            return "missing", None
        return ("met" if any(met(score) for score in seen) else "not_met"), None

    picked = window.picked()
    if kind == "current":
        if picked is not None:
            return ("met" if met(picked) else "not_met"), picked
        earlier = [score for score in of_course(course, scores) if score.moment <= window.close]
        if not earlier:
            return "missing", None
        return ("carried_met" if met(earlier[-1]) else "carried_not_met"), earlier[-1]

    if picked is None:
        return "missing", None
    readable = [s for s in pool if picked.moment <= s.moment <= (due_day, POST)]
    for position, score in enumerate(readable):
        if score.day >= picked.day + SUSTAINED_GAP:
            return ("met" if all(met(s) for s in readable[: position + 1]) else "not_met"), picked
    return "missing", None


def points(
    doses: Sequence[Row],
    scores: Sequence[Row],
    people: Sequence[Row],
    plan: Settings,
    *,
    axis: str,
    criteria: Iterable[str],
    kinds: Iterable[str] = ("current",),
    as_of: int | None = None,
    by_cut_day: bool = False,
) -> list[dict[str, Any]]:
    """The state of every counted course at every point of one axis.

    `as_of` None means nothing more will come; `by_cut_day` takes each person's `cut_day` instead.
    """
    rows = []
    persons = {person["patient"]: person for person in people}
    patients = sorted({row["patient"] for row in doses})
    for patient in patients:
        person = persons.get(patient, {"patient": patient})
        last = person["cut_day"] if by_cut_day else as_of
        courses = courses_of(doses, person, last, plan)
        theirs = [row for row in scores if row["patient"] == patient]
        for criterion in criteria:
            instrument = criterion.split("_")[0]
            every_score = scores_of(theirs, patient, instrument, last, plan)
            counted = counted_course(courses, person, every_score, instrument, plan)
            if counted is None:
                continue
            course, baseline = counted
            known = every_score
            if criterion in DIAGNOSIS_RULES:
                known = [score for score in every_score if score.diagnosis is not None]
            for window in AXES[axis](course, known, plan):
                for kind in kinds:
                    state, judged = state_of(window, course, known, baseline, criterion, kind, last)
                    rows.append({
                        "patient": patient, "course": course.number, "protocol": course.protocol,
                        "instrument": instrument, "criterion": criterion, "kind": kind, "axis": axis,
                        "point": window.point, "given": "yes" if window.given else "no", "state": state,
                        "day": judged.day if judged else None, "score": judged.total if judged else None,
                    })  # fmt: skip
    return rows


def counted_course(
    courses: Sequence[Course], person: Row, scores: Sequence[Score], instrument: str, plan: Settings
) -> tuple[Course, Score] | None:
    """The patient's first (or second, ...) eligible course for an instrument, with its baseline score."""
    eligible = []
    for course in courses:
        baseline = baseline_of(course, scores, plan)
        if why_not(course, person, baseline, instrument, plan) == "eligible" and baseline is not None:
            eligible.append((course, baseline))
    return eligible[plan.index - 1] if len(eligible) >= plan.index else None


# --- rates -----------------------------------------------------------------------------------------------


def rates(rows: Iterable[Row], by: Sequence[str] = ()) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Numerators and denominators per criterion, kind, analysis, group and point, from the states alone."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = (row["criterion"], row["kind"], *(row[column] for column in by), row["point"])
        groups.setdefault(key, []).append(row)
    result = {}
    for key, members in groups.items():
        states = [row["state"] for row in members]
        counted = [row for row in members if not row["state"].startswith(("excluded", "not_due"))]
        scheduled = sum(row["state"] != "not_scheduled" for row in counted)
        met, not_met = states.count("met"), states.count("not_met")
        carried = states.count("carried_met")
        analyses = {"nri": (met, scheduled), "observed": (met, met + not_met)}
        if key[1] == "current":
            analyses["locf"] = (met + carried, scheduled)
        for analysis, (numerator, n) in analyses.items():
            result[(*key, analysis)] = {
                "due": len(counted),
                "given": sum(row["given"] == "yes" for row in counted),
                "assessed": met + not_met,
                "met": numerator,
                "n": n,
                "rate": Fraction(numerator, n) if n else None,
            }
    return result
