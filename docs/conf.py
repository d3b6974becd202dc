"""The documentation site: `sphinx-build -W docs docs/_build`; every warning is an error."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import gallery
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring, NumpyDocstring

import ketaoutcomes

project = "ketaoutcomes"
author = "The ketaoutcomes authors"
copyright = author  # noqa: A001  Sphinx's own name for it
version = release = ketaoutcomes.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_gallery"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "code"  # names in docstrings stand between single backticks
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "inherited-members": True}
maximum_signature_line_length = 90
python_use_unqualified_type_names = True

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "ketaoutcomes"
html_show_sphinx = False
html_copy_source = False


def draw_gallery(app: Any) -> None:
    """Draw the pictures of the gallery from the sample."""
    gallery.draw(Path(app.srcdir))


def lay_out(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """Let `Args:` and the like be lists. Not of properties, whose first words would be taken for a type."""
    if what in {"function", "method", "class", "exception"}:
        rules = Config(napoleon_use_ivar=True)
        for kind in (NumpyDocstring, GoogleDocstring):
            lines[:] = kind(lines, rules, app, what, name, of, options).lines()


def formula(writer: Any, node: Any) -> None:
    """Write a formula as MathML, which browsers draw by themselves: no page asks another for a script."""
    shown = isinstance(node, nodes.math_block)
    writer.body.append(tex2mathml(node.astext(), as_block=shown))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Draw the gallery before the pages are read, lay out docstrings, write formulas."""
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    app.connect("builder-inited", draw_gallery)
    app.connect("autodoc-process-docstring", lay_out)
