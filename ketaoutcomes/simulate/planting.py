"""What the sample plants: every number of it, in one place.

None of these is a finding. They are chosen so that the sample looks like the published open-label series;
each comment names the series looked at. Days are counted from 0, chances are per person or per step as said.
"""

from __future__ import annotations

from dataclasses import dataclass

NEVER = 1 << 30
"""A day that does not come."""


@dataclass(frozen=True)
class VisitArm:
    """A way of treating by visits, and what is planted in it.

    `onset[k - 1]` is the chance that a responder's scores first meet response after session k; `lag` the
    chances that remission follows 0, 1, 2 sessions later; `stop` the chance of leaving after a session,
    without and with response.

    >>> from ketaoutcomes.simulate.planting import VISIT_ARMS
    >>> [(arm.protocol, arm.share) for arm in VISIT_ARMS]
    [('iv6', 0.48), ('im', 0.15), ('esketamine', 0.15)]
    """

    protocol: str
    route: str
    unit: str
    share: float
    sites: tuple[float, ...]
    gaps: tuple[int, ...]
    first_dose: int
    step: int
    targets: tuple[tuple[int, float], ...]
    responders: float
    onset: tuple[float, ...]
    remitters: float
    stop: tuple[float, float]
    first_booster: tuple[int, int]
    booster: tuple[int, int]
    boosters: int
    weekly_boosters: int
    course_gap: int
    lag: tuple[float, ...] = (0.45, 0.35, 0.20)

    @property
    def visits(self) -> int:
        """Sessions of a full induction.

        >>> from ketaoutcomes.simulate.planting import VISIT_ARMS
        >>> {arm.protocol: arm.visits for arm in VISIT_ARMS}
        {'iv6': 6, 'im': 4, 'esketamine': 8}
        """
        return len(self.gaps) + 1


@dataclass(frozen=True)
class HomeArm:
    """Treatment at home, titrated in ten equal steps, judged by week.

    Half take a step every 3 days and reach nine tenths of their target on day 24, half every 4 days (day 32).
    A quarter of responders respond below that level and stop climbing; the others begin to respond only in a
    week that opens after the level is reached: the k-th such week with chance `onset[k]`.

    >>> from ketaoutcomes.simulate.planting import ARMS
    >>> [(arm.protocol, arm.share) for arm in ARMS if isinstance(arm, HomeArm)]
    [('home', 0.22)]
    """

    protocol: str
    route: str
    unit: str
    share: float
    sites: tuple[float, ...]
    targets: tuple[tuple[int, float], ...]
    responders: float
    low_dose: float
    low_onset: tuple[float, ...]
    onset: tuple[float, ...]
    remitters: float
    stop: tuple[float, float]
    relapse: float
    paces: tuple[int, ...] = (3, 4)
    first_week: tuple[int, ...] = (4, 5)
    steps: int = 10
    weeks: int = 16
    asked: tuple[int, ...] = (1, 2, 4, 6, 8, 12, 16)
    lag: tuple[float, ...] = (0.45, 0.35, 0.20)


# Doses of visit arms are in hundredths of their unit: 50 is 0.50 mg/kg, 5600 is 56 mg.
IV = VisitArm(
    "iv6", "iv", "mg/kg", 0.48, (0.45, 0.35, 0.20),
    gaps=(3, 4, 3, 4, 3), first_dose=50, step=10, targets=((50, 0.6), (75, 0.25), (100, 0.15)),
    # McInnes 2022: 53.6 % response and 28.9 % remission 14-31 days after, among those with data; first
    # session between Zheng 2019 (13 %) and TRANSFORM day 2 (17 %).
    responders=0.600, onset=(0.29, 0.21, 0.17, 0.14, 0.11, 0.08), remitters=0.62, stop=(0.07, 0.03),
    first_booster=(25, 38), booster=(28, 42), boosters=10, weekly_boosters=0, course_gap=91,
)  # fmt: skip
IM = VisitArm(
    "im", "im", "mg/kg", 0.15, (0.20, 0.70, 0.10),
    gaps=(7, 7, 7), first_dose=50, step=15, targets=((50, 0.3), (75, 0.4), (100, 0.3)),
    # No published series by IM of this size: planted a little below IV.
    responders=0.500, onset=(0.32, 0.28, 0.22, 0.18), remitters=0.60, stop=(0.07, 0.03),
    first_booster=(21, 35), booster=(28, 40), boosters=10, weekly_boosters=0, course_gap=69,
)  # fmt: skip
ESKETAMINE = VisitArm(
    "esketamine", "intranasal", "mg", 0.15, (0.75, 0.25, 0.0),
    gaps=(3, 4, 3, 4, 3, 4, 3), first_dose=5600, step=2800, targets=((5600, 0.3), (8400, 0.7)),
    # SUSTAIN-3 subgroup: PHQ-9 response 46.9 % where MADRS response was 71.9 %.
    responders=0.500, onset=(0.24, 0.18, 0.14, 0.12, 0.10, 0.09, 0.07, 0.06), remitters=0.60,
    stop=(0.05, 0.02), first_booster=(7, 7), booster=(13, 15), boosters=14, weekly_boosters=3, course_gap=45,
)  # fmt: skip
HOME = HomeArm(
    "home", "sublingual", "mg", 0.22, (0.20, 0.20, 0.60),
    targets=((200, 0.25), (300, 0.45), (400, 0.30)),
    # Hull 2022: 62.8 % by week 4 among those with sufficient data, doses not titrated over a month. Here most
    # of the effect waits for the level, so week 4 reads low and week 12 near it.
    responders=0.660, low_dose=0.25, low_onset=(0.2, 0.4, 0.4),
    onset=(0.22, 0.22, 0.18, 0.14, 0.10, 0.08, 0.06), remitters=0.60, stop=(0.03, 0.015), relapse=0.02,
)  # fmt: skip
VISIT_ARMS = (IV, IM, ESKETAMINE)
ARMS: tuple[VisitArm | HomeArm, ...] = (IV, IM, ESKETAMINE, HOME)


