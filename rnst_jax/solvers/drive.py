"""The one outer loop. A solver is three pure functions; this runs them."""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.types import PRNGKey, Problem, Result, Scalar, Status, pytree


@pytree
class State:
    """What a solver carries from step to step.

    Attributes:
        x: the iterate.
        aux: the solver's own data (targets, momentum).
        score: the prior's own score of x, lower is better; no reference image enters it. None if the prior has none.
        loss: the last loss of the inner optimisation, NaN if there is none.
        change: ||x - x_previous|| / ||x_previous||.
        evaluations: of the prior, in total, see `rnst_jax.types.Prior`.
    """

    x: Array
    aux: Any
    score: Float[Array, ""] | None
    loss: Float[Array, ""]
    change: Float[Array, ""]
    evaluations: Int[Array, ""]


class Solver(Protocol):
    """An outer solver."""

    @property
    def keeps_best(self) -> bool:
        """Whether the result is the iterate with the lowest score rather than the last one; then there is a score."""
        ...

    def init(self, problem: Problem, x0: Array) -> State:
        """The state before the first step."""
        ...

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One outer iteration; ``number`` counts from 0."""
        ...

    def error(self, state: State) -> Float[Array, ""]:
        """What is compared with the tolerance."""
        ...

    def image(self, state: State) -> Array:
        """The iterate as one grey image."""
        ...


@pytree
class _Carry:
    state: State
    best: State
    status: Int[Array, ""]
    steps: Int[Array, ""]
    trace: dict[str, Float[Array, " max_steps"]]


def drive(
    problem: Problem, solver: Solver, x0: Array, max_steps: int, key: PRNGKey, tol: Scalar | None = None
) -> Result:
    """Run a solver on one problem.

    Without a tolerance this is a ``lax.scan`` of ``max_steps`` steps, which can be differentiated. With one it is a
    ``lax.while_loop``; under ``jax.vmap`` an image that has ended is frozen while the others go on, so that a result
    never depends on its batch-mates. A step that gives a non-finite value is taken back and ends the run.

    Args:
        problem: what to solve.
        solver: how.
        x0: where to start.
        max_steps: number of outer iterations (static).
        key: random numbers; step n sees ``fold_in(key, n)``.
        tol: stop when ``solver.error`` falls to it.
    """
    state = solver.init(problem, x0)
    empty = jnp.full(max_steps, jnp.nan)
    carry = _Carry(
        state,
        state,
        jnp.where(_finite(state.x), Status.MAX_STEPS, Status.NONFINITE).astype(jnp.int32),
        jnp.zeros((), jnp.int32),
        {"score": empty, "loss": empty, "error": empty},
    )

    def running(carry: _Carry) -> Array:
        return (carry.status == Status.MAX_STEPS) & (carry.steps < max_steps)

    def step(carry: _Carry) -> _Carry:
        n = carry.steps
        new = solver.step(problem, carry.state, n, jax.random.fold_in(key, n))
        error = solver.error(new)
        finite = _finite(new.x) & jnp.isfinite(error)
        converged = jnp.zeros((), bool) if tol is None else error <= tol
        status = jnp.where(converged, Status.CONVERGED, Status.MAX_STEPS)
        status = jnp.where(finite, status, Status.NONFINITE).astype(jnp.int32)
        better = finite & (_score(new) < _score(carry.best)) if solver.keeps_best else finite
        values = {"score": _score(new), "loss": new.loss, "error": error}
        taken = _Carry(
            _select(finite, new, carry.state),
            _select(better, new, carry.best),
            status,
            n + 1,
            {name: carry.trace[name].at[n].set(value) for name, value in values.items()},
        )
        return _select(running(carry), taken, carry)

    if tol is None and max_steps == 1:
        # as the loop would, without the time that JAX takes to trace one
        carry = step(carry)
    elif tol is None:
        carry, _ = jax.lax.scan(lambda carry, _: (step(carry), None), carry, None, length=max_steps)
    else:
        carry = jax.lax.while_loop(running, step, carry)
    return Result(
        image=solver.image(carry.best),
        status=carry.status,
        steps=carry.steps,
        evaluations=carry.state.evaluations,
        score=_score(carry.best),
        trace=carry.trace,
    )


def _finite(x: Array) -> Array:
    return jnp.isfinite(x).all()


def _score(state: State) -> Array:
    return jnp.full_like(state.change, jnp.nan) if state.score is None else state.score


def _select(condition: Array, a: Any, b: Any) -> Any:
    return jax.tree.map(lambda u, v: jnp.where(condition, u, v), a, b)
