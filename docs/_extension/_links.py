"""Code in a text that is a public name becomes a link to it."""

import functools
import re
from collections.abc import Collection

from sphinx.application import Sphinx
from sphinx.util import logging

from ._gallery import RESULTS
from ._names import index, ROOT


LOG = logging.getLogger(__name__)
KINDS = "rules|circuits|tasks|synapses|curvature|measure|inference|traces"
MISSED = re.compile(rf"(?<!`)`((?:{KINDS})\.\w+)`(?!`)")  # still plain code
FENCE = re.compile(r"^\s*(```|~~~)")
CODE = re.compile(r"(?<![`}\w])`([A-Za-z_][\w.]*)`(?!`)")


def linked(app: Sphinx, name: str, source: list[str]) -> None:
    """Of a page that is read."""
    if not name.startswith("reference/"):
        source[0] = with_links(source[0])
        for word in MISSED.findall(source[0]):
            LOG.warning(f"no public name: {word}", location=name)


def with_links(text: str, module: str = ROOT, arguments: Collection[str] = ()) -> str:
    """A Markdown text with links; what is in blocks of code stays.

    A small single word is a link only to what the module itself offers, and none where
    it is one of the `arguments` that the text is about.
    """
    lines, fenced = [], False
    for line in text.splitlines():
        fence = bool(FENCE.match(line))
        fenced = fenced != fence
        plain = fenced or fence or line.startswith(("    ", "#"))

        def link(found: re.Match[str]) -> str:
            if found[1] in _kept():
                return f"[{found[0]}](/gallery/{found[1]}.md)"
            path = None if found[1] in arguments else _path(found[1], module)
            return f"{{py:obj}}`{found[1]} <{path}>`" if path else found[0]

        lines.append(line if plain else CODE.sub(link, line))
    return "\n".join(lines)


@functools.cache
def _kept() -> set[str]:
    """Experiments that have a page in the gallery."""
    return {about.parent.name for about in RESULTS.glob("*/about.json")}


def _path(name: str, module: str) -> str | None:
    known = index()
    here = known.get(f"{module}.{name}")
    telling = "." in name or not name.islower() or "_" in name
    return here or (known.get(name) if telling else known.get(f"{ROOT}.{name}"))