@dataclass(frozen=True)
class Site:
    """A site and how often a questionnaire that is due there is answered.

    >>> from ketaoutcomes import simulate
    >>> [(site.name, site.answered) for site in simulate.Habits().sites]
    [('Harbour', 0.93), ('Lakeside', 0.88), ('Northgate', 0.76)]
    """

    name: str
    answered: float


@dataclass(frozen=True)
class Habits:
    """What holds in every arm: people, forms, and how an effect fades.

    >>> from ketaoutcomes import simulate
    >>> habits = simulate.Habits(no_target=0.0)  # everyone has a target dose
    >>> made = simulate.clinic(patients=30, seed=1, habits=habits)
    >>> bool(made.sessions["target_dose"].notna().all())
    True
    """

    sites: tuple[Site, ...] = (Site("Harbour", 0.93), Site("Lakeside", 0.88), Site("Northgate", 0.76))
    # Of 100 people: no score at all, no usable baseline, baseline PHQ-9 below 10, the rest.
    baselines: tuple[float, ...] = (0.03, 0.04, 0.05, 0.88)
    pcl5_at_33: float = 0.5  # share whose PCL-5 is 33 or more before treatment
    pcl5_asked: float = 0.85  # of answered visits, those where a PCL-5 that is asked is filled in too
    pcl5_blank: float = 0.04  # PCL-5 forms with a blank item: no total, the instrument publishes no rule
    few_blank: float = 0.05  # PHQ-9 forms with one or two blank items: prorated
    many_blank: float = 0.015  # PHQ-9 forms with three or more: no total
    worse: float = 0.14  # of those without response, how many end a little above their baseline
    # Of those without response who could (a PHQ-9 of 27 cannot rise), how many get reliably worse: by `rise`
    # points or more, beginning after the first, second … session, or week at home; who recovers does so
    # `worse_lasts` sessions or weeks later.
    deteriorates: float = 0.15
    rise: int = 6
    worse_onset: tuple[float, ...] = (0.25, 0.35, 0.25, 0.15)
    worse_recovers: float = 0.30
    worse_lasts: int = 2
    item9_rises: float = 0.5  # of those who get worse, in how many the self-harm item rises with it
    item9_from: float = 0.5  # of those, how many had answered it with 1 before treatment, the rest with 0
    benzodiazepine: float = 0.2  # share taking one
    benzodiazepine_factor: float = 0.8  # what it does to the chance of being a responder
    lamotrigine: float = 0.12  # share taking it; planted without effect
    prior_ketamine: float = 0.12
    no_target: float = 0.05  # no target dose on record
    long_gap: float = 0.12  # courses with one gap a week longer than planned: that session goes unscored
    late: tuple[float, ...] = (0.80, 0.15, 0.05)  # a session 0, 1, 2 days late
    maintenance: tuple[float, float] = (0.15, 0.70)  # completers who go on, without and with response
    booster_stop: float = 0.12
    steady_days: int = 7  # no loss of response sooner after the last induction dose
    # McInnes 2022: of responders about 80 % still respond at 4 weeks and 60 % at 8. Chance per day.
    fade: float = 0.0103
    fade_on_boosters: float = 0.003
    repeat: float = 0.7  # responders who stopped, lost it and could return in time: how many do
    end_asked: float = 0.85  # completers asked about a fortnight after the last dose
    phoned: float = 0.20  # drop-outs reached a fortnight after their last dose
    # PCL-5 falls by 15 or more: chance with and without PHQ-9 response; 0 or 1 session after it.
    pcl5_with: float = 0.85
    pcl5_without: float = 0.25
    pcl5_lag: tuple[float, float] = (0.6, 0.4)
    # While watched after a dose in the clinic: what is recorded, and of how many sessions.
    watched: float = 0.94
    dissociates: tuple[float, float] = (0.70, 0.20)  # chance at the first session, and the floor it fades to
    dissociation_stays: float = 0.80  # of what is above the floor, kept from one session to the next
    sedated: float = 0.30
    sick: float = 0.14
    surges: float = 0.06  # a rise beyond the ordinary one, to 40 systolic or 25 diastolic in most
    serious: float = 0.0012
    cadss_asked: float = 0.5
    no_last_reading: float = 0.08
    item9: float = 0.35  # how far the self-harm item leans towards low answers


HABITS = Habits()
