"""A page for every public module: signatures, fields, methods, docstrings."""

import ast
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import plasticity_jax

from ._gallery import cell
from ._links import with_links
from ._names import modules, paths, PRELUDE, Public, public, ROOT


ALIASES = type(int | str), type(list[int]), type(Callable[[int], int])
MODULE = re.compile(r"\b[a-z_]\w*\.(?=\w)")  # of `jax.Array`
EXAMPLE = re.compile(r"^>>> .*\n(?:.+\n)*", re.MULTILINE)  # to the next empty line

READ = """\
In a signature `Float[Array, 'n k']` is an array of numbers with two axes; axes of the
same name are of the same length, `*batch` are any number of axes in front, and a
`Scalar` has none. Where an array is asked for, NumPy's, lists and Python's numbers do
as well. What is out of range, of another kind or shape raises `ValueError`, in a
sentence that names the argument, what was given and what is allowed; inside `jit` and
`vmap`, where numbers are not known, it becomes NaN. In a system, numbers such as T6 or
section 5.4 are rows of the table that its page begins with.

Examples begin with these lines:"""


def pages() -> dict[str, str]:
    """`<module>.md` for every public module, and `index.md`."""
    made = {f"{module}.md": _page(module) for module in modules() if public(module)}
    names = "\n".join(name.removesuffix(".md") for name in made)
    head = f"# Reference\n\n{READ}\n\n```{PRELUDE}```\n\n"
    index = (
        f"{head}and with all of their page's module.\n\n```{{toctree}}\n{names}\n```\n"
    )
    return {"index.md": index, **made}


def _page(module: str) -> str:
    title = module.removeprefix(f"{ROOT}.")
    about = inspect.getdoc(importlib.import_module(module)) or ""
    lines, told = [f"# `{title}`", "", with_links(about, module)], {module}
    for x in public(module):
        lines += ["", *_file(x, told), *_entry(x)]
    return "\n".join([*lines, ""])


def _file(x: Public, told: set[str]) -> Iterator[str]:
    """What the file says in which a name stands, above its first one: symbols, too."""
    where = getattr(x.value, "__module__", None) or x.module
    if where in told or not where.rpartition(".")[2].startswith("_"):
        return
    told.add(where)
    title, _, about = (inspect.getdoc(sys.modules[where]) or "").partition("\n\n")
    yield f"## {' '.join(title.split()).rstrip('.')}"
    yield from ("", with_links(about, x.module), "")


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
        yield from _remarks(x.value)
        yield from _members(x)
    yield "::::::"


def _remarks(kind: type) -> Iterator[str]:
    """What the source says beside a field: its unit, its symbol, what it counts."""
    told: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        lines, items = _items(base)
        for item in items:
            _, _, remark = lines[(item.end_lineno or 0) - 1].partition("  # ")
            told |= {ast.unparse(item.target): remark} if remark else {}
    if told:
        each = ", ".join(f"`{name}` ({cell(remark)})" for name, remark in told.items())
        yield from ("", f"Fields: {each}.", "")


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
    """Names of public objects, as a module knows them, by their whole path.

    A module's own names of types by what they stand for: shapes are seen.
    """

    def __init__(self, scope: dict[str, Any]):
        self.scope = scope

    def visit_Name(self, node: ast.Name) -> ast.Name:
        value = self.scope.get(node.id, node)
        path, told = paths().get(id(value)), getattr(value, "__name__", "")
        shaped = "[" in told or isinstance(value, ALIASES)
        if path or not shaped or hasattr(plasticity_jax, node.id):
            return ast.Name(path or node.id)
        written = MODULE.sub("", told if "[" in told else str(value))
        return ast.Name(written.replace("' ", "'"))

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        text = node.value
        return ast.Constant(text.strip() if isinstance(text, str) else text)


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
    """What its constructor takes, each with the annotation of the field."""
    if "__init__" in vars(kind) and not _generated(kind):
        return _signature(kind.__init__)
    fields: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        fields |= _fields(base)
    try:
        parameters = list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):
        return "(...)"
    told = [_told(x, fields) for x in parameters]
    if (named := [x.kind == x.KEYWORD_ONLY for x in parameters]) and any(named):
        told.insert(named.index(True), "*")
    return f"({', '.join(told)})"


def _told(x: inspect.Parameter, fields: dict[str, str]) -> str:
    if x.name not in fields:
        return str(x.replace(annotation=x.empty))
    made = x.default is not x.empty and " = " not in fields[x.name]
    return f"{fields[x.name]}{' = ...' if made else ''}"


def _generated(kind: type) -> bool:
    try:
        return inspect.getsource(kind.__init__) == ""
    except (OSError, TypeError):
        return True


def _items(base: type) -> tuple[list[str], list[ast.AnnAssign]]:
    """The source of a class of the package, by lines, and its fields."""
    try:
        source = textwrap.dedent(inspect.getsource(base))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):
        return [], []
    body = getattr(node, "body", []) if base.__module__.startswith(ROOT) else []
    items = (x for x in body if isinstance(x, ast.AnnAssign))
    return source.splitlines(), [
        x for x in items if "ClassVar" not in ast.unparse(x.annotation)
    ]


def _fields(base: type) -> dict[str, str]:
    whole = _Whole(vars(sys.modules[base.__module__]))
    return {ast.unparse(x.target): _field(x, whole) for x in _items(base)[1]}


def _field(item: ast.AnnAssign, whole: _Whole) -> str:
    """`name: annotation = default`; of `field(default=x, ...)` the default."""
    annotation = whole.visit(item.annotation)
    told = f"{ast.unparse(item.target)}: {ast.unparse(annotation)}"
    value = item.value
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
        words = {word.arg: word.value for word in value.keywords}
        value = words.get("default")
    return told if value is None else f"{told} = {ast.unparse(whole.visit(value))}"
