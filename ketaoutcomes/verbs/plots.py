"""`study.plot`: each method asks the study for a table and hands it to the figure of that name.

A method returns the Axes it drew on, or a list of them where the table holds several groups: one chart each.
Style them, put them in a paper's layout with `ax=`, save them with `ax.figure.savefig(...)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ketaoutcomes import figures
from ketaoutcomes.figures.accounting import REASONS
from ketaoutcomes.figures.axes import multiples, readable
from ketaoutcomes.report.sentences import short_name
from ketaoutcomes.results import figure_tables
from ketaoutcomes.shown import WrongChoice

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Names = str | Sequence[str] | None
Days = Sequence[int] | None
_SIZE = (5.6, 3.4)  # inches of one chart among several


class Plots:
    """The figures of one study. `names` replaces words: `study.plot.names["iv6"] = "six infusions"`.

    >>> study.plot.names["iv6"] = "six infusions"
    >>> [text.get_text() for text in study.plot.retention().texts if "infusions" in text.get_text()]
    ['six infusions']
    >>> del study.plot.names["iv6"]
    """

    def __init__(self, study: Any) -> None:
        self._study = study
        known = study.plan.definitions
        self._titles: dict[str, str] = {name: one.title for name, one in known.instruments.items()}
        self.names: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"study.plot: {', '.join(name for name in dir(type(self)) if not name.startswith('_'))}"

    # Rates and scores over time.

    def rates(
        self, *, at: str = "session", by: Names = None, criteria: Names = None, kind: Names = "current",
        analysis: Names = ("nri", "observed"), ax: Axes | None = None,
    ) -> Axes | list[Axes]:  # fmt: skip
        """Rates with intervals at each point, a chart per group and instrument; arguments as `study.rates`.

        >>> charts = study.plot.rates(at="week")
        >>> [ax.get_title(loc="left") for ax in charts]
        ['PHQ-9', 'PCL-5']
        """
        table = self._study.rates(at=at, by=by, criteria=criteria, kind=kind, analysis=analysis)
        table = table[table["point"].astype(bool)]  # a protocol without sessions has none to draw
        keys = _before(table, "criterion")
        one = table.groupby(keys, dropna=False).ngroups == 1  # several have the instrument in their titles
        words = {**self._titles, **self._criteria(alone=not one), **self.names}
        return self._each(table, keys, lambda own, at: figures.rates(own, ax=at, names=words), _SIZE, ax)

    def retention(self, *, by: Names = None, ax: Axes | None = None) -> Axes:
        """The share of series that reached each session, a line per protocol; `study.retention`.

        >>> len(study.plot.retention().get_lines())
        3
        """
        return figures.retention(self._study.retention(by=by), ax=ax, names=self._words)

    def trajectory(
        self, *, at: str = "session", by: Names = None, instrument: str | None = None, lines: bool = False,
        level: float = 0.95, ax: Axes | None = None,
    ) -> Axes | list[Axes]:  # fmt: skip
        """Mean score of those scored with its confidence interval, a chart per group and instrument.

        With `lines`, each course as a thin line too: row-level, do not share; only without `by`.
        Arguments otherwise as `study.trajectory`.

        >>> ax = study.plot.trajectory(at="week", instrument="phq9")
        >>> [int(text.get_text()) for text in ax.texts if text.get_text().isdigit()]  # how many were scored
        [930, 847, 806, 494, 308, 267, 203]
        """
        if lines and by is not None:
            raise ValueError("lines=True draws the courses of a protocol or of all: leave out by=")
        table = figure_tables.mean_interval(self._study.trajectory(at=at, by=by), level=level)
        if instrument is not None:
            table = table[table["instrument"] == instrument]
        keys = _before(table, "axis")
        table = table[table.groupby(keys, dropna=False)["axis"].transform("nunique") > 1]
        each = self._lines(at, table) if lines else None

        def draw(own: pd.DataFrame, at: Axes | None) -> Axes:
            thin = None
            if each is not None:
                shared = ["instrument", *(key for key in ("protocol",) if key in own)]
                thin = each.merge(own[shared].drop_duplicates(), on=shared)
            return figures.trajectory(own, lines=thin, ax=at, names=self._words)

        return self._each(table, keys, draw, _SIZE, ax)

    def bands(
        self, *, at: str = "session", by: Names = None, instruments: Names = None, ax: Axes | None = None
    ) -> Axes | list[Axes]:
        """The share in each severity band at each point, the unscored on top; `study.bands`.

        >>> ax = study.plot.bands(at="week", instruments="phq9")
        >>> [tick.get_text() for tick in ax.get_xticklabels()]
        ['before', '1', '2', '4', '6', '8', '12']
        """
        found = self._study.bands(at=at, by=by, instruments=instruments)
        table = figure_tables.band_shares(found[found["point"].astype(bool)])
        draw = lambda own, at: figures.bands(own, ax=at, names=self._words)  # noqa: E731  as the others'
        return self._each(
            table, _before(table, "point"), draw, (2.6 + 0.6 * table["point"].nunique(), 3.8), ax
        )

    def band_flow(
        self, *, at: str = "end", by: Names = None, instruments: Names = None, ax: Axes | None = None
    ) -> Axes | list[Axes]:
        """Who moved from which severity band to which, as ribbons; `study.bands` of one point.

        >>> study.plot.band_flow().get_title(loc="left")
        '930 people due'
        """
        table = self._study.bands(at=at, by=by, instruments=instruments)
        draw = lambda own, at: figures.band_flow(own, ax=at, names=self._words)  # noqa: E731  as the others'
        return self._each(table, _before(table, "band_from"), draw, (6.4, 4.6), ax)

    def curve(
        self, criteria: Names = None, *, clock: str = "first_dose", by: Names = None, days: Days = None,
        competing: str = "lapse", ax: Axes | None = None,
    ) -> Axes:  # fmt: skip
        """The share of all who started that has responded, by day or session; `study.curve`.

        >>> ax = study.plot.curve("phq9_response50", days=range(0, 183, 14))
        >>> [text.get_text() for text in ax.texts[-2:]]
        ['PHQ-9 halved (n = 1,052)', 'lapsed first']
        """
        table = self._study.curve(criteria, clock=clock, by=by, days=days, competing=competing)
        return figures.curve(table, ax=ax, names=self._words)

    def kept(self, *, ax: Axes | None = None) -> Axes:
        """The share of early responses that had not been lost by named days; `study.kept`.

        >>> [text.get_text() for text in study.plot.kept().texts[-2:]]
        ['whatever became of the others', 'PHQ-9 halved (n = 323)']
        """
        return figures.kept(self._study.kept(), ax=ax, names=self._words)

    def durability(
        self, criteria: Names = None, *, relapse: Names = None, by: Names = None, days: Days = None,
        follow: str = "last_score", ax: Axes | None = None,
    ) -> Axes:  # fmt: skip
        """The share of responses without a relapse, by day since the response; `study.durability`.

        >>> ax = study.plot.durability("phq9_response50", relapse="lost")
        >>> [text.get_text() for text in ax.texts[:3]]
        ['at risk', '467', '247']
        """
        found = self._study.durability(criteria, relapse=relapse, by=by, days=days, follow=follow)
        return figures.durability(found.curve, ax=ax, names=self._words)

    # Who is in the numbers.

    def flow(self, instrument: str | None = None, *, ax: Axes | None = None) -> Axes:
        """From all courses to those scored at the end, with who left where and why; `study.flow`.

        >>> print(study.plot.flow("phq9").texts[0].get_text().replace("\\n", ": "))
        courses on record: 1,257
        """
        wanted = instrument or self._study.plan.definitions.criterion(self._primary).instrument
        named = [name for name in self._study.plan.criteria.primary if name.startswith(f"{wanted}_")]
        rates = self._study.rates(at="end", criteria=named[:1]) if named else None
        table = figure_tables.consort(self._study.flow(), rates, instrument=wanted)
        return figures.flow(table, ax=ax, names={**REASONS, **self.names})

    def measured(self, *, by: Names = None, ax: Axes | None = None) -> Axes | list[Axes]:
        """How many started, had a baseline, any score and an end score; `study.measured`.

        >>> [ax.get_title(loc="left") for ax in study.plot.measured()]
        ['PCL-5', 'PHQ-9']
        """
        table = self._study.measured(by=by)
        draw = lambda own, at: figures.measured(own, ax=at, names=self._words)  # noqa: E731  as the others'
        return self._each(table, _before(table, "step"), draw, (5.6, 2.4), ax)

    def completeness(self, *, at: str = "session", by: Names = None, ax: Axes | None = None) -> Axes:
        """How many of those due were scored, by instrument and point; from `study.rates`.

        >>> ax = study.plot.completeness(at="week")
        >>> [tick.get_text() for tick in ax.get_yticklabels()]
        ['PHQ-9', 'PCL-5']
        """
        table = figure_tables.completeness(self._study.rates(at=at, by=by, analysis="nri"))
        return figures.completeness(table, ax=ax, names=self._words)

    def design(self, protocol: str | None = None, *, ax: Axes | None = None) -> Axes:
        """When scores are looked for under the plan: its windows by day from the first dose.

        >>> ax = study.plot.design("iv6")
        >>> [tick.get_text() for tick in ax.get_yticklabels()]
        ['baseline', 'after each session', 'end of induction', 'weeks']
        """
        plan = self._study.plan
        wanted = protocol or next(iter(dict.fromkeys(plan.protocol.values())))
        return figures.design(figure_tables.design(plan, plan.definitions.protocols[wanted]), ax=ax)

    # How far the numbers hold.

    def sensitivity(
        self, criterion: str | None = None, *, at: str = "end", imputations: int = 100, ax: Axes | None = None
    ) -> Axes:
        """A headline rate beside what it becomes by other definitions; `study.sensitivity`.

        >>> ax = study.plot.sensitivity("phq9_response50")
        >>> [tick.get_text() for tick in ax.get_yticklabels()][:3]
        ['as the plan has it', 'only those scored', 'last score carried forward']
        """
        table = self._study.sensitivity(criterion or self._primary, at=at, imputations=imputations)
        return figures.forest(table, ax=ax, names=self._words)

    def control(
        self, criterion: str | None = None, *, per: str = "month", analysis: str = "nri",
        baseline: tuple[str, str] | None = None, ax: Axes | None = None,
    ) -> Axes:  # fmt: skip
        """A rate month by month with its control limits; `study.control_chart`.

        >>> ax = study.plot.control("phq9_response50", per="quarter")
        >>> ax.texts[0].get_text()
        '5 periods: too few for limits'
        """
        table = self._study.control_chart(
            criterion or self._primary, per=per, analysis=analysis, baseline=baseline
        )
        return figures.control(table, ax=ax, names=self._words)

    def funnel(
        self, criterion: str | None = None, *, by: str = "site", at: str = "end", ax: Axes | None = None
    ) -> Axes:
        """Sites by size about one rate, with the limits chance alone would give; `study.funnel`.

        >>> ax = study.plot.funnel("phq9_response50")
        >>> [text.get_text() for text in ax.texts[-3:]]
        ['Northgate, n = 238', 'Lakeside, n = 336', 'Harbour, n = 356']
        """
        found = self._study.funnel(criterion or self._primary, by=by, at=at)
        return figures.funnel(found.table, found.curve, ax=ax, names=self.names)

    def benchmark(self, series: str, *, ax: Axes | None = None) -> Axes:
        """One's own rates beside published ones by the same rule; `study.benchmark`.

        >>> ax = study.plot.benchmark("mcinnes2022")
        >>> [text.get_text() for text in ax.texts[2:4]]
        ['54 % of n = 537, 6 % of charts', '51 % of n = 247, 41 % of charts']
        """
        return figures.benchmark(self._study.benchmark(series).table, ax=ax, names=self._words)

    # Good time.

    def state_occupation(self, *, days: Days = None, ax: Axes | None = None) -> Axes:
        """Where everyone who started stands, day by day; `study.state_occupation` and `all_started`.

        >>> ax = study.plot.state_occupation(days=range(0, 183, 14))
        >>> [text.get_text() for text in ax.texts[:3]]
        ['responded before the level', 'responded after it', 'responded, level not known']
        """
        whole = self._study.all_started(days=days)
        table = self._study.state_occupation(days=days)
        return figures.state_occupation(table, all_started=whole, ax=ax, names=self.names)

    def from_reached(self, *, days: Days = None, ax: Axes | None = None) -> Axes:
        """Response since the level was reached, among those who did so; `study.from_reached`.

        >>> ax = study.plot.from_reached(days=range(0, 183, 14))
        >>> ax.get_title(loc="left")
        'Among those who reached it unresponded (n = 800)'
        """
        return figures.from_reached(self._study.from_reached(days=days), ax=ax, names=self.names)

    def partition(self, *, ax: Axes | None = None) -> Axes:
        """The five groups of every course, mature and younger apart; `study.good_time_summary`.

        >>> ax = study.plot.partition()
        >>> [tick.get_text() for tick in ax.get_yticklabels()]
        ['mature courses\\n716', 'younger courses\\n336']
        """
        return figures.partition(self._study.good_time_summary().groups, ax=ax, names=self.names)

    def side_effects(
        self, measure: str = "dissociation", *, by: Names = None, ax: Axes | None = None
    ) -> Axes:
        """The share in whom an event was seen at each session, of those on record; `study.safety`.

        >>> study.plot.side_effects("dissociation").get_title(loc="left")
        'Dissociation by session, of those on record'
        """
        return figures.side_effects(self._study.safety(by=by), measure, ax=ax, names=self._words)

    # Single courses: row-level, for notebooks only.

    def waterfall(self, criterion: str | None = None, *, ax: Axes | None = None) -> Axes:
        """Change to the end of induction, a bar per course: row-level, do not share.

        >>> ax = study.plot.waterfall("phq9_response50")
        >>> len(ax.patches)
        716
        """
        judged = self._study.plan.definitions.criterion(criterion or self._primary)
        points = self._study.points(at="end", criteria=judged.name)
        table = figure_tables.changes(points, self._study.baselines, judged)
        return figures.waterfall(table, ax=ax, names=self._words)

    def swimmer(self, *, patients: Names = None, most: int = 25, ax: Axes | None = None) -> Axes:
        """A lane per course, the first `most` of them or those of `patients`: row-level, do not share.

        >>> study.plot.swimmer(most=5).get_title(loc="left")
        'Course by course (row-level: do not share)'
        """
        chosen = self._study.good_time()
        if patients is not None:
            chosen = chosen[chosen["patient"].isin([patients] if isinstance(patients, str) else patients)]
        return figures.swimmer(self._study.history(), self._study.stretches(), chosen.head(most), ax=ax)

    def timeline(self, patient: str, *, course: int = 1, ax: Axes | None = None) -> Axes:
        """Doses and scores of one course on one clock: row-level, do not share.

        >>> above, below = study.plot.timeline("P0002").child_axes
        >>> above.get_lines()[0].get_ydata().tolist()  # the scores
        [17.0, 2.0]
        """
        table = self._study.good_time()
        one = table[(table["patient"] == patient) & (table["course"] == course)]
        return figures.dose_timeline(self._study.history(), self._study.stretches(), one, ax=ax)

    # What the figures are given.

    @property
    def _primary(self) -> str:
        return str(self._study.plan.criteria.primary[0])

    @property
    def _words(self) -> Mapping[str, str]:
        return {**self._titles, **self._criteria(alone=False), **self.names}

    def _criteria(self, *, alone: bool) -> dict[str, str]:
        """A criterion's short name, alone or after its instrument's."""
        known = self._study.plan.definitions
        lead = {name: "" if alone else f"{title} " for name, title in self._titles.items()}
        return {name: lead[one.instrument] + short_name(one) for name, one in known.criteria.items()}

    def _lines(self, at: str, table: pd.DataFrame) -> pd.DataFrame:
        """Each course's scores on the instruments of a table, and its protocol."""
        study = self._study
        first = {study.plan.definitions.criterion(name).instrument: name for name in
                 reversed(study.plan.criteria.primary)}  # fmt: skip
        names = [first[name] for name in dict.fromkeys(table["instrument"]) if name in first]
        found = figure_tables.lines(study.points(at=at, criteria=names), study.baselines)
        return found.merge(study.courses[["patient", "course", "protocol"]], on=["patient", "course"])

    def _each(
        self,
        table: pd.DataFrame,
        keys: list[str],
        draw: Callable[[pd.DataFrame, Axes | None], Axes],
        size: tuple[float, float],
        ax: Axes | None,
    ) -> Axes | list[Axes]:
        """One chart, or one for each group of a table, named by what differs."""
        if table.empty:
            raise ValueError("nothing to draw: the table has no rows")
        groups = list(table.groupby(keys, sort=False, dropna=False))
        if len(groups) == 1:
            return draw(table, ax)
        if ax is not None:
            made = f"{len(groups)} charts ({' × '.join(keys)})"
            raise WrongChoice(f"{made} do not fit one ax=: choose one group, or leave out ax=")
        varying = [at for at, key in enumerate(keys) if table[key].nunique(dropna=False) > 1]
        words = self._words
        named = [
            (", ".join(words.get(str(key[at]), readable(str(key[at]))) for at in varying), rows)
            for key, rows in groups
        ]
        return multiples(named, draw, size)


def _before(table: pd.DataFrame, column: str) -> list[str]:
    """The columns that tell groups apart: all that stand before this one."""
    return [str(name) for name in table.columns[: list(table.columns).index(column)]]
