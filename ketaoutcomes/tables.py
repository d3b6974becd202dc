"""The tables of ketaoutcomes: each declared once, with the meaning of every column.

Checks, documentation and the glossary all read these declarations, so a column cannot mean one thing in
the manual and another in the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["text", "integer", "number", "yes_no", "date"]


@dataclass(frozen=True)
class Column:
    """One column: its name, what it holds, what it means, and whether a cell may be blank."""

    name: str
    kind: Kind
    meaning: str
    nullable: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Table:
    """One table: what a row of it stands for, its columns, and whether it may carry columns of its own."""

    name: str
    one_row_per: str
    columns: tuple[Column, ...]
    open: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The declared column names, in order."""
        return tuple(column.name for column in self.columns)


def _table(name: str, one_row_per: str, *columns: Column, own: bool = False) -> Table:
    return Table(name, one_row_per, columns, own)


PATIENT = Column("patient", "text", "the patient's code, as text: 007 and 7 are two people")
DAY = Column("day", "integer", "day of the patient's own calendar; day 0 is start_date where dates are known")
COURSE = Column("course", "integer", "which treatment course of the patient, from 1")
INSTRUMENT = Column("instrument", "text", "the questionnaire: phq9, pcl5, gad7, ...")
CRITERION = Column("criterion", "text", "the cited rule judged, with its instrument: phq9_response50")
AXIS = Column("axis", "text", "session, week or end")
POINT = Column("point", "text", "which session or week; `end` for the end of induction")
LIMITS = (
    Column("rate", "number", "people / n", nullable=True),
    Column("low", "number", "lower limit of the interval", nullable=True),
    Column("high", "number", "upper limit of the interval", nullable=True),
)

