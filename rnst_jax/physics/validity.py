"""Limits of validity: errors for numbers, nothing for values that JAX traces."""

import itertools
from typing import Any

import numpy as np
from jax.core import Tracer


def check_range(
    name: str, value: Any, low: float, high: float = np.inf, unit: str = "", *, above: bool = False
) -> None:
    """Refuse a number, or an array with one element, outside of low <= value <= high.

    Inside ``jit``, ``vmap`` or ``grad`` a value has no number yet; it is not checked there. Check before tracing.

    Args:
        name: of the quantity, for the message.
        value: a number, an array, or a tracer.
        low: the smallest valid value.
        high: the largest; rounding to float32 is forgiven at both ends.
        unit: for the message.
        above: ``low`` itself is not valid either.

    Raises:
        ValueError: names the quantity, its range and the value. NaN is outside of every range.

    Examples:
        >>> check_range("field", 0.01, 0.05, 7, "T")
        Traceback (most recent call last):
        ValueError: field must be from 0.05 to 7 T, not 0.01
    """
    if isinstance(value, Tracer):
        return
    numbers = np.asarray(value, dtype=np.float64).ravel()
    slack = 1e-6
    over = numbers > low if above else numbers >= low - slack * abs(low)
    wrong = numbers[~(over & (numbers <= high + (slack * abs(high) if np.isfinite(high) else 0)))]
    if wrong.size:
        unit = f" {unit}" if unit else ""
        if np.isfinite(high):
            limits = f"above {low:g} and at most {high:g}" if above else f"from {low:g} to {high:g}"
        else:
            limits = f"above {low:g}" if above else f"{low:g} or more"
        raise ValueError(f"{name} must be {limits}{unit}, not {wrong[0]:g}")


def check_order(**times: Any) -> None:
    """Refuse times (s) that do not rise strictly from above 0, in the order in which they are given.

    Raises:
        ValueError: names both times and their values.

    Examples:
        >>> check_order(te=0.1, tr=0.05)
        Traceback (most recent call last):
        ValueError: te must be below tr, not 0.1 and 0.05 s
    """
    known = {name: value for name, value in times.items() if not isinstance(value, Tracer)}
    for name, value in known.items():
        check_range(name, value, 0, unit="s", above=True)
    names = list(known)
    for first, second in itertools.pairwise(names):
        a, b = np.broadcast_arrays(np.asarray(known[first], np.float64), np.asarray(known[second], np.float64))
        if not np.all(a < b):
            at = np.argmin(a < b)
            raise ValueError(f"{first} must be below {second}, not {a.flat[at]:g} and {b.flat[at]:g} s")
