"""A page for every public module: signatures, fields, methods, docstrings."""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from ._links import with_links
from ._names import modules, paths, PRELUDE, Public, public, ROOT


EXAMPLE = re.compile(r"^>>> .*\n(?:.+\n)*", re.MULTILINE)  # to the next empty line


def pages() -> dict[str, str]:
    """`<module>.md` for every public module, and `index.md`."""
    made = {f"{module}.md": _page(module) for module in modules() if public(module)}
    names = "\n".join(name.removesuffix(".md") for name in made)
    head = f"# Reference\n\nExamples begin with these lines:\n\n```{PRELUDE}```\n\n"
    index = (
        f"{head}and with all of their page's module.\n\n```{{toctree}}\n{names}\n```\n"
    )
    return {"index.md": index, **made}


def _page(module: str) -> str:
    title = module.removeprefix(f"{ROOT}.")
    about = inspect.getdoc(importlib.import_module(module)) or ""
    entries = (entry for x in public(module) for entry in ("", *_entry(x)))
    head = [f"# `{title}`", "", with_links(about, module)]
    return "\n".join([*head, *entries, ""])


def _entry(x: Public) -> Iterator[str]:
    if inspect.isclass(x.value):
        kind, signature = "class", _class_signature(x.value)
    elif callable(x.value):
        kind, signature = "function", _signature(x.value)
    else:
        kind, signature = "data", ""
    yield f"::::::{{py:{kind}}} {x.name}{signature}"
    yield f":module: {x.module}"
    yield ""
    if kind != "data":
        arguments = re.findall(r"(\w+)(?=[:=,)])", signature)
        yield with_links(_fenced(x.value), x.module, arguments)
    if kind == "class":
        yield from _members(x)
    yield "::::::"


def _members(x: Public) -> Iterator[str]:
    """Public methods and properties that have a docstring of their own."""
    for name, member in vars(x.value).items():
        value = getattr(member, "__func__", member)
        is_property = isinstance(value, property)
        if name[0] == "_" or not (is_property or callable(value)):
            continue
        if name in getattr(x.value, "__dataclass_fields__", {}) or not value.__doc__:
            continue
        kind = "property" if is_property else "method"
        shown = name if is_property else f"{name}{_signature(value)}"
        yield ""
        yield f":::::{{py:{kind}}} {shown}"
        yield ""
        yield with_links(_fenced(value), x.module)
        yield ":::::"


def _fenced(value: Any) -> str:
    """A docstring whose examples are blocks of code."""
    about = inspect.getdoc(value) or ""
    return EXAMPLE.sub(r"```pycon\n\g<0>```\n", about + "\n")


class _Whole(ast.NodeTransformer):
    """Names of public objects, as a module knows them, by their whole path."""

    def __init__(self, scope: dict[str, Any]):
        self.scope = scope

    def visit_Name(self, node: ast.Name) -> ast.Name:
        path = paths().get(id(self.scope.get(node.id, node)))
        return ast.Name(path or node.id)


def _signature(function: Any) -> str:
    """As it is written, on one line."""
    function = inspect.unwrap(function)
    try:
        source = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return "(...)"
    if not isinstance(node, ast.FunctionDef):
        return _plain(function)
    node = _Whole(function.__globals__).visit(node)
    arguments = node.args
    bound = [x for x in arguments.args if x.arg not in ("self", "cls")]
    arguments.args = bound
    told = ast.unparse(arguments)
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({told}){back}"


def _plain(function: Any) -> str:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return "(...)"
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return str(inspect.Signature(bare))


def _class_signature(kind: type) -> str:
    """Its fields, the inherited ones first, or the arguments of its constructor."""
    fields: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if "__init__" in vars(base) and "__dataclass_fields__" not in vars(base):
            return _plain(kind)
        if base.__module__.startswith(ROOT):
            fields |= _fields(base)
    if "__init__" in vars(kind) and not _generated(kind):
        return _signature(kind.__init__)
    return f"({', '.join(fields.values())})"


def _generated(kind: type) -> bool:
    try:
        return inspect.getsource(kind.__init__) == ""
    except (OSError, TypeError):
        return True


def _fields(base: type) -> dict[str, str]:
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        node = _Whole(vars(sys.modules[base.__module__])).visit(node)
    except (OSError, TypeError, SyntaxError):
        return {}
    assert isinstance(node, ast.ClassDef)
    return {
        item.target.id: _field(item)
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and "ClassVar" not in ast.unparse(item.annotation)
    }


def _field(item: ast.AnnAssign) -> str:
    """`name: annotation = default`; of `field(default=x, ...)` the default."""
    told = f"{ast.unparse(item.target)}: {ast.unparse(item.annotation)}"
    value = item.value
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
        words = {word.arg: word.value for word in value.keywords}
        value = words.get("default")
    return told if value is None else f"{told} = {ast.unparse(value)}"