METHOD = (
    Column("method", "text", "aalen_johansen or kaplan_meier: the latter where nobody stopped first"),
    Column("why", "text", "why that method"),
)
ESTIMATE = (
    Column("estimate", "number", "the share with the event by that day", nullable=True),
    Column("se", "number", "its standard error", nullable=True),
)
MEDIAN = (
    Column("median", "integer", "the day (session) by which half had the event", nullable=True),
    Column("median_low", "integer", "where the upper limit reaches one half", nullable=True),
    Column("median_high", "integer", "where the lower limit does", nullable=True),
    Column("median_reason", "text", "not_reached, or why it is not known", nullable=True),
    Column("until", "integer", "days (sessions) the mean counts", nullable=True),
    Column("restricted_mean", "number", "mean days without the event among them", nullable=True),
    Column("restricted_se", "number", "its standard error", nullable=True),
    Column("restricted_reason", "text", "why there is no mean", nullable=True),
)
RELAPSE = Column("relapse", "text", "the rule a relapse is judged by")
WHY_NOT = Column("reason", "text", "why there is no estimate; blank where there is one", nullable=True)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        _table(
            "doses", "patient, day, route and unit",
            PATIENT, DAY,
            Column("dose", "number", "amount given that day in `unit`; doses of one day add up; blank: amount not recorded", nullable=True),
            Column("unit", "text", "mg, mg/kg, ...", nullable=True),
            Column("route", "text", "iv, im, sc, intranasal, sublingual, oral", nullable=True),
            Column("days", "integer", "days the record covers: 1 for a session, more for dispensed or interval records"),
            Column("given", "integer", "how many administrations were added up"),
            Column("site", "text", "where it was given", nullable=True, optional=True),
            Column("weight_kg", "number", "body weight that day in kilograms", nullable=True, optional=True),
        ),
        _table(
            "scores", "patient, instrument, day and timing",
            PATIENT, INSTRUMENT, DAY,
            Column("timing", "text", "pre (default) or post: before or after that day's dose"),
            Column("score", "number", "total in points, prorated where the instrument publishes a rule; blank: cannot be scored", nullable=True),
            Column("answered", "integer", "items answered; blank where only a total was recorded", nullable=True),
            Column("prorated", "yes_no", "whether missing items were replaced by the mean of those answered"),
            Column("diagnosis", "yes_no", "whether the items meet the instrument's provisional diagnosis; blank: no rule or items missing", nullable=True),
            Column("flag", "integer", "the safety item's answer (PHQ-9 item 9); blank: not recorded", nullable=True),
        ),
        _table(
            "people", "patient",
            PATIENT,
            Column("start_date", "date", "calendar date of day 0; with it the data are a HIPAA limited data set", nullable=True, optional=True),
            Column("site", "text", "site, where doses carry none", nullable=True, optional=True),
            Column("protocol", "text", "the planned schedule, where it is not read from the first dose's route", nullable=True, optional=True),
            Column("target_dose", "number", "the dose aimed for, set beforehand", nullable=True, optional=True),
            Column("target_unit", "text", "unit of the target dose", nullable=True, optional=True),
            Column("target_day", "integer", "day on which the target was set", nullable=True, optional=True),
            Column("weight_kg", "number", "body weight in kilograms", nullable=True, optional=True),
            Column("cut_day", "integer", "last day on which this patient's records are known to be complete", nullable=True, optional=True),
            Column("observed_from", "integer", "first day on which this patient's records are known to be complete", nullable=True, optional=True),
            Column("birth_day", "integer", "day of birth (far below 0), where a measure asks for an age; read from frames only, as `birth_date`", nullable=True, optional=True),
            own=True,
        ),
        _table(
            "events", "patient, day and kind",
            PATIENT, DAY,
            Column("kind", "text", "encounter, diagnosis, death, hospice, palliative, stop, adverse_event, ..., in lower case"),
            Column("code", "text", "the code or reason recorded, as data: nothing is looked up in it but by a measure's definition", nullable=True),
            Column("days", "integer", "how many days it lasted; blank: one day, or, for a diagnosis, from then on", nullable=True),
        ),
        _table(
            "monitoring", "patient and dose day; every reading may be blank: not recorded, never no",
            PATIENT, DAY,
            Column("bp_systolic_before", "integer", "systolic blood pressure before the dose, in mmHg", nullable=True, optional=True),
            Column("bp_diastolic_before", "integer", "diastolic blood pressure before the dose, in mmHg", nullable=True, optional=True),
            Column("bp_systolic_40min", "integer", "systolic blood pressure about 40 minutes after the dose, in mmHg", nullable=True, optional=True),
            Column("bp_diastolic_40min", "integer", "diastolic blood pressure about 40 minutes after the dose, in mmHg", nullable=True, optional=True),
            Column("bp_systolic_discharge", "integer", "systolic blood pressure when the session ended, in mmHg", nullable=True, optional=True),
            Column("bp_diastolic_discharge", "integer", "diastolic blood pressure when the session ended, in mmHg", nullable=True, optional=True),
            Column("sedation", "yes_no", "whether the patient was sedated", nullable=True, optional=True),
            Column("dissociation", "yes_no", "whether the patient dissociated", nullable=True, optional=True),
            Column("cadss", "integer", "CADSS total, the highest of the session, 0 to 92", nullable=True, optional=True),
            Column("nausea", "yes_no", "whether the patient was sick or felt so", nullable=True, optional=True),
            Column("serious_event", "yes_no", "whether there was a serious adverse event", nullable=True, optional=True),
            Column("minutes_observed", "integer", "minutes from the dose to the end of the session", nullable=True, optional=True),
        ),
        _table(
            "problems", "finding",
            Column("file", "text", "which input"),
            Column("row", "integer", "row of that input, the header being row 1; 0 where the finding is about the file", nullable=True),
            Column("column", "text", "which column, as the input calls it; an instrument whose items stand in several; blank where the finding is about the row", nullable=True),
            Column("rule", "text", "the rule's code; `ketaoutcomes explain CODE` says more"),
            Column("action", "text", "normalised, quarantined, refused, or asked: kept, and to be confirmed"),
        ),
        _table(
            "courses", "patient and course",
            PATIENT, COURSE,
            Column("protocol", "text", "the schedule the course is judged by"),
            Column("route", "text", "route of the first dose", nullable=True),
            Column("unit", "text", "unit of the first dose", nullable=True),
            Column("site", "text", "site of the first dose", nullable=True),
            Column("first_day", "integer", "day of the first dose"),
            Column("induction_end", "integer", "day of the last induction dose"),
            Column("last_day", "integer", "last day covered by a dose record of the course"),
            Column("sessions", "integer", "dose days in the course"),
            Column("induction_sessions", "integer", "dose days within induction"),
            Column("ended", "yes_no", "no dose for longer than the protocol's course gap by the as-of day"),
            Column("due_day", "integer", "day from which the course counts: first dose plus the protocol's maturity", nullable=True),
        ),
        _table(
            "baselines", "patient, course and instrument",
            PATIENT, COURSE, INSTRUMENT,
            Column("baseline", "number", "baseline score in points", nullable=True),
            Column("baseline_day", "integer", "day of the baseline score", nullable=True),
            Column("eligible", "yes_no", "baseline present, at or above the gate, and admitted by the plan"),
            Column("reason", "text", "eligible, no_baseline, below_gate, start_not_observed or entry:<column>"),
            Column("index", "integer", "which eligible course of the patient this is; 1 is the headline; 0: not eligible"),
        ),
        _table(
            "outcomes", "score after the first dose of a course",
            PATIENT, COURSE, INSTRUMENT, DAY,
            Column("timing", "text", "pre or post"),
            Column("session", "integer", "doses of the course given before the score"),
            Column("baseline", "number", "baseline score in points", nullable=True),
            Column("score", "number", "score in points"),
            Column("change", "number", "score minus baseline: below zero is better where high is worse", nullable=True),
        ),
        _table(
            "points", "course, criterion, kind, axis and point",
            PATIENT, COURSE, INSTRUMENT, CRITERION,
            Column("kind", "text", "current, ever or sustained"),
            Column("axis", "text", "session, week, end or month"),
            Column("point", "text", "which session, week or month; `end` for the end of induction"),
            Column("given", "text", "yes or no: dose k received by the induction limit (session), induction completed (end, month), covered by a dose (week)"),
            Column("state", "text", "met, not_met, carried_met, carried_not_met, missing, not_due, not_scheduled or excluded:<reason>"),
            Column("day", "integer", "day of the score judged", nullable=True),
            Column("score", "number", "the score judged, in points", nullable=True),
        ),
        _table(
            "good_time", "eligible course, instrument and criterion; days count from the course's first dose",
            PATIENT, COURSE, INSTRUMENT, CRITERION,
            Column("protocol", "text", "the schedule the course is judged by"),
            Column("basis", "text", "what counts as the level: target, fixed, or maximum (circular: notebooks only)"),
            Column("level", "number", "the therapeutic dose: the target, else the level of the first dose's route and unit", nullable=True),
            Column("reached_day", "integer", "day of the first adequate dose; blank: not reached, or not judged", nullable=True),
            Column("response_day", "integer", "day of the first score of the course that meets the criterion", nullable=True),
            Column("good", "integer", "good time by the as-of day, in `unit`; blank: not judged", nullable=True),
            Column("good_at_response", "integer", "good time before the response; blank: no response, or not judged", nullable=True),
            Column("window_1", "integer", "good time within which most who respond do", nullable=True),
            Column("window_2", "integer", "good time of a complete trial", nullable=True),
            Column("unit", "text", "days or doses: what the clock counts"),
            Column("status", "text", "exactly one of not_comparable, no_level, responded_before, responded_lapsed, responded_1, responded_2, responded_later, full_trial, titrating, stopped_before, accruing, stopped_early, unassessed"),
            Column("group", "text", "responded_before, responded_after, trial_complete, stopped_short or not_evaluable"),
            Column("calendar_30", "text", "the plain calendar's answer on day 30, one such column per day of the plan: not_due, responded, not_responded, not_assessed"),
            Column("calendar_60", "text", "the same on day 60"),
            Column("titrating_days", "integer", "days covered by a dose before the level was reached", nullable=True),
            Column("adequate_days", "integer", "days covered by an adequate dose", nullable=True),
            Column("dipped_days", "integer", "days covered by a lower dose after the level was reached", nullable=True),
            Column("lapsed_days", "integer", "days covered by no dose", nullable=True),
            Column("overdue", "yes_no", "level not reached though more than the plan's overdue days have passed; blank: not judged", nullable=True),
        ),
        _table(
            "measures", "group, rate and measurement period of a quality measure",
            Column("measure", "text", "which quality measure: cms159, drr_e, ..."),
            Column("criterion", "text", "which of its rates: the measure's name, or that and what counts"),
            Column("period", "text", "the measurement period: a year or a month; all: everything on record"),
            Column("population", "integer", "how many entered: excluded + not_due + n"),
            Column("excluded", "integer", "of those, how many are left out; columns `excluded_<reason>` say why, each person under the first reason that holds"),
            Column("not_due", "integer", "of the others, whose follow-up window is not over yet"),
            Column("n", "integer", "the denominator: met + not_met + missing"),
            Column("missing", "integer", "of n, how many have no score in the follow-up window: not met"),
            Column("not_met", "integer", "of n, how many have one that does not meet the rule"),
            Column("met", "integer", "of n, how many meet it"),
            Column("rate", "number", "met / n", nullable=True),
            Column("low", "number", "lower limit of the interval", nullable=True),
            Column("high", "number", "upper limit of the interval", nullable=True),
            Column("reason", "text", "why there is no rate; blank where there is one", nullable=True),
            Column("not_judged", "text", "parts of the measure on which the records hold nothing: nobody is kept out or left out for their sake"),
        ),
        _table(
            "measure_states", "person, rate and measurement period of a quality measure",
            PATIENT,
            Column("measure", "text", "which quality measure"),
            Column("criterion", "text", "which of its rates"),
            Column("period", "text", "the measurement period"),
            Column("index_day", "integer", "day of the score, or of the first dose, by which the person entered"),
            Column("index_score", "number", "the score by which they entered, in points; blank where several questionnaires are judged together", nullable=True),
            Column("from_day", "integer", "first day of the follow-up window"),
            Column("until_day", "integer", "last day of the follow-up window"),
            Column("day", "integer", "day of the last score in it", nullable=True),
            Column("score", "number", "that score, in points; blank where several are judged together", nullable=True),
            Column("state", "text", "met, not_met, missing, not_due or excluded:<reason>"),
        ),
        _table(
            "curve", "group, criterion and day since the first dose (or session: then session for day, and no straddling)",
            INSTRUMENT, CRITERION,
            Column("clock", "text", "first_dose or session"),
            Column("competing", "text", "what stops people first: lapse, end (of the course), or, by session, stopped"),
            *METHOD,
            Column("day", "integer", "days since the first dose"),
            Column("n", "integer", "everyone who started"),
            Column("at_risk", "integer", "on treatment and without a response as the day begins"),
            Column("events", "integer", "responses dated to that day"),
            Column("stopped", "integer", "who stopped on that day, without a response"),
            Column("censored", "integer", "whose record ends with that day"),
            *ESTIMATE,
            Column("low", "number", "lower limit (log-log); none at 0 and 1", nullable=True),
            Column("high", "number", "upper limit", nullable=True),
            Column("stopped_share", "number", "the share who stopped by then before a response", nullable=True),
            Column("straddling", "integer", "later responses whose last score without one lies no later: they may have come by that day"),
            WHY_NOT,
        ),
        _table(
            "curve_summary", "group and criterion",
            INSTRUMENT, CRITERION,
            Column("clock", "text", "first_dose or session"),
            Column("competing", "text", "what stops people first"),
            *METHOD,
            Column("n", "integer", "everyone who started"),
            Column("events", "integer", "responses before stopping"),
            Column("stopped", "integer", "who stopped first"),
            Column("censored", "integer", "who did neither by the end of the record"),
            Column("not_counted", "integer", "not due, no schedule, or scores that cannot be judged"),
            Column("known_to", "integer", "the last day (session) of the curve", nullable=True),
            Column("last_estimate", "number", "the share there", nullable=True),
            *MEDIAN,
        ),
        _table(
            "onset", "group (with protocol), criterion and class: a partition of the courses that are due",
            INSTRUMENT, CRITERION,
            Column("class", "text", "early, later, none_completed (every session, no response) or none_stopped"),
            Column("after", "text", "the sessions meant", nullable=True),
            Column("n", "integer", "courses in the class"),
            Column("of", "integer", "courses due"),
            Column("share", "number", "n / of", nullable=True),
            Column("low", "number", "lower limit of the interval", nullable=True),
            Column("high", "number", "upper limit of the interval", nullable=True),
            WHY_NOT,
        ),
        _table(
            "onsets", "patient and criterion, headline courses only; days count from the course's first dose",
            PATIENT, COURSE, INSTRUMENT, CRITERION,
            Column("outcome", "text", "how treatment was left: responded, lapsed, ended or censored; or why no score can be judged"),
            Column("outcome_day", "integer", "when", nullable=True),
            Column("last_without", "integer", "day of the last score before the response; 0 where there is none", nullable=True),
            Column("first_with", "integer", "day of the first score that meets the criterion, to which the response is dated", nullable=True),
            Column("interval", "integer", "first_with less last_without: the response came in between", nullable=True),
            Column("session", "integer", "doses given before the response", nullable=True),
        ),
        _table(
            "responses", "patient and criterion, headline courses that responded; days count from the course's first dose",
            PATIENT, COURSE, INSTRUMENT, CRITERION,
            RELAPSE,
            Column("response_day", "integer", "day of the first score that met the criterion"),
            Column("outcome", "text", "relapsed, unscored (no later score), never_scored (none at all), retreated or censored"),
            Column("outcome_day", "integer", "when", nullable=True),
            Column("last_without", "integer", "day of the last score before the relapse showed", nullable=True),
            Column("first_shown", "integer", "day of the first score that showed it", nullable=True),
            Column("last_score", "integer", "day of the course's last score"),
            Column("sustained", "text", "at every score up to the first 28 days later: sustained, lost, unconfirmed or not_due"),
        ),
        _table(
            "relapse_curve", "group, criterion, relapse rule and day since the response",
            INSTRUMENT, CRITERION,
            RELAPSE,
            Column("clock", "text", "response"),
            Column("competing", "text", "retreated: the next course began first"),
            *METHOD,
            Column("day", "integer", "days since the first score that met the criterion"),
            Column("n", "integer", "everyone who responded"),
            Column("at_risk", "integer", "followed and without relapse as the day begins"),
            Column("events", "integer", "relapses dated to that day"),
            Column("retreated", "integer", "whose next course began on it"),
            Column("censored", "integer", "whose follow-up ends with it"),
            *ESTIMATE,
            Column("retreated_share", "number", "the share treated again by then before a relapse", nullable=True),
            Column("straddling", "integer", "later relapses that may have come by that day"),
            Column("no_relapse", "number", "1 less the estimate", nullable=True),
            Column("low", "number", "its lower limit", nullable=True),
            Column("high", "number", "its upper limit", nullable=True),
            WHY_NOT,
        ),
        _table(
            "rates", "instrument, criterion, kind, analysis, group and point",
            Column("axis", "text", "session, week, end or month"),
            INSTRUMENT, CRITERION,
            Column("kind", "text", "current, ever or sustained"),
            Column("analysis", "text", "nri (missing = not met), observed (of those scored) or locf (legacy)"),
            Column("point", "text", "which session, week or month; `end` for the end of induction"),
            Column("due", "integer", "courses due: long enough since the first dose, whatever happened in it"),
            Column("given", "integer", "of those due, how many received the dose (session), completed induction (end, month) or were covered (week)"),
            Column("assessed", "integer", "of those due, how many have the score this kind judges"),
            Column("met", "integer", "how many meet the criterion under this analysis"),
            Column("n", "integer", "the denominator of this rate"),
            Column("rate", "number", "met / n", nullable=True),
            Column("low", "number", "lower limit of the interval", nullable=True),
            Column("high", "number", "upper limit of the interval", nullable=True),
            Column("reason", "text", "why there is no rate; blank where there is one", nullable=True),
        ),
        _table(
            "sensitivity", "group, headline, point and variant",
            Column("axis", "text", "session, week, end or month"),
            INSTRUMENT,
            Column("headline", "text", "the criterion whose rate is varied; its own row comes first, with variant `headline`"),
            Column("point", "text", "which session, week or month; `end` for the end of induction"),
            Column("variant", "text", "what is set otherwise than in the headline: `headline`, `kind = ever`, `gate = none`, ..."),
            Column("changes", "integer", "how many things are set otherwise; 0: the headline"),
            Column("differs", "text", "the same in a reader's words; blank: the headline"),
            Column("analysis", "text", "nri, observed, locf, missing_met or missing_not_met (bounds), imputed (many times, from strata)"),
            Column("kind", "text", "current, ever or sustained"),
            Column("baseline_days", "integer", "days before the first dose within which the baseline was taken"),
            Column("criterion", "text", "the cited rule judged; the family's name where the instrument has none of it"),
            Column("family", "text", "percent, reliable, mcid or clinically_significant; blank: none of these"),
            Column("gate", "integer", "lowest baseline judged, in points; blank: any", nullable=True),
            Column("due", "integer", "courses due under this definition", nullable=True),
            Column("assessed", "integer", "of those due, how many have the score this kind judges", nullable=True),
            Column("met", "number", "how many meet the criterion; the mean over imputations where imputed", nullable=True),
            Column("n", "integer", "the denominator of this rate", nullable=True),
            Column("rate", "number", "met / n", nullable=True),
            Column("low", "number", "lower limit of the interval", nullable=True),
            Column("high", "number", "upper limit of the interval", nullable=True),
            Column("difference", "number", "rate minus the headline's", nullable=True),
            Column("no_donor", "integer", "imputed only: the missing in strata where nobody was scored, who lean on wider groups", nullable=True),
            Column("reason", "text", "why there is no rate; blank where there is one", nullable=True),
        ),
        _table(
            "change", "group, instrument, point, analysis and category",
            AXIS, INSTRUMENT, POINT,
            Column("analysis", "text", "nri (of all due) or observed (of those scored)"),
            Column("category", "text", "recovered, improved, unchanged, deteriorated or unscored; in detail also improved_from_functional and unchanged_crossed"),
            Column("people", "integer", "how many stand in the category: the categories add up to n", nullable=True),
            Column("n", "integer", "the denominator: all due, or those scored", nullable=True),
            *LIMITS,
            Column("reliable_points", "number", "the smallest change that counts, in points", nullable=True),
            Column("cutoff", "number", "the score between the dysfunctional and the functional side", nullable=True),
            Column("best_at_baseline", "integer", "of those scored, how many began at the best score there is and cannot improve"),
            Column("reason", "text", "why there is no number; blank where there is one", nullable=True),
        ),
        _table(
            "bands", "group, instrument, point, band at baseline and band there",
            AXIS, INSTRUMENT, POINT,
            Column("band_from", "text", "the severity band at baseline"),
            Column("band_to", "text", "the severity band at the point; unscored: due, and no score"),
            Column("people", "integer", "how many went from the one to the other"),
            Column("n", "integer", "how many began in that band"),
            Column("rate", "number", "people / n", nullable=True),
        ),
        _table(
            "joint", "group, pair of criteria, point, analysis and cell",
            AXIS,
            Column("first", "text", "one criterion"),
            Column("second", "text", "the other, of another instrument"),
            POINT,
            Column("analysis", "text", "nri (missing = not met) or observed (of those scored on both)"),
            Column("met", "text", "both, first_only, second_only or neither"),
            Column("people", "integer", "how many stand in the cell: the four add up to n", nullable=True),
            Column("n", "integer", "the denominator: courses eligible for both and due, or scored on both", nullable=True),
            *LIMITS,
            Column("reason", "text", "why there is no number; blank where there is one", nullable=True),
        ),
        _table(
            "effect_sizes", "group, instrument, point and standardizer",
            AXIS, INSTRUMENT, POINT,
            Column("standardizer", "text", "published (a norm's standard deviation) or baseline (these people's own)"),
            Column("n", "integer", "how many are scored there"),
            Column("mean_change", "number", "mean of score minus baseline, in points"),
            Column("sd_change", "number", "standard deviation of the change", nullable=True),
            Column("correlation", "number", "of baseline and score", nullable=True),
            Column("sd", "number", "the standard deviation the change is divided by", nullable=True),
            Column("d", "number", "the effect size: above 0 where people got better", nullable=True),
            Column("low", "number", "lower limit of the interval", nullable=True),
            Column("high", "number", "upper limit of the interval", nullable=True),
            Column("reason", "text", "why there is no effect size; blank where there is one", nullable=True),
        ),
        _table(
            "regression_to_mean", "group, instrument, point and stratum of baseline severity",
            AXIS, INSTRUMENT, POINT,
            Column("stratum", "text", "a severity band at baseline, or all"),
            Column("n", "integer", "how many are scored there"),
            Column("mean_baseline", "number", "mean baseline of those scored"),
            Column("mean_change", "number", "mean of score minus baseline, in points"),
            Column("expected", "number", "the mean change to expect of these baselines with no treatment effect", nullable=True),
            Column("expected_at_gate", "number", "the same of a normal population selected by the gate; stratum all only", nullable=True),
            Column("gate", "number", "lowest baseline judged; blank: any", nullable=True),
            Column("population_mean", "number", "mean of the population that baselines are taken to come from", nullable=True),
            Column("population_sd", "number", "its standard deviation", nullable=True),
            Column("retest", "number", "the correlation of two scores without treatment", nullable=True),
            Column("reason", "text", "why nothing is expected; blank where something is", nullable=True),
        ),
    )
}  # fmt: skip


