"""Models of repeated scores, for notebooks: row-level, do not share.

Two models, each with its estimand, formula and missing-data assumption in words beside the numbers. They need
statsmodels (`pip install 'ketaoutcomes[models]'`). What a fit has not converged to is never printed: it is an
error that says what was tried. They describe association in the people who came; they are no comparison with
no treatment, and advise nobody on dose.
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from ketaoutcomes.shown import PlainError

if TYPE_CHECKING:
    from ketaoutcomes.study import Study

Array = Any
Time = Literal["visit", "trend"]
Analysis = Literal["observed", "nri"]
OPTIMISERS = ("lbfgs", "bfgs", "cg")
FEW_PATIENTS = 50  # below this, the robust errors are corrected (Mancl and DeRouen 2001)
OF_COURSE = ("protocol", "route", "site")
CERTAIN = 1e-7  # a fitted share so near to 0 or 1 means an estimate that runs away
ON_EDGE = (
    "the variance between patients may be at the edge of what it can be (zero, or slopes tied to levels)"
)
DO_NOT_SHARE = "Row-level model, for notebooks: not protected against small cells, do not share as it is."


class ModelError(PlainError):
    """A model that cannot be fitted, or did not converge: what was tried, and what to do instead.

    >>> try:
    ...     fit_response(pd.DataFrame({"patient": ["a", "b"], "point": 1, "met": 1.0}))
    ... except ModelError as error:
    ...     print(str(error).split(";")[0])
    at visit 1 all or none met, so its log odds have no finite estimate
    """


@dataclass(frozen=True, eq=False)
class ModelFit:
    """A fitted model: its estimates, and in words what they estimate and under which assumption.

    `table` has one row per term: term, estimate, se, low, high, p; of a response model also share, share_low
    and share_high where the term is a visit. `patients` and `rows` say how many it was fitted on, `left_out`
    how many rows lacked a covariate, `details` the correlation or variance components, `notes` whatever a
    reader must know. Row-level: do not share.

    >>> fit = change_model(study, "phq9", protocol="esketamine")
    >>> fit.patients, fit.rows, fit.left_out
    (127, 817, 0)
    >>> print(fit.missing.split(": ")[0])
    missing at random
    """

    title: str
    estimand: str
    formula: str
    missing: str
    method: str
    table: pd.DataFrame
    details: dict[str, float]
    patients: int
    rows: int
    left_out: int = 0
    notes: tuple[str, ...] = ()

    def _words(self) -> list[tuple[str, str]]:
        left = f"; {self.left_out} rows without a covariate left out" if self.left_out else ""
        details = ", ".join(f"{name} {value:.4g}" for name, value in self.details.items())
        return [
            ("Estimand", self.estimand),
            ("Model", self.formula),
            ("Missing scores", self.missing),
            ("Method", self.method),
            ("Fitted on", f"{self.patients} patients, {self.rows} scores{left}"),
            ("Estimated", details),
            *(("Note", note) for note in self.notes),
            ("Privacy", DO_NOT_SHARE),
        ]

    def __str__(self) -> str:
        words = [f"{name}: {text}" for name, text in self._words()]
        return "\n".join([self.title, *words, "", self.table.round(4).to_string(index=False)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        words = "".join(
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in self._words()
        )
        table = self.table.round(4).to_html(index=False, escape=True)
        return f"<h4>{html.escape(self.title)}</h4><dl>{words}</dl>{table}"


def response_model(
    study: Study,
    criterion: str,
    *,
    at: str = "session",
    protocol: str | None = None,
    time: Time = "visit",
    adjust: Sequence[str] = (),
    analysis: Analysis = "observed",
    level: float = 0.95,
) -> ModelFit:
    """Fit the share meeting a criterion at each visit by generalised estimating equations. Row-level.

    Args:
        study: the study; its eligible headline courses that are due are modelled.
        criterion: a criterion's full name.
        at: session or week.
        protocol: whose sessions; needed where several protocols were used.
        time: `visit`, each visit its own share; `trend`, a straight line of the log odds by visit number.
        adjust: `baseline`, columns of people, or the course's protocol, route or site; numbers are centred
            on the patients' mean, words compared with the first in the alphabet.
        analysis: `observed` (of those scored) or `nri` (the unscored count as not met).
        level: confidence level.

    Raises:
        ModelError: nothing to fit, a visit at which all or none met (no finite estimate), a fit that did not
            converge.
        ModuleNotFoundError: statsmodels is not there; says what to install.

    Source: Liang and Zeger 1986, Biometrika 73:13.

    >>> fit = response_model(study, "phq9_response50", protocol="esketamine")
    >>> print(fit.table[["term", "estimate", "share"]].head(3).round(2).to_string(index=False))
       term  estimate  share
    visit 1     -2.52   0.07
    visit 2     -1.75   0.15
    visit 3     -1.43   0.19
    """
    _statsmodels()
    rows = _rows(study, study.plan.definitions.criterion(criterion).name, at, protocol, adjust)
    if analysis == "nri":
        rows = rows[rows["state"].isin(["met", "not_met", "missing", "carried_met", "carried_not_met"])]
    elif analysis == "observed":
        rows = rows[rows["state"].isin(["met", "not_met"])]
    else:
        raise ModelError("analysis is observed or nri")
    fit = fit_response(
        rows.assign(met=(rows["state"] == "met").astype(float)), time=time, adjust=adjust, level=level
    )
    whom = "of those scored there" if analysis == "observed" else "of all due, the unscored as not met"
    return replace(
        fit, title=f"{criterion} by {at}: repeated response", estimand=f"{fit.estimand}, {whom}",
        missing=MISSING_RESPONSE[analysis],
    )  # fmt: skip


def change_model(
    study: Study,
    instrument: str,
    *,
    at: str = "session",
    protocol: str | None = None,
    time: Time = "visit",
    adjust: Sequence[str] = ("baseline",),
    slope: bool = False,
    level: float = 0.95,
) -> ModelFit:
    """Fit the mean change from baseline at each visit by a linear mixed model. Row-level.

    Args:
        study: the study; its eligible headline courses that are due are modelled.
        instrument: an instrument's id.
        at: session or week.
        protocol: whose sessions; needed where several protocols were used.
        time: `visit`, each visit its own mean; `trend`, a straight line by visit number.
        adjust: as in :func:`response_model`.
        slope: also let the trend by visit number differ between patients.
        level: confidence level.

    Raises:
        ModelError: nothing to fit, or no optimiser converged: nothing of such a fit is printed.
        ModuleNotFoundError: statsmodels is not there; says what to install.

    Source: Laird and Ware 1982, Biometrics 38:963.

    >>> fit = change_model(study, "phq9", protocol="esketamine")
    >>> print(fit.table[["term", "estimate", "low", "high"]].head(3).round(1).to_string(index=False))
       term  estimate  low  high
    visit 1      -2.2 -3.2  -1.1
    visit 2      -3.7 -4.7  -2.6
    visit 3      -4.5 -5.6  -3.5
    """
    _statsmodels()
    it = study.plan.definitions.instrument(instrument)
    scored = [c for c in it.criteria if c.variable == "score"]
    name = next((c.name for c in scored if not c.uses_baseline), scored[0].name)
    rows = _rows(study, name, at, protocol, ("baseline", *adjust))
    rows = rows[rows["state"].isin(["met", "not_met"])]
    fit = fit_change(
        rows.assign(change=rows["score"] - rows["baseline"]),
        time=time, adjust=adjust, slope=slope, level=level,
    )  # fmt: skip
    return replace(fit, title=f"{it.title} change from baseline by {at}")


MISSING_RESPONSE = {
    "observed": (
        "missing completely at random, given what is adjusted for: whether a score is there must not depend "
        "on response, past or present. People who stop because it does not work break this"
    ),
    "nri": "none: an unscored visit counts as not met, which is a definition and not an estimate",
}
MISSING_CHANGE = (
    "missing at random: whether a score is there may depend on baseline and on earlier scores of the person, "
    "not on the score that is missing"
)


def fit_response(
    rows: pd.DataFrame, *, time: Time = "visit", adjust: Sequence[str] = (), level: float = 0.95
) -> ModelFit:
    """Fit a 0/1 outcome of one's own rows: columns patient, point (a number), met, and the covariates.

    Raises as :func:`response_model`.

    >>> met = [0, 1, 0, 1, 1, 1, 0, 0]
    >>> rows = pd.DataFrame({"patient": [*"aabbccdd"], "point": [1, 2] * 4, "met": met})
    >>> print(fit_response(rows).table[["term", "share"]].round(2).to_string(index=False))
       term  share
    visit 1   0.25
    visit 2   0.75
    """
    sm = _statsmodels()
    d = _design(rows, "met", time, adjust)
    _check_visits(d, time)
    few = d.patients < FEW_PATIENTS
    model = sm.GEE(
        d.y, d.x, groups=d.group, family=sm.families.Binomial(), cov_struct=sm.cov_struct.Exchangeable()
    )
    found, said = _attempt(partial(model.fit, cov_type="bias_reduced" if few else "robust", maxiter=200))
    if found is None or not found.converged or not np.isfinite(found.bse).all():
        raise ModelError(
            "the estimating equations did not converge, so there is nothing to print; tried 200 rounds with "
            f"an exchangeable correlation ({'; '.join(said) or 'no protest'}); use fewer covariates, or "
            'time="trend"'
        )
    if ((found.fittedvalues < CERTAIN) | (found.fittedvalues > 1 - CERTAIN)).any():
        raise ModelError(
            "no finite estimate: a covariate separates those who met from those who did not; leave it out"
        )
    table = _table(d.terms, found.params, found.bse, level)
    if time == "visit":
        table = _with_shares(table, len(d.points))
    errors = (
        f"robust standard errors, corrected for fewer than {FEW_PATIENTS} patients (Mancl and DeRouen 2001)"
        if few
        else "robust standard errors (Liang and Zeger 1986)"
    )
    return ModelFit(
        title="Repeated response",
        estimand=(
            "the log odds of meeting the criterion at each visit, averaged over people"
            if time == "visit"
            else "the change in the log odds of meeting the criterion per visit, averaged over people"
        ) + _at_mean(adjust),
        formula=_formula("logit share met", time, adjust, ""),
        missing=MISSING_RESPONSE["observed"],
        method=f"generalised estimating equations, exchangeable within patient; {errors}",
        table=table,
        details={"correlation within patient": float(found.cov_struct.dep_params)},
        patients=d.patients, rows=len(d.y), left_out=d.left_out,
    )  # fmt: skip


def fit_change(
    rows: pd.DataFrame,
    *,
    time: Time = "visit",
    adjust: Sequence[str] = (),
    slope: bool = False,
    level: float = 0.95,
) -> ModelFit:
    """Fit a change of one's own rows: columns patient, point (a number), change, and the covariates.

    Raises as :func:`change_model`.

    >>> change = [-2.0, -6.0, 0.0, -5.0, -4.0, -9.0, 1.0, -1.0]
    >>> rows = pd.DataFrame({"patient": [*"aabbccdd"], "point": [1, 2] * 4, "change": change})
    >>> print(fit_change(rows).table[["term", "estimate"]].round(2).to_string(index=False))
       term  estimate
    visit 1     -1.25
    visit 2     -5.25
    """
    sm = _statsmodels()
    d = _design(rows, "change", time, adjust)
    random = np.column_stack([np.ones(len(d.y)), d.point]) if slope else np.ones((len(d.y), 1))
    if d.patients == len(d.y):
        raise ModelError("every patient has one score only: there is no repeated change to model")
    model = sm.MixedLM(d.y, d.x, groups=d.group, exog_re=random)
    tried = []
    for optimiser in OPTIMISERS:
        found, said = _attempt(partial(model.fit, reml=True, method=optimiser))
        on_edge = any("boundary" in text or "singular" in text for text in said)
        broken = any("Hessian" in text for text in said)
        if found is not None and found.converged and not broken and np.isfinite(found.bse_fe).all():
            fit = _fitted_change(found, d, optimiser, time, adjust, slope, level)
            return replace(fit, notes=(ON_EDGE,)) if on_edge else fit
        tried.append(f"{optimiser} ({'; '.join(said) or 'did not converge'})")
    raise ModelError(
        "no optimiser converged, so there is nothing to print; tried "
        + ", ".join(tried)
        + "; use fewer covariates, slope=False, or more people"
    )


def _fitted_change(
    found: Any, d: _Design, optimiser: str, time: Time, adjust: Sequence[str], slope: bool, level: float
) -> ModelFit:
    between = np.asarray(found.cov_re, dtype=float)
    details = {
        "variance between patients": float(between[0, 0]),
        "variance within patients": float(found.scale),
    }
    if slope:
        details |= {
            "variance of slopes": float(between[1, 1]),
            "covariance of level and slope": float(between[0, 1]),
        }
    flat = bool((np.diag(between) < 1e-6 * found.scale).any())
    return ModelFit(
        title="Change from baseline",
        estimand=(
            "the mean change from baseline at each visit, had everyone been scored there"
            if time == "visit"
            else "the mean change from baseline per visit, had everyone been scored"
        ) + _at_mean(adjust),
        formula=_formula("change", time, adjust, " + patient level" + (" + patient slope" if slope else "")),
        missing=MISSING_CHANGE,
        method=f"linear mixed model, restricted maximum likelihood, by {optimiser}; normal intervals",
        table=_table(d.terms, found.fe_params, found.bse_fe, level),
        details=details, patients=d.patients, rows=len(d.y), left_out=d.left_out, notes=(ON_EDGE,) * flat,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Design:
    """What is fitted: outcome, columns with their names, patient and visit of each row."""

    y: Array
    x: Array
    terms: list[str]
    group: Array
    point: Array
    points: list[float]
    left_out: int

    @property
    def patients(self) -> int:
        return len(np.unique(self.group))


def _design(rows: pd.DataFrame, outcome: str, time: Time, adjust: Sequence[str]) -> _Design:
    """The rows as a design matrix, sorted by patient and visit, so that their order carries no meaning."""
    if time not in ("visit", "trend"):
        raise ModelError("time is visit or trend")
    absent = [name for name in ("patient", "point", outcome, *adjust) if name not in rows]
    if absent:
        raise ModelError(f"the rows have no column {', '.join(map(repr, absent))}")
    kept = rows.dropna(subset=["patient", "point", outcome, *adjust])
    kept = kept.assign(point=pd.to_numeric(kept["point"])).sort_values(["patient", "point"], kind="stable")
    group, _ = pd.factorize(kept["patient"], sort=True)
    if len(np.unique(group)) < 2:
        raise ModelError("fewer than two patients have what the model needs")
    point = kept["point"].to_numpy(dtype=float)
    points = sorted(set(point.tolist()))
    if time == "visit":
        columns = [(point == one).astype(float) for one in points]
        terms = [f"visit {one:g}" for one in points]
    else:
        columns, terms = [np.ones(len(point)), point], ["at visit 0", "per visit"]
    for name in adjust:
        for term, column in _covariate(kept, name, group):
            terms.append(term)
            columns.append(column)
    x = np.column_stack(columns)
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise ModelError(
            f"the columns {', '.join(terms)} cannot be told apart: one follows from the others; leave one out"
        )
    y = kept[outcome].to_numpy(dtype=float)
    return _Design(y, x, terms, group, point, points, len(rows) - len(kept))


def _covariate(rows: pd.DataFrame, name: str, group: Array) -> list[tuple[str, Array]]:
    """A covariate's columns: a number centred on the patients' mean, or a word's indicators."""
    column = rows[name]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=float)
        _, first = np.unique(group, return_index=True)
        return [(f"{name}, per unit", values - values[first].mean())]
    words = column.astype(str).to_numpy(dtype=object)
    known = sorted(set(words))
    return [(f"{name}: {one}, not {known[0]}", (words == one).astype(float)) for one in known[1:]]


