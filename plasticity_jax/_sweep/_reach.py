"""What code refers to: whose it is, the names that it reads, what objects hold."""

import dis
import functools
import hashlib
import importlib
import importlib.util
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


OWN = __name__.partition(".")[0]
FOREIGN = {"site-packages", "dist-packages"}  # where libraries are installed
STANDARD = Path(sysconfig.get_path("stdlib"))
IMPORT = "import "
# Entries of a class that say nothing of what it does, or that others repeat.
UNREAD = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__slots__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    *("__abstractmethods__", "_abc_impl", "__match_args__", "__firstlineno__"),
    *("__static_attributes__", "__type_params__", "__parameters__", "__orig_bases__"),
    *("__dataclass_fields__", "__dataclass_params__", "__subclasshook__"),
    "__slotnames__",  # kept by copy and pickle
    *("_member_map_", "_value2member_map_"),  # of an enumeration: its members, again
}


def is_read(module: Any) -> bool:
    """Whether the code of a module is followed: the user's, and this package's."""
    root = module.partition(".")[0] if isinstance(module, str) else None
    if root in (OWN, "__main__", ""):
        return True
    known = [sys.modules[name] for name in (module, root) if name in sys.modules]
    files = [file for x in known if (file := getattr(x, "__file__", None))]
    if not files:  # made in memory, or part of Python
        return bool(known) and root not in sys.stdlib_module_names
    return not _installed(files[0]) and files[0] not in ("built-in", "frozen")


@functools.cache
def _installed(file: str) -> bool:
    path = Path(file)
    return path.is_relative_to(STANDARD) or not FOREIGN.isdisjoint(path.parts)


def is_users(home: Any) -> bool:
    """Whether code with these globals is followed, also of a module not registered."""
    return is_read(home) or home not in sys.modules


def has_slots(value: Any) -> bool:
    """Whether the class says what attributes its objects have, or that it has none."""
    kinds = type(value).__mro__[:-1]
    return not kinds or any("__slots__" in vars(kind) for kind in kinds)


def is_c(kind: type) -> bool:
    """Whether methods of a class are compiled: it may hold what Python cannot list."""
    compiled = types.MethodDescriptorType | types.WrapperDescriptorType
    return any(isinstance(entry, compiled) for entry in vars(kind).values())


def fields(value: Any) -> dict[str, Any]:
    """All attributes that an object holds itself, without what it only caches."""
    held = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                held.setdefault(name, getattr(value, name))
        for name, entry in vars(kind).items():
            if isinstance(entry, functools.cached_property):
                held.pop(name, None)
    return {name: x for name, x in held.items() if name not in UNREAD}


def attributes(function: Any) -> list[tuple[str, Any]]:
    """What is set on a function; of a generic one its table, not what it caches."""
    skipped = UNREAD
    if hasattr(function, "registry") and hasattr(function, "dispatch"):
        skipped = {*UNREAD, "_clear_cache", "dispatch", "register"}
    return [(k, x) for k, x in sorted(vars(function).items()) if k not in skipped]


def attribute(module: types.ModuleType, name: str) -> Any:
    """An attribute of a module, or a module of that package not loaded yet."""
    try:
        return getattr(module, name)
    except AttributeError:
        if not (is_read(module.__name__) and hasattr(module, "__path__")):
            return NotImplemented
    try:
        return importlib.import_module(f"{module.__name__}.{name}")
    except ImportError:
        return NotImplemented


def imported(name: str, names: Mapping[str, Any]) -> Any:
    """A module that code imports while it runs."""
    level = len(name) - len(name.lstrip("."))
    if level:
        name = importlib.util.resolve_name(name, names.get("__package__") or "")
    try:
        return importlib.import_module(name)
    except ImportError:
        return "absent"


@functools.lru_cache(4096)  # sweeps of one process read mostly the same
def references(code: types.CodeType) -> list[tuple[str, ...]]:
    """Chains of a global name and the attributes read from it; imports of modules."""
    return sorted(set(_chains(code)))


def _chains(code: types.CodeType) -> Iterator[tuple[str, ...]]:
    chain: tuple[str, ...] = ()
    before: list[Any] = [None, None]  # what an import takes: its level, its names
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and chain:
            chain = (*chain, str(step.argval))
            continue
        if chain:
            yield chain
        chain = ()
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            chain = (str(step.argval),)
        elif step.opname == "IMPORT_NAME":
            level, wanted = before
            module = f"{IMPORT}{'.' * int(level or 0)}{step.argval}"
            yield from ((module, name) for name in wanted or ())
            if not wanted:  # what is bound is the root of a dotted name
                yield (module,)
                yield (module.partition(".")[0],)
        before = [before[1], step.argval]
    if chain:
        yield chain


def unseen(value: Any, where: str, why: str) -> ValueError:
    """What a store says of what it cannot look into."""
    shown = repr(value)
    return ValueError(
        f"store: {where} holds {shown if len(shown) < 60 else type(value)}, "
        f"which a store cannot tell from another ({why}). Pass numbers as fields of "
        "the config, or bind data with jax.tree_util.Partial(run, data)."
    )


def digest(content: bytes) -> str:
    """A short name of a content."""
    return hashlib.sha256(content).hexdigest()[:16]