def empty(name: str) -> pd.DataFrame:
    """An empty table of the given name, its columns typed as declared.

    >>> list(empty("problems").columns)
    ['file', 'row', 'column', 'rule', 'action']
    """
    return _empty(name).copy()


@cache
def _empty(name: str) -> pd.DataFrame:
    import pandas as pd

    kinds = {
        "text": "str",
        "integer": "int64",
        "number": "float64",
        "yes_no": "bool",
        "date": "datetime64[s]",
    }
    return pd.DataFrame(
        {c.name: pd.Series([], dtype=kinds[c.kind]) for c in TABLES[name].columns if not c.optional}
    )


def glossary() -> str:
    """The glossary of every table and column, as Markdown, printed from the declarations above."""
    kinds = {
        "text": "text",
        "integer": "whole number",
        "number": "number",
        "yes_no": "yes/no",
        "date": "date",
    }
    lines = ["# Glossary of tables", "", "Printed from `ketaoutcomes/tables.py`; do not edit by hand.", ""]
    for table in TABLES.values():
        more = " It may carry further columns of your own." if table.open else ""
        lines += [f"## {table.name}", "", f"One row per {table.one_row_per}.{more}", ""]
        lines += ["| column | holds | may be blank | meaning |", "|---|---|---|---|"]
        for column in table.columns:
            blank = "yes" if column.nullable else "no"
            name = f"`{column.name}`" + (" (optional)" if column.optional else "")
            lines.append(f"| {name} | {kinds[column.kind]} | {blank} | {column.meaning} |")
        lines.append("")
    return "\n".join(lines)
