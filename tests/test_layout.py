"""Imports point one way, so that a report cannot hold a row and the engine cannot know a page."""

from __future__ import annotations

import ast
from pathlib import Path

import ketaoutcomes
from ketaoutcomes.tables import TABLES, glossary

PACKAGE = Path(ketaoutcomes.__file__).parent

# Each room may import rooms to its left, never to its right.
ORDER = [
    "shown",
    "tables",
    "definitions",
    "change_rules",
    "plan",
    "estimates",
    "coding",
    "assembly",
    "monitoring",
    "frames",
    "cohort",
    "intake",
    "simulate",
    "courses",
    "windows",
    "outcomes",
    "derived",
    "patients",
    "occurrences",
    "standing",
    "adequacy",
    "exposure",
    "good_time",
    "tallies",
    "counting",
    "strata",
    "change_counts",
    "measures",
    "good_time_counts",
    "curve_counts",
    "durability_counts",
    "gain_counts",
    "good_time_cells",
    "safety_counts",
    "disclosure",
    "results",
    "change_results",
    "measure_results",
    "partition",
    "curve_results",
    "wording",
    "response_curves",
    "comparisons",
    "benchmarks",
    "control_results",
    "safety_results",
    "table_one",
    "missingness",
    "checklist",
    "sensitivity",
    "durability",
    "figure_tables",
    "figures",
    "report",
    "plots",
    "histories",
    "row_tables",
    "worklist",
    "curve_verbs",
    "change_verbs",
    "table_verbs",
    "measure_verbs",
    "safety_verbs",
    "sensitivity_verbs",
    "comparison_verbs",
    "study",
    "models",
    "published",
    "explain",
    "commands",
    "report_command",
    "audit_commands",
    "cli",
]


def imports_of(path: Path) -> set[str]:
    """The rooms a file imports when it is imported itself; imports inside functions wait and are left out."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        nodes = node.body if isinstance(node, ast.If) else [node]
        for one in nodes:
            if isinstance(one, ast.ImportFrom) and one.module and one.module.startswith("ketaoutcomes."):
                found.add(one.module.split(".")[1])
            elif isinstance(one, ast.ImportFrom) and one.module == "ketaoutcomes":
                found |= {alias.name for alias in one.names}
    return found


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_room_has_its_place() -> None:
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    assert rooms <= set(ORDER), f"give a place in ORDER to: {sorted(rooms - set(ORDER))}"


def test_imports_point_one_way() -> None:
    place = {room: i for i, room in enumerate(ORDER)}
    backward = [
        f"{path.relative_to(PACKAGE)} imports {room}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for room in sorted(imports_of(path))
        if room in place and room_of(path) in place and place[room] > place[room_of(path)]
    ]
    assert backward == []


def test_estimates_know_nothing_of_ours() -> None:
    for path in (PACKAGE / "estimates").glob("*.py"):
        assert imports_of(path) <= {"estimates"}, path.name


def test_figures_and_report_never_see_a_row() -> None:
    for path in [*(PACKAGE / "figures").rglob("*.py"), *(PACKAGE / "report").rglob("*.py")]:
        assert not imports_of(path) & {"cohort", "study", "patients", "assembly", "frames", "intake"}, (
            path.name
        )


def test_the_glossary_is_printed_from_the_declarations() -> None:
    written = (PACKAGE.parent / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert written == glossary(), "print it again: ketaoutcomes.tables.glossary()"
    assert all(f"## {name}\n" in written for name in TABLES)
