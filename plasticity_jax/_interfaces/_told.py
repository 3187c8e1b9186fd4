"""What does not fit is told, with the name of the part."""

import typing
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._arguments import shape_of
from ._parts import AbstractCircuit, AbstractSignals


def read(who: str, function: Any, *given: Any) -> Any:
    """`function(*given)`; what it reads and is not there, or does not fit, is told."""
    try:
        return function(*given)
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError) or str(error).startswith(who):
            raise
        rule = isinstance(error, TypeError) and who.startswith("rule")
        hint = _carried(given[0]) if rule else ""
        raise ValueError(f"{who}: {error}{hint}") from error
    except AttributeError as error:
        hint = _carried(given[0]) if error.obj is given[0] else ""
        if who.startswith("rule") and hint:
            raise ValueError(f"{who}: {error}{hint}") from error
        tell(who, error)


def tell(who: str, error: AttributeError) -> NoReturn:
    """Raise `ValueError` for a signal that is not there, any other error as it is."""
    if not isinstance(error.obj, AbstractSignals):
        raise error
    name = str(error.name)
    raise ValueError(
        f"{who} reads the signal `{name}`, which {type(error.obj).__name__} does not "
        f"hold{error.obj.absent(name)}{_offers(name)}."
    ) from error


def _carried(synapses: Any) -> str:
    """What a rule for weights lacks that meets synapses of another type."""
    if not isinstance(synapses, eqx.Module):
        return ""
    wrapper = getattr(synapses, "reached_by", "Reparametrised")
    kind = type(synapses).__name__
    return f" (`rules.{wrapper}` carries what is for weights to a {kind})"


def _offers(signal: str) -> str:
    """Which circuits offer a signal, as the end of a message."""
    offering = {
        circuit.__name__
        for circuit in _subclasses(AbstractCircuit)
        if not circuit.__name__.startswith("_")
        for kind in typing.get_args(circuit.__call__.__annotations__.get("return"))
        if signal in getattr(kind, "__dataclass_fields__", {})
        or signal in getattr(kind, "may_hold", ())
        or signal in getattr(circuit, "offers", ())
    }
    named = ", ".join(sorted(offering))
    return f"; circuits that offer it: {named}" if named else ""


def _subclasses(kind: type) -> set[Any]:
    return {kind}.union(*map(_subclasses, kind.__subclasses__()))


def like(who: str, what: str, got: PyTree, want: PyTree) -> PyTree:
    """`got` in the precision of `want`; `ValueError` unless trees and shapes agree."""
    (before, kept), (after, made) = map(jax.tree.flatten, (want, got))
    if made != kept or any(
        jnp.shape(x) != jnp.shape(w) or _kind(x) != _kind(w)
        for x, w in zip(after, before, strict=True)
    ):
        raise ValueError(
            f"{who} must return what is shaped like the {what}, {shape_of(want)}; got "
            f"{shape_of(got)}{_carried(want)}."
        )
    rounded = lambda x, w: x if x.dtype == w.dtype else jnp.asarray(x, w.dtype)
    return jax.tree.map(rounded, *jax.tree.map(jnp.asarray, (got, want)))


def _kind(x: Any) -> Any:
    """Real, complex, whole or else: what rounding does not change."""
    dtype = jnp.result_type(x)
    kinds = (jnp.floating, jnp.complexfloating, jnp.integer)
    return next((kind for kind in kinds if jnp.issubdtype(dtype, kind)), dtype)
