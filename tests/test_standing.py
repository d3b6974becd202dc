"""Harm of everyone due, and where mature courses stood: small courses counted by eye."""

from __future__ import annotations

import pandas as pd

import ketaoutcomes as ko

ITEMS = [f"phq9_{i}" for i in range(1, 10)]


def form(patient: str, day: int, total: int, safety: int | None) -> dict[str, object]:
    """One form: eight items that add to the total, and the ninth as answered."""
    rest = total - (safety or 0)
    answers = [min(3, max(0, rest - 3 * i)) for i in range(8)]
    return {"patient": patient, "day": day, **dict(zip(ITEMS, [*answers, safety], strict=True))}


def counted(forms: list[dict[str, object]], **cut: int) -> pd.DataFrame:
    patients = sorted({str(one["patient"]) for one in forms})
    doses = pd.DataFrame([
        {"patient": name, "day": day, "dose": 0.5, "unit": "mg/kg", "route": "iv"}
        for name in patients for day in (0, 3, 7, 10, 14, 17)
    ])  # fmt: skip
    people = pd.DataFrame([{"patient": name, "cut_day": cut.get(name, 400)} for name in patients])
    study = ko.Study(ko.Cohort.from_frames(doses, pd.DataFrame(forms), people))
    return study.tally(tables=("good_time",)).points


def states(points: pd.DataFrame, kind: str, point: str) -> dict[str, int]:
    rows = points[(points["kind"] == kind) & (points["point"] == point)]
    return dict(zip(rows["state"], rows["n"], strict=True))


def test_getting_worse_is_judged_by_the_last_score_of_everyone_due() -> None:
    forms = [
        form("a", 0, 12, 0), form("a", 20, 18, 2),  # six points worse
        form("b", 0, 12, 1), form("b", 10, 20, 2), form("b", 20, 17, 0),  # worse once, five points at the end
        form("c", 0, 12, 1),  # never scored again
        form("d", 0, 12, 1), form("d", 5, 24, 3),  # not due yet
    ]  # fmt: skip
    points = counted(forms, d=10)
    assert states(points, "worse", "last") == {"worse": 1, "not_worse": 1, "no_score": 1}
    assert states(points, "safety_item", "baseline") == {"none": 1, "some": 2}
    assert states(points, "safety_item", "last") == {"some": 1, "none": 1, "not_asked": 1}


def test_getting_worse_on_the_pcl5_is_counted_by_its_own_rule() -> None:
    """Its rule stands under another name than the PHQ-9's: 15 points (Marx 2022, sample 1)."""
    last = {"a": 64, "b": 65, "c": None}  # from 50
    rows = [{"patient": name, "day": 0, "pcl5": 50} for name in last]
    rows += [{"patient": name, "day": 25, "pcl5": score} for name, score in last.items() if score]
    doses = pd.DataFrame([
        {"patient": name, "day": day, "dose": 0.5, "unit": "mg/kg", "route": "iv"}
        for name in last for day in (0, 3, 7, 10, 14, 17)
    ])  # fmt: skip
    people = pd.DataFrame({"patient": list(last), "cut_day": 400})
    plan = ko.Plan().replace(good_time={"criterion": "pcl5_reliable15"})
    study = ko.Study(ko.Cohort.from_frames(doses, pd.DataFrame(rows), people, plan=plan))
    points = study.tally(tables=("good_time",)).points
    assert states(points, "worse", "last") == {"worse": 1, "not_worse": 1, "no_score": 1}


def test_an_unanswered_safety_item_is_not_a_zero() -> None:
    forms = [form("a", 0, 16, None), form("a", 20, 10, 2), form("a", 30, 10, None)]
    points = counted(forms)
    assert states(points, "safety_item", "baseline") == {"not_asked": 1}
    assert states(points, "safety_item", "last") == {"some": 1}


def test_mature_courses_stand_where_their_last_move_left_them() -> None:
    forms = [form("a", 0, 20, 0), form("a", 40, 4, 0), form("b", 0, 20, 0), form("b", 40, 19, 0)]
    points = counted(forms)
    # Cover ends 63 days after the last induction dose, on day 80.
    assert states(points, "occupation", "30") == {"adequate": 2}
    assert states(points, "occupation", "60") == {"adequate": 1, "responded_after": 1}
    assert states(points, "occupation", "180") == {"lapsed": 1, "responded_after": 1}
    assert not states(counted(forms, a=170, b=170), "occupation", "30")