def _check_visits(d: _Design, time: Time) -> None:
    """Where all or none met at a visit, its log odds have no finite estimate."""
    if not np.isin(d.y, [0.0, 1.0]).all():
        raise ModelError("met is 0 or 1")
    shares = [d.y[d.point == one].mean() for one in d.points] if time == "visit" else [d.y.mean()]
    stuck = [f"{one:g}" for one, share in zip(d.points, shares, strict=False) if share in (0, 1)]
    if stuck and time == "visit":
        raise ModelError(
            f"at visit {', '.join(stuck)} all or none met, so its log odds have no finite estimate; use "
            'time="trend", or leave the visit out of the rows'
        )
    if stuck:
        raise ModelError("all or none met at every visit: there is nothing to model")


def _attempt(fit: Callable[[], Any]) -> tuple[Any, list[str]]:
    """A fit (None where it broke off), and what was said in protest: no value of the data is in it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = fit()
        except (np.linalg.LinAlgError, ValueError, FloatingPointError) as problem:
            return None, [type(problem).__name__]
    return found, list(dict.fromkeys(str(one.message).partition(".")[0].partition(",")[0] for one in caught))


def _table(terms: list[str], estimate: Array, se: Array, level: float) -> pd.DataFrame:
    if not 0 < level < 1:
        raise ModelError("level must lie between 0 and 1, for example 0.95")
    from scipy.special import ndtr

    estimate, se = np.asarray(estimate, dtype=float), np.asarray(se, dtype=float)
    z = NormalDist().inv_cdf((1 + level) / 2)
    return pd.DataFrame(
        {"term": terms, "estimate": estimate, "se": se, "low": estimate - z * se, "high": estimate + z * se,
         "p": 2 * ndtr(-np.abs(estimate / se))}
    )  # fmt: skip


def _with_shares(table: pd.DataFrame, visits: int) -> pd.DataFrame:
    """The visits' log odds as shares too; blank for covariates, whose terms are differences.

    A visit's own log odds are nothing to test: zero would be a share of one half.
    """
    own = np.arange(len(table)) < visits
    shares = {"share": "estimate", "share_low": "low", "share_high": "high"}
    return table.assign(
        p=table["p"].where(~own),
        **{name: np.where(own, 1 / (1 + np.exp(-table[of])), np.nan) for name, of in shares.items()},
    )


def _formula(outcome: str, time: Time, adjust: Sequence[str], random: str) -> str:
    of_time = "visit" if time == "visit" else "1 + visit number"
    return f"{outcome} = {' + '.join([of_time, *adjust])}{random}"


def _at_mean(adjust: Sequence[str]) -> str:
    return f", at the patients' mean (words: the first) of {', '.join(adjust)}" if adjust else ""


def _rows(study: Study, criterion: str, at: str, protocol: str | None, adjust: Sequence[str]) -> pd.DataFrame:
    """Row-level: do not share. Per headline course that is due and visit: state, score, covariates."""
    if at not in ("session", "week"):
        raise ModelError("at is session or week: a model of repeated scores needs several visits")
    rows = study.points(at=at, criteria=criterion)
    rows = rows[~rows["state"].isin(["not_due", "not_scheduled"])]
    courses = study.courses[["patient", "course", *OF_COURSE]]
    rows = rows.merge(courses, on=["patient", "course"], how="left")
    used = sorted(set(rows["protocol"]))
    if protocol is None and at == "session" and len(used) > 1:
        raise ModelError(
            f"a session is a session of a protocol, and these courses have several; say protocol={used[0]!r} "
            f"(or {', '.join(map(repr, used[1:]))}), or at='week'"
        )
    if protocol is not None:
        rows = rows[rows["protocol"] == protocol]
    baselines = study.baselines[["patient", "course", "instrument", "baseline"]]
    rows = rows.merge(baselines, on=["patient", "course", "instrument"], how="left")
    wanted = [name for name in dict.fromkeys(adjust) if name not in ("baseline", *OF_COURSE)]
    people = study.cohort.people
    absent = [name for name in wanted if name not in people]
    if absent:
        raise ModelError(f"adjust names columns that people do not have: {', '.join(map(repr, absent))}")
    return rows.merge(people[["patient", *wanted]], on="patient", how="left") if wanted else rows


def _statsmodels() -> Any:
    try:
        import statsmodels.api as sm
    except ModuleNotFoundError:
        raise ModuleNotFoundError("models need statsmodels: pip install 'ketaoutcomes[models]'") from None
    return sm
