"""What a run can read: the code that it reaches, and every value that this code sees.

A store answers for a sweep only if the run that filled it was the same. Two runs are
the same if their functions have the same code, defaults, closures and attributes, read
the same globals (values, functions, classes and modules, followed wherever they are
the user's or this package's), and if what is bound to them has the same leaves and the
same static fields. Code of libraries stands for itself by its version; what a library's
function or object holds for the user (the learning rate inside an optimiser) is
followed. What cannot be looked into is refused, with the way that led to it.
"""

import builtins
import copyreg
import dataclasses
import functools
import logging
import os
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer

from . import _reach as reach
from ._reach import digest, unseen


# What only compiles a function changes no number; what checks types neither.
COMPILED = ("PjitFunction", "_JitWrapper")
CHECKING = ("jaxtyping", "beartype")
NUMBERS: tuple[Any, ...] = (int, float, complex, bytes, str)
TYPES = (types.GenericAlias, types.UnionType)  # annotations, which compute nothing
SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
CHANGES = "what it reads may change; read it before"
READERS = {  # of libraries: what they return, or reach, a store cannot see
    *("open", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "loadmat"),
    *("read_csv", "read_table", "read_excel", "read_parquet", "read_hdf"),
    *("read_pickle", "open_dataset", "open_dataarray", "open_zarr", "load_dataset"),
    *("imread", "tree_deserialise_leaves", "getenv", "getline", "getlines", "input"),
    *("eval", "exec", "globals", "__import__", "import_module"),
}
READING = {"read_text", "read_bytes"}  # methods that do the same
KNOWN = {object, *NUMBERS, list, tuple, dict, set, frozenset, types.SimpleNamespace}
PLAIN = (type(None), bool, int, str, bytes, type(Ellipsis), type(NotImplemented))


def identity_of(parts: Mapping[str, Any], roots: Iterable[Any] = ()) -> dict[str, str]:
    """The named parts as text, with the `code` and the `libraries` that they reach.

    Equal in every process, for equal objects. `roots` are reached besides. Raises
    `ValueError` for what cannot be looked into, saying where it is and why.
    """
    reader = _Reader()
    identity = {name: reader.lines(name, part) for name, part in parts.items()}
    for root in roots:
        reader.text(root, "")
    identity["code"] = reader.follow()
    identity["libraries"] = "\n".join(sorted(reader.libraries))
    identity["python"] = f"{sys.version_info.major}.{sys.version_info.minor}"
    return identity


def values_of(parts: Mapping[str, Any]) -> dict[str, str]:
    """The named parts as text, without the code that they reach."""
    reader = _Reader()
    return {name: reader.lines(name, part) for name, part in parts.items()}


def _is_own(names: Mapping[str, Any]) -> bool:
    """Whether these are globals of this package, which reads only what it ships."""
    return str(names.get("__name__")).partition(".")[0] == reach.OWN


