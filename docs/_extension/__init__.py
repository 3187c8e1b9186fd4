"""What the site makes of the package: reference, links, equations, gallery, theory."""

from typing import Any

from sphinx.application import Sphinx

from . import _links, _math, _reference


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda app: _reference.write(app.srcdir))
    app.connect("source-read", _links.linked)
    _math.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
