"""Imports point one way, so that a report cannot hold a row and the engine cannot know a page."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import ketaoutcomes
from ketaoutcomes.tables import TABLES, glossary

PACKAGE = Path(ketaoutcomes.__file__).parent

# Each room may import rooms to its left, never to its right.
ORDER = [
    "shown",
    "notices",
    "progress",
    "frozen",
    "tables",
    "definitions",
    "plan",
    "estimates",
    "records",
    "intake",
    "simulate",
    "per_patient",
    "counts",
    "disclosure",
    "results",
    "figures",
    "report",
    "rows",
    "verbs",
    "study",
    "models",
    "published",
    "commands",
    "cli",
]


def modules_of(path: Path, *, types: bool = True) -> set[str]:
    """The modules a file imports when it is imported itself, or names for its types; not those that wait."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        nodes = (node.body if types else []) if isinstance(node, ast.If) else [node]
        for one in nodes:
            if isinstance(one, ast.ImportFrom) and one.module and one.module.split(".")[0] == "ketaoutcomes":
                inside = one.module.partition(".")[2]
                names = {f"{inside}.{alias.name}".strip(".") for alias in one.names}
                found |= {name if name in MODULES else inside for name in names}
    return found & MODULES


def imports_of(path: Path) -> set[str]:
    """The rooms a file imports when it is imported itself."""
    return {module.split(".")[0] for module in modules_of(path)}


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in PACKAGE.rglob("*.py")} - {""}


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


def test_no_module_waits_for_itself() -> None:
    paths = {module_of(path): path for path in PACKAGE.rglob("*.py")}
    needs = {module: modules_of(path, types=False) - {module} for module, path in paths.items()}
    assert list(TopologicalSorter(needs).static_order())


def test_estimates_know_nothing_of_ours() -> None:
    for path in (PACKAGE / "estimates").glob("*.py"):
        assert imports_of(path) <= {"estimates"}, path.name


ROWS = {"records.cohort", "records.assembly", "records.frames", "per_patient.patients"}


def test_figures_and_report_never_see_a_row() -> None:
    for path in [*(PACKAGE / "figures").rglob("*.py"), *(PACKAGE / "report").rglob("*.py")]:
        assert not imports_of(path) & {"intake", "rows", "study"}, path.name
        assert not modules_of(path) & ROWS, path.name


def test_the_glossary_is_printed_from_the_declarations() -> None:
    written = (PACKAGE.parent / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert written == glossary(), "print it again: ketaoutcomes.tables.glossary()"
    assert all(f"## {name}\n" in written for name in TABLES)
