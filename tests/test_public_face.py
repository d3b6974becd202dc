"""The public face: changed on purpose only, and every name of it explained by an example that runs."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ketaoutcomes as ko
from ketaoutcomes.results.benchmarks import Benchmark
from ketaoutcomes.results.comparisons import Comparison
from ketaoutcomes.results.control_results import Funnel
from ketaoutcomes.results.durability import Durability
from ketaoutcomes.results.partition import GoodTimeSummary
from ketaoutcomes.results.table_one import Table1
from ketaoutcomes.verbs.plots import Plots

SNAPSHOT = Path(__file__).parent / "public_face.txt"
PACKAGE = Path(ko.__file__).parent
GIVEN = (Benchmark, Comparison, Durability, Funnel, GoodTimeSummary, Plots, Table1)
"""What verbs give that is no table: `study.plot` is a `Plots`."""


def _public(name: str, what: object, module: str) -> bool:
    """Whether a module offers a name: a function or class of its own, or of a part of it."""
    own = inspect.isfunction(what) or inspect.isclass(what)
    return own and not name.startswith("_") and what.__module__.startswith(module)


def members() -> dict[str, Any]:
    """Every public name and, of public classes, every public member of ours."""
    found: dict[str, Any] = {}
    for name in sorted(set(ko.__all__) - {"__version__"}):
        value = getattr(ko, name)
        if inspect.ismodule(value):
            named = [own for own, what in vars(value).items() if _public(own, what, value.__name__)]
            found |= {f"{name}.{own}": getattr(value, own) for own in sorted(named)}
        else:
            found[name] = value
    found |= {given.__name__: given for given in GIVEN}
    classes = {name: value for name, value in found.items() if inspect.isclass(value)}
    for name, value in classes.items():
        for member in sorted(dir(value)):
            own = inspect.getattr_static(value, member)
            if not member.startswith("_") and (inspect.isfunction(own) or isinstance(own, classmethod)):
                found[f"{name}.{member}"] = getattr(value, member)
            elif not member.startswith("_") and (isinstance(own, property) or hasattr(own, "func")):
                found[f"{name}.{member}"] = own
    return found


def written() -> str:
    lines = []
    for name, value in members().items():
        signature = ""
        if inspect.isfunction(value) or inspect.ismethod(value):
            parameters = inspect.signature(value).parameters.values()
            shown = [one.replace(annotation=inspect.Parameter.empty) for one in parameters]
            signature = str(inspect.Signature(shown))
        lines.append(f"{name}{signature}\n")
    return "".join(lines)


def test_the_public_face_changes_on_purpose_only() -> None:
    assert SNAPSHOT.read_text(encoding="utf-8") == written(), (
        "the public face has changed: if on purpose, write tests/public_face.txt again "
        "(python tests/test_public_face.py) and say so in CHANGELOG.md"
    )


def test_everything_public_shows_an_example_that_runs() -> None:
    """Examples are run with the tests, as every module is collected for them."""
    without = [name for name, value in members().items() if ">>> " not in (inspect.getdoc(value) or "")]
    assert without == []


def offered(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Functions and classes of a module whose names do not begin with _, and such methods of such classes."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            for own in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(own, ast.FunctionDef) and not own.name.startswith("_"):
                    yield f"{node.name}.{own.name}", own


def test_nothing_a_module_offers_is_without_a_word() -> None:
    silent = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for name, node in offered(path)
        if not ast.get_docstring(node)
    ]
    assert silent == []


if __name__ == "__main__":
    SNAPSHOT.write_text(written(), encoding="utf-8")
