"""Return the best iterate instead of the last."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.schedules import Number, at
from rnst_jax.solvers.base import real_dtype
from rnst_jax.solvers.drive import State
from rnst_jax.types import Image, Prior, PRNGKey, Problem, pytree


@pytree
class Best:
    """The iterate with the lowest score so far, the start included; the solver inside goes on undisturbed.

    Attributes:
        solver: any solver, accelerated or not.
        score: called as ``score(problem, image)``, lower is better; `RedEnergy`, say, or ``jax.tree_util.Partial`` of a
            function. By default the score that the solver's prior gives, which denoisers do not have. What it costs
            is not counted as evaluations.

    Raises:
        ValueError: on ``init``, when neither gives a score.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> prior = rnst.priors.Function(lambda x: x / 2)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> diverges = rnst.solvers.RedGradient(prior, mu=2.0)
        >>> found = rnst.solve(problem, Best(diverges, RedEnergy(prior)), max_steps=5)
        >>> found.image[0, 0].item(), [round(s, 3) for s in found.trace["score"][:2].tolist()]
        (1.0, [2.0, 6.0])
    """

    solver: Any
    score: Callable[[Problem, Image], Float[Array, ""]] | None = None

    @property
    def keeps_best(self) -> bool:
        """Yes."""
        return True

    def init(self, problem: Problem, x0: Image) -> State:
        """The state of the solver inside, scored."""
        return self._scored(problem, self.solver.init(problem, x0))

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One step of the solver inside, scored."""
        return self._scored(problem, self.solver.step(problem, state, number, key))

    def error(self, state: State) -> Float[Array, ""]:
        """As the solver inside."""
        return self.solver.error(state)

    def image(self, state: State) -> Image:
        """As the solver inside."""
        return self.solver.image(state)

    def _scored(self, problem: Problem, state: State) -> State:
        if self.score is not None:
            score = self.score(problem, self.solver.image(state))
            return dataclasses.replace(state, score=jnp.asarray(score, real_dtype(state.x)))
        if state.score is None:
            raise ValueError("the solver's prior has no score; give one: Best(solver, RedEnergy(prior))")
        return state


@pytree
class RedEnergy:
    """1/2 ||A x - y||^2 + lambda/2 x^T (x - x_hat): what RED minimises where x_hat = D(x) is linear and symmetric.

    Attributes:
        prior: the prior; its target at x is computed, so a call costs as much as a step of most solvers.
        lam: lambda, a number or a schedule, taken at step 0.

    Source: Romano, Elad and Milanfar, SIAM J. Imaging Sci. 10 (2017).

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> RedEnergy(rnst.priors.Function(lambda x: x / 2))(problem, jnp.ones((2, 2))).item()
        1.0
    """

    prior: Prior
    lam: Number = 1.0

    def __call__(self, problem: Problem, x: Image) -> Float[Array, ""]:
        """The energy of an image."""
        first = jnp.zeros((), jnp.int32)
        x_hat, _ = self.prior.target(x, self.prior.init(problem), first, jax.random.key(0))
        residual = problem.physics.forward(x) - problem.y
        return jnp.vdot(residual, residual).real / 2 + at(self.lam, 0) / 2 * jnp.vdot(x, x - x_hat).real