class _Reader:
    """A walk through all that is reached; code is met once and read from a queue."""

    def __init__(self) -> None:
        self.libraries: set[str] = set()
        self._names: dict[int, str] = {}
        self._taken: dict[str, int] = {}
        self._queue: deque[tuple[Any, str, str]] = deque()
        self._open: list[int] = []  # objects that are being described
        self._alive: list[Any] = []  # or an `id` could come twice

    def lines(self, name: str, part: Any) -> str:
        """A part as text, a line for each of its fields or entries."""
        while type(part).__name__ in COMPILED:
            part = part.__wrapped__
        if isinstance(part, jax.tree_util.Partial):
            entries = {"": part.func, **dict(enumerate(part.args)), **part.keywords}
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            entries = {"": type(part), **reach.fields(part)}
        else:
            return self.text(part, name)
        return "\n".join(
            f"{key}: {self.text(x, f'{name}.{key}')}" if key != "" else self.text(x, "")
            for key, x in entries.items()
        )

    def follow(self) -> str:
        """All code that was met: a line with the name and a digest of each piece."""
        found = {}
        while self._queue:
            piece, name, where = self._queue.popleft()
            if isinstance(piece, type):
                says = self._class(piece, where)
            elif isinstance(piece, types.ModuleType):
                says = self._module(piece, where)
            else:
                says = self._function(piece, where)
            found[name] = digest("\n".join(says).encode())
        return "\n".join(f"{name} {found[name]}" for name in sorted(found))

    # --- values -----------------------------------------------------------------------

    def text(self, value: Any, where: str) -> str:
        """A value as text that is equal for equal values only."""
        if isinstance(value, PLAIN) and type(value) in PLAIN:
            says = repr(value)
            return says if len(says) <= 80 else digest(says.encode())
        if type(value) is float:
            return repr(value)
        if type(value) is complex:
            return f"complex({value.real!r},{value.imag!r})"
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            says = self._array(value, where)
            if isinstance(value, np.ndarray) and type(value) is not np.ndarray:
                held = self._each(reach.fields(value).items(), where)
                says = f"{self.text(type(value), where)}({held};{says})"
            return says
        if id(value) in self._open:  # it holds itself
            return f"<{len(self._open) - self._open.index(id(value))} up>"
        self._open.append(id(value))
        self._alive.append(value)
        try:
            return self._compound(value, where)
        finally:
            self._open.pop()

    def _compound(self, value: Any, where: str) -> str:
        kind = type(value)
        if kind in (tuple, list):
            return f"{kind.__name__}({self._each(enumerate(value), where)})"
        if kind in (dict, types.MappingProxyType):
            pairs = [(self.text(k, where), x) for k, x in value.items()]
            return f"dict({self._each(pairs, where)})"
        if kind in (set, frozenset):
            return f"{kind.__name__}({self._unordered(value, where)})"
        if isinstance(value, types.CodeType):
            return digest("\n".join(self._code(value, None, {}, where)).encode())
        if isinstance(value, types.FunctionType):
            return self._function_name(value, where)
        if isinstance(value, types.MethodType):
            own = self.text(value.__self__, where)
            return f"{self.text(value.__func__, where)} of {own}"
        if isinstance(value, type):
            return self._class_name(value, where)
        if isinstance(value, types.ModuleType):
            return self._module_name(value, where)
        if kind.__name__ in COMPILED:
            return self.text(value.__wrapped__, where)
        if isinstance(value, functools.partial):
            inside = (value.func, value.args, value.keywords)
            if kind not in (functools.partial, jax.tree_util.Partial):
                inside = (*inside, kind, reach.fields(value))
            return f"partial{self.text(inside, where)}"
        if isinstance(value, types.BuiltinFunctionType):
            return self._builtin(value, where)
        if isinstance(value, TYPES) or kind.__module__ == "typing":
            return repr(value)
        if isinstance(value, np.ufunc) and getattr(np, value.__name__, 0) is not value:
            raise unseen(value, where, "a function that NumPy wraps")
        if isinstance(value, np.dtype | np.ufunc | logging.Logger | PurePath):
            return f"{kind.__name__}({getattr(value, '__name__', None) or value!s})"
        return self._instance(value, where)

    def _unordered(self, values: Iterable[Any], where: str) -> str:
        return ",".join(sorted(self.text(x, where) for x in values))

    def _each(self, pairs: Iterable[tuple[Any, Any]], where: str) -> str:
        return ",".join(f"{k}={self.text(x, f'{where}[{k}]')}" for k, x in pairs)

    def _array(self, value: Any, where: str) -> str:
        if isinstance(value, Tracer):
            raise unseen(value, where, "it is traced")
        if jnp.issubdtype(getattr(value, "dtype", bool), jax.dtypes.prng_key):
            return f"{jr.key_impl(value)}:{self._array(jr.key_data(value), where)}"
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise unseen(value, where, "an array of objects")
        says = f"{'weak ' * bool(getattr(value, 'weak_type', False))}{array.dtype}"
        if array.ndim == 0:
            return f"{says}({array!s})"
        return f"{says}{array.shape}:{digest(np.ascontiguousarray(array).tobytes())}"

    def _builtin(self, value: Any, where: str) -> str:
        owner = value.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            self._library(value.__module__ or "builtins")
            return f"{value.__module__}.{value.__qualname__}"
        return f"{value.__qualname__} of {self.text(owner, where)}"

    def _instance(self, value: Any, where: str) -> str:
        """An object by its class and all that it holds."""
        kind = type(value)
        held = reach.fields(value)
        parts = [self.text(kind, where), self._each(held.items(), where)]
        if isinstance(value, dict):
            parts.append(self.text(dict(value), where))
        elif isinstance(value, list | tuple):
            parts.append(self._each(enumerate(value), where))
        elif isinstance(value, set | frozenset):
            parts.append(self._unordered(value, where))
        elif base := next((t for t in NUMBERS if isinstance(value, t)), None):
            parts.append(self.text(base(value), where))
        elif not hasattr(value, "__dict__") and not reach.has_slots(value):
            parts.append(self._reduced(value, where))
        if any(reach.is_c(k) for k in kind.__mro__ if k not in KNOWN):
            parts.append(self._reduced(value, where))
        return f"{parts[0]}({';'.join(parts[1:])})"

    def _reduced(self, value: Any, where: str) -> str:
        """What pickle would keep of an object whose insides Python cannot list."""
        try:
            known = copyreg.dispatch_table.get(type(value))
            reduced: Any = known(value) if known else value.__reduce_ex__(4)
        except Exception as error:
            raise unseen(value, where, str(error)) from error
        if isinstance(reduced, str):
            return reduced
        return ";".join(
            self.text(list(x) if isinstance(x, Iterator) else x, where) for x in reduced
        )

    # --- code -------------------------------------------------------------------------

    def _function_name(self, function: types.FunctionType, where: str) -> str:
        """A function by name, to be read later; a library's with what it holds."""
        home = function.__globals__.get("__name__", "")
        if home.partition(".")[0] in CHECKING and hasattr(function, "__wrapped__"):
            return self.text(getattr(function, "__wrapped__"), where)  # noqa: B009
        if reach.is_users(home):
            return self._met(function, f"{home}.{function.__qualname__}", where)
        self._library(home)
        name = f"{home}.{function.__code__.co_qualname}"
        registry = getattr(function, "registry", None)
        if registry is not None and hasattr(function, "dispatch"):  # of a generic one
            own = {k: x for k, x in registry.items() if k is not object}
            default = registry.get(object)
            return f"{name}({self.text(default, where)},{self.text(own, where)})"
        held = self._closure(function, where)
        return f"{name}({held})" if held else name

    def _function(self, function: Any, where: str) -> list[str]:
        names, doc = function.__globals__, function.__doc__
        return [
            *self._code(function.__code__, doc, names, where),
            f"defaults {self.text(function.__defaults__, where)}",
            f"keywords {self.text(function.__kwdefaults__, where)}",
            f"closure {self._closure(function, where)}",
            f"attributes {self._each(reach.attributes(function), where)}",
        ]

    def _closure(self, function: Any, where: str) -> str:
        says = []
        names = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            try:
                held = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            if name != "__class__":
                says.append(f"{name}={self.text(held, f'{where} > `{name}`')}")
        return ",".join(says)

    def _code(
        self, code: types.CodeType, doc: str | None, names: dict[str, Any], where: str
    ) -> list[str]:
        """Instructions, constants without places in files, and what they refer to."""
        found = READING.intersection(code.co_names)
        if found and not _is_own(names):
            raise unseen(found.pop(), where, CHANGES)
        constants = list(code.co_consts)
        if doc is not None and constants and constants[0] == doc:
            constants[0] = None
        nested = [x for x in constants if isinstance(x, types.CodeType)]
        plain = [x for x in constants if not isinstance(x, types.CodeType)]
        says = [
            digest(code.co_code),
            f"{code.co_argcount} {code.co_posonlyargcount} {code.co_kwonlyargcount}",
            f"{code.co_flags} {digest(code.co_exceptiontable)}",
            f"{code.co_names} {code.co_varnames} {code.co_cellvars} {code.co_freevars}",
            self.text(plain, where),
        ]
        for chain in reach.references(code):
            says.append(f"{chain}={self._referred(chain, names, where)}")
        for inner in nested:
            says += self._code(inner, None, names, where)
        return says

    def _referred(self, chain: tuple[str, ...], names: Any, where: str) -> str:
        """The value of a global name, or of an attribute of the module of that name."""
        first, *rest = chain
        if first.startswith(reach.IMPORT):
            value: Any = reach.imported(first.removeprefix(reach.IMPORT), names)
        else:
            value = names.get(first, getattr(builtins, first, "absent"))
        place = f"{where} > `{'.'.join(chain).removeprefix(reach.IMPORT)}`"
        while rest and isinstance(value, types.ModuleType):
            value = reach.attribute(value, rest.pop(0))
        name, home = (getattr(value, x, None) for x in ("__name__", "__module__"))
        if name in READERS and not _is_own(names) and not reach.is_read(home):
            raise unseen(value, place, CHANGES)
        if type(value) is type(os.environ):
            raise unseen("os.environ", place, "it may change; read it before")
        return self.text(value, place)

    def _class_name(self, kind: type, where: str) -> str:
        if reach.is_read(kind.__module__) or any(
            isinstance(entry, types.FunctionType)
            and reach.is_users(entry.__globals__.get("__name__", ""))
            for entry in vars(kind).values()
        ):
            return self._met(kind, f"{kind.__module__}.{kind.__qualname__}", where)
        home = kind.__module__ if isinstance(kind.__module__, str) else ""
        self._library(home)
        return f"{home}.{kind.__qualname__}"

    def _class(self, kind: type, where: str) -> list[str]:
        says = [self.text(base, where) for base in (type(kind), *kind.__bases__)]
        for name, field in sorted(vars(kind).get("__dataclass_fields__", {}).items()):
            made = (field.default, field.default_factory, dict(field.metadata))
            says.append(f"field {name} {self.text(made, f'{where}.{name}')}")
        for name, entry in sorted(vars(kind).items()):
            if name in reach.UNREAD or isinstance(entry, SLOTS):
                continue
            if isinstance(entry, property):
                entry = (entry.fget, entry.fset)
            elif isinstance(entry, staticmethod | classmethod):
                entry = (type(entry), entry.__func__)
            elif isinstance(entry, functools.cached_property):
                entry = entry.func
            says.append(f"{name} {self.text(entry, f'{where}.{name}')}")
        return says

    def _module_name(self, module: types.ModuleType, where: str) -> str:
        name = f"module {module.__name__}"
        if reach.is_read(module.__name__):
            return self._met(module, name, where)
        self._library(module.__name__)
        return name

    def _module(self, module: types.ModuleType, where: str) -> list[str]:
        return [
            f"{name} {self.text(value, f'{where}.{name}')}"
            for name, value in sorted(vars(module).items())
            if not name.startswith("__")
        ]

    def _met(self, piece: Any, name: str, where: str) -> str:
        """The name of a piece of code, put into the queue when it is met first."""
        if id(piece) not in self._names:
            self._alive.append(piece)
            name = name.replace("__mp_main__", "__main__")  # as spawned workers call it
            count = self._taken[name] = self._taken.get(name, 0) + 1
            self._names[id(piece)] = name if count == 1 else f"{name}#{count}"
            self._queue.append((piece, self._names[id(piece)], name))
        return f"<{self._names[id(piece)]}>"

    def _library(self, module: str) -> None:
        """Note a library and its version, but for the standard one."""
        root = module.partition(".")[0]
        version = getattr(sys.modules.get(root), "__version__", None)
        if isinstance(version, str) and root not in sys.stdlib_module_names:
            self.libraries.add(f"{root} {version}")
