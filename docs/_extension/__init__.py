"""What the site makes of the package: reference, links, equations, gallery, theory."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from . import _gallery, _links, _math, _reference, _theory


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", _write)
    app.connect("source-read", _links.linked)
    _math.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write(app: Sphinx) -> None:
    """Pages made of the package and of kept results; one that is the same stays."""
    made = {"reference": _reference, "gallery": _gallery, "theory/generated": _theory}
    for name, part in made.items():
        place, pages = Path(app.srcdir) / name, part.pages()
        place.mkdir(parents=True, exist_ok=True)
        for old in {path.name for path in place.glob("*.md")} - set(pages):
            (place / old).unlink()
        for page, text in pages.items():
            path = place / page
            if not path.exists() or path.read_text("utf-8") != text:
                path.write_text(text, "utf-8")
