"""Equations as MathML, which browsers draw by themselves: no script, no network."""

import contextlib
import re
import unicodedata

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


VARIANT = re.compile(r'<(m[ino]) mathvariant="(double-struck|bold|script)">(\w+)</\1>')


def _drawn(node: nodes.Element, display: str) -> str:
    try:
        return VARIANT.sub(_letters, convert(node.astext(), display=display))
    except Exception as error:
        told = f"no equation: {node.astext()!r} ({type(error).__name__})"
        LOG.warning(told, location=node)
        return f"<code>{node.astext()}</code>"


def setup(app: Sphinx) -> None:
    """The renderer that `html_math_renderer` names."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))


def _letters(found: re.Match[str]) -> str:
    """Letters as Unicode has them: browsers no longer follow `mathvariant`."""
    tag, variant, letters = found.groups()
    return f"<{tag}>{''.join(_letter(x, variant.upper()) for x in letters)}</{tag}>"


def _letter(x: str, variant: str) -> str:
    kind = "DIGIT" if x.isdigit() else "CAPITAL" if x.isupper() else "SMALL"
    name = unicodedata.name(x).rpartition(" ")[2]
    name = f"{variant} {kind} {name}"
    for whole in (f"MATHEMATICAL {name}", name):
        with contextlib.suppress(KeyError):
            return unicodedata.lookup(whole)
    return x
