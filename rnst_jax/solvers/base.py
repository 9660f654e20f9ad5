"""What solvers with a prior have in common: how they start, and how a step is recorded."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rnst_jax.linalg import norm
from rnst_jax.precision import wide
from rnst_jax.schedules import Number, Step, at
from rnst_jax.solvers.drive import State
from rnst_jax.types import Image, Prior, Problem, Scalar


class FixedPoint:
    """A solver whose step is a map of one point p to the next, p+ = T(p); acceleration wraps any of them.

    The point is the iterate, unless a subclass says otherwise with `point` and `at`: ADMM's is two images. A subclass
    gives ``prior`` and ``step``, and ``init`` if its state holds more; it is a frozen dataclass registered as a pytree
    (`rnst_jax.types.pytree`).
    """

    prior: Prior
    """A field of every subclass."""

    keeps_best: bool = False
    """The result is the last iterate; `rnst_jax.solvers.Best` changes that."""

    def init(self, problem: Problem, x0: Image) -> State:
        """The state at x0."""
        state, _ = start(problem, x0, self.prior)
        return state

    def error(self, state: State) -> Float[Array, ""]:
        """The relative change of the point."""
        return state.change

    def image(self, state: State) -> Image:
        """The iterate."""
        return state.x

    def point(self, state: State) -> Any:
        """The point p that the next step starts from."""
        return state.x

    def at(self, state: State, point: Any) -> State:
        """The state with another point to start from."""
        return dataclasses.replace(state, x=point)


def start(problem: Problem, x0: Image, prior: Prior) -> tuple[State, Any]:
    """The state at x0, scored but without any step's change; and the prior's own data, which is the state's ``aux``."""
    aux = prior.init(problem)
    inf, nan = (jnp.full((), number, real_dtype(x0)) for number in (jnp.inf, jnp.nan))
    return State(x0, aux, _score(prior, x0, aux), nan, inf, jnp.zeros((), jnp.int32)), aux


def advance(state: State, x: Image, prior: Prior, prior_aux: Any, aux: Any = None, targets: int = 1) -> State:
    """The state after a step, with the relative change of x.

    Args:
        state: before the step.
        x: the new iterate.
        prior: scores x.
        prior_aux: the prior's data after the step.
        aux: the solver's data, which hold those of the prior; by default there are no others.
        targets: how many targets of the prior the step has computed (static).
    """
    x = x.astype(state.x.dtype)
    aux = prior_aux if aux is None else aux
    evaluations = state.evaluations + targets * prior.evaluations
    return State(x, aux, _score(prior, x, prior_aux), state.loss, relative_change(x, state.x), evaluations)


def data_gradient(problem: Problem, x: Image) -> Image:
    """A^H (A x - y), the gradient of 1/2 ||A x - y||^2."""
    return problem.physics.adjoint(problem.physics.forward(x) - problem.y)


def relative_change(new: Any, old: Any) -> Float[Array, ""]:
    """||new - old|| / ||old|| of points, 1 where old is 0 and new is not; computed in float32 or wider.

    It has no derivative, which would be infinite where nothing changes.
    """
    new, old = jax.lax.stop_gradient((new, old))
    dtype = real_dtype(jax.tree.leaves(old)[0])
    new, old = jax.tree.map(wide, (new, old))
    change, size = norm(jax.tree.map(jnp.subtract, new, old)), norm(old)
    ratio = jnp.where(size > 0, change / jnp.where(size > 0, size, 1), change > 0)
    # a start that is all but 0 is no failure
    return jnp.minimum(ratio, jnp.finfo(dtype).max).astype(dtype)


def value(number: Number, step: Step, x: Image) -> Scalar:
    """The value of a setting at a step, in the precision of the image."""
    return jnp.asarray(at(number, step), real_dtype(x))


def real_dtype(x: Image) -> jnp.dtype:
    """The dtype of the numbers that go with an image, which may be complex."""
    return jnp.finfo(x.dtype).dtype


def _score(prior: Prior, x: Image, aux: Any) -> Float[Array, ""] | None:
    score = prior.score(x, aux)
    return None if score is None else jnp.asarray(score, real_dtype(x))
