"""A few figures compared by picture: shapes, fills and lines that no list of positions describes whole.

Words are taken out before a picture is compared, as fonts differ between machines; what they say is tested by
`test_figures`. What is left is averaged over blocks of pixels, so that another way of smoothing edges is no
difference, and a bar, band or line that moved, went missing or changed its fill is one. Committed are those
averages, one small file per figure; `python tests/test_pictures.py` draws them again, to be looked at first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_tables
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.text import Text
from numpy.typing import NDArray

from ketaoutcomes import figures

FOLDER = Path(__file__).parent / "pictures"
BLOCK = 4  # pixels averaged to one, each way
OFF = 0.12  # of full brightness: a block further off than this differs
MOST_OFF = 0.004  # of all blocks may differ: another version's edges stay under half of this
LARGEST = 15_000  # bytes of one committed picture

Draw = Callable[[Axes, float], Axes]
"""Draws a figure on the Axes given; the number is zero, or by how much one of its values is changed."""


def rates(ax: Axes, wrong: float = 0) -> Axes:
    table = report_tables.by_session()
    table = table[(table["protocol"] == "iv6") & (table["instrument"] == "phq9")].drop(columns="protocol")
    moved = (table["criterion"] == "phq9_response50") & (table["point"] == "4") & (table["analysis"] == "nri")
    table.loc[moved, ["rate", "low", "high"]] += wrong
    return figures.rates(table, ax=ax)


def bands(ax: Axes, wrong: float = 0) -> Axes:
    shares = {
        "before": (0.0, 0.05, 0.25, 0.4, 0.3, 0.0),
        "2": (0.1, 0.2 + wrong, 0.25 - wrong, 0.2, 0.15, 0.1),
        "6": (0.3, 0.2, 0.1, 0.1, 0.1, 0.2),
    }
    names = ("minimal", "mild", "moderate", "moderately severe", "severe", "unscored")
    rows = [
        {"axis": "session", "instrument": "phq9", "point": point, "band": band, "rate": share, "n": 100}
        for point, parts in shares.items()
        for band, share in zip(names, parts, strict=True)
    ]
    return figures.bands(pd.DataFrame(rows), ax=ax)


def band_flow(ax: Axes, wrong: float = 0) -> Axes:
    names = ("mild", "moderate", "severe", "unscored")
    people = {"moderate": (18, 10, 2, 5), "severe": (20 + 100 * wrong, 15 - 100 * wrong, 12, 9)}
    rows = [
        {"axis": "end", "instrument": "phq9", "point": "end", "band_from": start, "band_to": end, "people": n}
        for start, parts in people.items()
        for end, n in zip(names, parts, strict=True)
    ]
    return figures.band_flow(pd.DataFrame(rows), ax=ax)


def state_occupation(ax: Axes, wrong: float = 0) -> Axes:
    day = np.arange(0, 181, 10)
    early, late = 0.2 * day / 180, 0.35 * (day / 180) ** 0.5
    shares = {
        "responded_before": early,
        "responded_after": late,
        "titrating": 0.6 * (1 - day / 180) * (1 - early - late),
        "lapsed": np.full(len(day), 0.1 + wrong),
    }
    shares["adequate"] = 1 - sum(shares.values())
    table = pd.DataFrame(shares).assign(day=day).melt("day", var_name="state", value_name="share")
    return figures.state_occupation(
        table.assign(criterion="phq9_response50", n=200, at_risk=200, reason=""), ax=ax
    )


def dose_timeline(ax: Axes, wrong: float = 0) -> Axes:
    course = {"patient": "a", "course": 1}
    doses = [(0, 0.5), (7, 0.7), (14, 0.9), (21, 0.9), (42, 0.9)]
    scores = [(0, 21.0), (7, 18.0), (14, 15.0), (21, 9.0 + 80 * wrong), (42, 8.0), (56, 12.0)]
    rows = [course | {"day": d, "kind": "dose", "value": v, "unit": "mg/kg", "of_level": v} for d, v in doses]
    rows += [
        course | {"day": d, "kind": "score", "value": v, "unit": "phq9", "of_level": np.nan}
        for d, v in scores
    ]
    spans = [("titrating", 0, 14), ("adequate", 14, 56), ("lapsed", 56, 70)]
    stretches = [course | {"state": state, "from_day": a, "to_day": b} for state, a, b in spans]
    one = course | {"instrument": "phq9", "criterion": "phq9_response50", "level": 1.0, "reached_day": 14}
    good_time = pd.DataFrame([one | {"response_day": 21}])
    return figures.dose_timeline(pd.DataFrame(rows), pd.DataFrame(stretches), good_time, ax=ax)


DRAWN: dict[str, Draw] = {
    draw.__name__: draw for draw in (rates, bands, band_flow, state_occupation, dose_timeline)
}


@pytest.fixture(autouse=True)
def _no_figure_stays_open() -> Iterator[None]:
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def picture(draw: Draw, wrong: float = 0) -> NDArray[np.float64]:
    """A figure without its words, as brightness of red, green and blue in blocks: from 0 to 1."""
    with plt.style.context("default"):
        figure = plt.figure(figsize=(4.8, 3.2), dpi=100)
        ax = draw(figure.add_axes((0.06, 0.08, 0.88, 0.84)), wrong)
        for text in ax.figure.findobj(Text):
            text.set_visible(False)
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba(), dtype=np.float64)[..., :3] / 255  # type: ignore[attr-defined]
    down, across = pixels.shape[0] // BLOCK, pixels.shape[1] // BLOCK
    cut = pixels[: down * BLOCK, : across * BLOCK]
    return cut.reshape(down, BLOCK, across, BLOCK, 3).mean(axis=(1, 3))


def committed(name: str) -> NDArray[np.float64]:
    return np.asarray(plt.imread(FOLDER / f"{name}.png"), dtype=np.float64)[..., :3]


def unlike(seen: NDArray[np.float64], meant: NDArray[np.float64]) -> float:
    """The share of blocks that differ."""
    assert seen.shape == meant.shape
    return float((np.abs(seen - meant).max(axis=2) > OFF).mean())


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_looks_as_it_did(name: str) -> None:
    assert unlike(picture(DRAWN[name]), committed(name)) <= MOST_OFF


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_of_other_numbers_does_not_pass_for_it(name: str) -> None:
    assert unlike(picture(DRAWN[name], wrong=0.05), committed(name)) > MOST_OFF


def test_a_figure_without_its_intervals_or_hatching_does_not_pass_for_it() -> None:
    def bare(ax: Axes, wrong: float) -> Axes:
        drawn = rates(ax, wrong)
        for bar in drawn.collections:
            bar.set_visible(False)
        return drawn

    def plain(ax: Axes, wrong: float) -> Axes:
        drawn = bands(ax, wrong)
        for bar in drawn.patches:
            bar.set_hatch("")
        return drawn

    assert unlike(picture(bare), committed("rates")) > MOST_OFF
    assert unlike(picture(plain), committed("bands")) > MOST_OFF


def test_no_picture_is_left_over_or_large() -> None:
    kept = {path.stem: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(kept) == set(DRAWN)
    assert max(kept.values()) <= LARGEST


if __name__ == "__main__":
    plt.switch_backend("Agg")
    FOLDER.mkdir(exist_ok=True)
    for each, drawing in DRAWN.items():
        plt.imsave(FOLDER / f"{each}.png", picture(drawing), metadata={"Software": None})
