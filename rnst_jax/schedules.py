"""Schedules: settings that change from step to step, as pytrees whose numbers are leaves.

Wherever a solver or a prior takes a number, it takes a callable of the step's number as well. One of these compiles
nothing when its numbers change; a plain function is compiled in.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.types import Scalar, pytree

Step = Int[Array, ""] | int
"""The number of an outer iteration, from 0."""

Schedule = Callable[[Step], Scalar]
"""A number for each step."""

Number = Scalar | Schedule
"""A setting: the same for all steps, or a schedule."""


def at(number: Any, step: Step) -> Any:
    """The value of a setting at a step.

    Examples:
        >>> at(0.5, 7), at(lambda step: 2 * step, 7)
        (0.5, 14)
    """
    return number(step) if callable(number) else number


@pytree
class Linear:
    """first + (last - first) min(n / (steps - 1), 1) at step n: a line from first to last, then constant.

    Attributes:
        first: the value at step 0.
        last: the value from step ``steps`` - 1 on.
        steps: how many steps the change takes; with 1 every step has ``last``.

    Examples:
        >>> [float(Linear(1.0, 0.0, 3)(n)) for n in range(4)]
        [1.0, 0.5, 0.0, 0.0]
    """

    first: Scalar
    last: Scalar
    steps: Scalar

    def __call__(self, step: Step) -> Scalar:
        """The value at a step."""
        return self.first + (self.last - self.first) * _progress(step, self.steps)


@pytree
class Geometric:
    """first (last / first)^min(n / (steps - 1), 1) at step n: equal ratios from first to last, then constant.

    Attributes:
        first: the value at step 0, positive.
        last: the value from step ``steps`` - 1 on, positive.
        steps: how many steps the change takes; with 1 every step has ``last``.

    Examples:
        >>> [round(float(Geometric(4.0, 1.0, 3)(n)), 3) for n in range(4)]
        [4.0, 2.0, 1.0, 1.0]
    """

    first: Scalar
    last: Scalar
    steps: Scalar

    def __call__(self, step: Step) -> Scalar:
        """The value at a step."""
        return self.first * (self.last / self.first) ** _progress(step, self.steps)


@pytree
class Listed:
    """values[n] at step n, and the last value from then on.

    Attributes:
        values: one number per step; how many there are is static.

    Examples:
        >>> import jax.numpy as jnp
        >>> [float(Listed(jnp.array([3.0, 1.0]))(n)) for n in range(3)]
        [3.0, 1.0, 1.0]
    """

    values: Float[Array, " steps"]

    def __call__(self, step: Step) -> Scalar:
        """The value at a step."""
        return jnp.asarray(self.values)[jnp.minimum(step, len(self.values) - 1)]


def _progress(step: Step, steps: Scalar) -> Scalar:
    several = jnp.asarray(steps) > 1
    return jnp.where(several, jnp.minimum(step / jnp.where(several, steps - 1, 1), 1.0), 1.0)
