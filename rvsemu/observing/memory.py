"""What is expensive to derive from a frozen object is kept with it, and goes when it goes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

__all__ = ["remembered"]

T = TypeVar("T")
_NAME = "_remembered"
_NONE = object()
_KEPT = 12


def remembered(owner: object, key: Hashable, make: Callable[[], T], most: int = _KEPT) -> T:
    """Value that `make` gives, made once for each `key` and kept in the frozen object `owner`.

    Parameters
    ----------
    owner : object
        Frozen: what is derived from it stays right.
    key : hashable
        All that the value depends on besides the owner.
    make : callable
        Makes the value.
    most : int
        Number of values, those that were asked for last, that are kept.
    """
    kept = owner.__dict__.setdefault(_NAME, OrderedDict())
    value = kept.pop(key, _NONE)
    if value is _NONE:
        value = make()
    kept[key] = value
    while len(kept) > most:
        kept.popitem(last=False)
    return value
