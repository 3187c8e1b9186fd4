"""Equations as MathML, which browsers draw by themselves: no script, no network."""

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator


LOG = logging.getLogger(__name__)


def inline(self: HTML5Translator, node: nodes.math) -> None:
    """An equation within a line."""
    self.body.append(_drawn(node, "inline"))
    raise nodes.SkipNode


def block(self: HTML5Translator, node: nodes.math_block) -> None:
    """An equation on a line of its own."""
    self.body.append(f'<div class="math">{_drawn(node, "block")}</div>')
    raise nodes.SkipNode


def _drawn(node: nodes.Element, display: str) -> str:
    try:
        return convert(node.astext(), display=display)
    except Exception as error:
        told = f"no equation: {node.astext()!r} ({type(error).__name__})"
        LOG.warning(told, location=node)
        return f"<code>{node.astext()}</code>"


def setup(app: Sphinx) -> None:
    """The renderer that `html_math_renderer` names."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
