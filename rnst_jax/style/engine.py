"""The inner optimisation of style transfer: one scan over any optax transformation."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

Objective = Callable[[Any], Float[Array, ""]]


def clip_to_unit(x: Array) -> Array:
    """Projection onto [0, 1]."""
    return jnp.clip(x, 0.0, 1.0)


def minimise(
    objective: Objective,
    x0: Any,
    optimiser: optax.GradientTransformation,
    evaluations: int,
    project: Callable[[Any], Any] = clip_to_unit,
    report: Callable[[int, float], None] | None = None,
) -> tuple[Any, Float[Array, " evaluations"]]:
    """Minimise an objective with a fixed number of evaluations of its value and gradient.

    Each step is x <- project(x); g = grad f(x); x <- x + update(g). The last x is projected once more; it is the only
    one that is not evaluated (as in the published engine).

    Args:
        objective: f(x) -> scalar.
        x0: the start, an array or a pytree of arrays.
        optimiser: any optax transformation; those with a line search get ``value``, ``grad`` and ``value_fn``, and
            then each step costs more than one evaluation.
        evaluations: the number of steps (static).
        project: applied before each evaluation.
        report: if given, called as ``report(1, loss)`` on the host after each evaluation.

    Returns:
        The last x and the loss at every evaluation.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> x, losses = minimise(lambda x: jnp.sum((x - 2) ** 2), jnp.zeros(1), optax.sgd(0.25), 50)
        >>> x.item(), losses[0].item()
        (1.0, 4.0)
    """
    optimiser = optax.with_extra_args_support(optimiser)
    value_and_grad = jax.value_and_grad(objective)

    def step(carry, _):
        x, state = carry
        x = project(x)
        loss, gradient = value_and_grad(x)
        if report is not None:
            jax.debug.callback(report, 1, loss)
        updates, state = optimiser.update(gradient, state, x, value=loss, grad=gradient, value_fn=objective)
        return (optax.apply_updates(x, updates), state), loss

    (x, _), losses = jax.lax.scan(step, (x0, optimiser.init(x0)), None, length=evaluations)
    return project(x), losses
