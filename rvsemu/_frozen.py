"""Models that cannot change: frozen dataclasses with read-only arrays, equal if their contents are."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from .errors import FrozenError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from typing_extensions import dataclass_transform
else:  # in typing since Python 3.11; of use to type checkers alone

    def dataclass_transform(**_):
        return lambda function: function


__all__ = ["ReadOnlyDict", "frozen", "read_only", "same"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, eq_default=False)
def frozen(cls: type[T]) -> type[T]:
    """Make a frozen dataclass whose arrays, lists and dictionaries cannot be changed either.

    Arrays that could be written to are copied, lists become tuples, dictionaries `ReadOnlyDict`. Two objects are equal
    if their contents are, and copies and pickles are frozen, too. What is derived from the fields can be kept in a
    `functools.cached_property`. A ``__post_init__`` of the class runs when its fields are frozen.
    """
    check = vars(cls).get("__post_init__")

    def __post_init__(self: DataclassInstance) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, read_only(getattr(self, field.name)))
        if check is not None:
            check(self)

    _give(cls, __post_init__=__post_init__)
    cls = dataclass(frozen=True, eq=False)(cls)
    _give(cls, __setattr__=_refuse, __delattr__=_refuse, __eq__=_equal, __hash__=_hash, __reduce__=_reduce)
    return cls


def _give(cls: type, **methods: Callable[..., Any]) -> None:
    for name, method in methods.items():
        setattr(cls, name, method)


class ReadOnlyDict(dict):
    """Dictionary that cannot be changed; ``{**this, key: value}`` makes another."""

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise FrozenError(
            "this dictionary belongs to a model and is frozen: make another model, "
            "e.g. dataclasses.replace(model, info={**model.info, ...})."
        )

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[ReadOnlyDict], tuple[dict[Any, Any]]]:
        return ReadOnlyDict, (dict(self),)


def read_only(value: Any) -> Any:
    """`value`, or a copy of it, with arrays that cannot be written to, tuples for lists, and `ReadOnlyDict`."""
    if isinstance(value, np.ndarray):
        if _writable(value):
            value = value.copy()
            value.setflags(write=False)
    elif isinstance(value, dict):
        return value if isinstance(value, ReadOnlyDict) else ReadOnlyDict((k, read_only(v)) for k, v in value.items())
    elif isinstance(value, list):
        return tuple(read_only(x) for x in value)
    return value


def _writable(array: Any) -> bool:
    """Whether the memory of `array` can be changed through it or through an array that it is a part of."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return True
        array = array.base
    return array is not None  # memory of something else: who knows


def same(a: Any, b: Any) -> bool:
    """Whether `a` and `b` have the same content: arrays, Quantities, containers, dataclasses; NaN equals NaN."""
    a, b = (x.item() if isinstance(x, np.generic) else x for x in (a, b))
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        alike = a.shape == b.shape and a.dtype == b.dtype and getattr(a, "unit", None) == getattr(b, "unit", None)
        a, b = (np.asarray(getattr(x, "value", x)) for x in (a, b))
        return alike and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if is_dataclass(a):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return bool(a == b or (a != a and b != b))


def _refuse(self: DataclassInstance, name: str, *_: Any) -> NoReturn:
    kind, names = type(self).__name__, [field.name for field in fields(self)]
    if name in names:
        remedy = f"make another with dataclasses.replace(..., {name}=...)"
    else:
        remedy = f"its fields are {', '.join(names)}"
    raise FrozenError(f"{kind}.{name} cannot be changed, as every {kind} is frozen: {remedy}.")


def _equal(self: DataclassInstance, other: object) -> bool:
    return same(self, other) if type(self) is type(other) else NotImplemented


def _hash(self: DataclassInstance) -> int:
    return hash((type(self), *(_key(getattr(self, field.name)) for field in fields(self))))


def _key(value: Any) -> Hashable:
    """Something hashable that is equal for equal values, and cheap."""
    if isinstance(value, np.ndarray):
        return value.shape
    if isinstance(value, tuple):
        return tuple(_key(x) for x in value)
    return len(value) if isinstance(value, dict) else value


def _reduce(self: DataclassInstance) -> tuple[type, tuple[Any, ...]]:
    return type(self), tuple(getattr(self, field.name) for field in fields(self))
