"""How objects and errors look in a notebook: short, escaped, and without a traceback to hunt through."""

from __future__ import annotations

import pickle
from html.parser import HTMLParser

import pandas as pd
import pytest

import ketaoutcomes as ko
from ketaoutcomes.definitions import DefinitionError
from ketaoutcomes.shown import Prose, WrongChoice, facts


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        self.open += [tag] if tag != "br" else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert tags.open == []
    return tags


def cohort(**more: object) -> ko.Cohort:
    doses = pd.DataFrame({"patient": ["a", "a"], "day": [0, 3], "dose": 0.5, "route": "iv"})
    scores = pd.DataFrame({"patient": ["a", "a"], "day": [0, 4], "phq9": [18, 9]})
    return ko.Cohort.from_frames(doses, scores, **more)  # type: ignore[arg-type]


def test_a_cohort_names_the_rules_that_found_something_and_the_page_that_explains_them() -> None:
    told = parsed(ko.load_sample(dirty=True)._repr_html_()).text
    assert "D03 " in told
    assert "12 quarantined" in told
    assert "ketaoutcomes explain CODE" in told
    assert "ketaoutcomes explain" not in parsed(cohort()._repr_html_()).text


def test_a_plan_says_only_what_differs_from_the_default() -> None:
    assert "the default;" in repr(ko.Plan())
    plan = ko.Plan(rates={"level": 0.9}, population={"entry": [{"column": "sex", "is": "female"}]})
    assert "default but for population.entry, rates.level;" in repr(plan)
    assert "population.entry, rates.level" in parsed(plan._repr_html_()).text
    assert len(repr(plan)) < 200


def test_a_map_of_columns_is_no_difference_of_the_analysis() -> None:
    plan = ko.load_sample().plan  # its covariates are named under [columns]
    assert "Plan(the default;" in repr(plan)
    told = parsed(plan._repr_html_()).text
    assert "nothing" in told.split("differs from the default in")[1]
    assert "[columns]" in told.split("given beside the analysis")[1]


def test_every_object_of_a_notebook_has_balanced_html_and_short_text() -> None:
    study = ko.Study(ko.load_sample(), as_of="2026-10")
    shown = [study.cohort, study, study.plan, study.durability("phq9_response50"), study.table1(by="site"),
             study.good_time_summary(), study.compare(by="site"), study.plan.methods()]  # fmt: skip
    for one in shown:
        assert parsed(one._repr_html_()).seen
    for one in (study.cohort, study, study.plan):
        assert "\n" not in repr(one)
        assert len(repr(one)) < 500


def test_a_plan_explains_every_name_it_uses() -> None:
    assert "Source: Gyani 2013" in ko.Plan().explain("phq9_reliable6")
    assert ko.Plan().explain("D03").startswith("D03: ")
    with pytest.raises(ValueError, match="did you mean"):
        ko.Plan().explain("phq9_respons50")


def test_text_from_data_is_escaped() -> None:
    assert "script" not in parsed(facts([("<script>", "<script>alert(1)</script>")], "<script>")).seen
    assert "script" not in parsed(Prose("<script>alert(1)</script>")._repr_html_()).seen


def test_prose_is_a_string_whose_paragraphs_a_notebook_shows() -> None:
    said = ko.Plan().methods()
    assert isinstance(said, str)
    assert parsed(said._repr_html_()).text.startswith("A course was a run of dosing days")
    assert said._repr_html_().count("<p>") == len(said.strip().split("\n\n"))


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: ko.Plan(rates={"levle": 0.9}), ValueError),
        (lambda: ko.Cohort.from_frames(pd.DataFrame({"day": [0]})), ValueError),
        (lambda: ko.Study(cohort()).rates(at="sesion"), WrongChoice),
        (lambda: ko.Study(cohort()).rates(at=["week", "end"]), WrongChoice),  # type: ignore[arg-type]
        (
            lambda: ko.Study(cohort(plan=ko.Plan(population={"complete": True}))).curve(clock="weeks"),
            WrongChoice,
        ),
        (lambda: ko.Plan().explain("phq"), WrongChoice),
        (lambda: ko.Study(cohort()).rates(criteria="phq9_respons50"), DefinitionError),
    ],
)
def test_an_error_about_input_shows_its_message_and_no_traceback(wrong: object, error: type) -> None:
    with pytest.raises(error) as caught:
        wrong()  # type: ignore[operator]
    lines = caught.value._render_traceback_()
    assert lines == [f"{type(caught.value).__name__}: {caught.value}"]
    assert type(pickle.loads(pickle.dumps(caught.value))) is type(caught.value)
