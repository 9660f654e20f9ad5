"""RED by the fixed-point iteration on its stationarity condition."""

from jaxtyping import Array, Int

from rnst_jax.schedules import Number
from rnst_jax.solvers.base import FixedPoint, advance, value
from rnst_jax.solvers.drive import State
from rnst_jax.types import Prior, PRNGKey, Problem, pytree


@pytree
class RedFixedPoint(FixedPoint):
    """x+ = (A^H A + lambda I)^-1 (A^H y + lambda x_hat), x_hat the prior's target at x.

    It is A^H (A x+ - y) + lambda (x+ - x_hat) = 0: RED's stationarity with the target held. The inverse is the forward
    model's ``prox`` with gamma = 1 / lambda, a closed form or conjugate gradients. No step size, and convergence for
    every lambda > 0 where D is a contraction; its fixed point is that of `RedGradient`.

    Attributes:
        prior: any prior.
        lam: weight lambda of the prior, more than 0, a number or a schedule.

    Source: Romano, Elad and Milanfar, SIAM J. Imaging Sci. 10 (2017), the fixed-point variant.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> halve = rnst.priors.Function(lambda x: x / 2)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> round(rnst.solve(problem, RedFixedPoint(halve, lam=2.0), max_steps=20).image[0, 0].item(), 4)
        0.5
    """

    prior: Prior
    lam: Number = 1.0

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One solution with the target held; one target."""
        x_hat, aux = self.prior.target(state.x, state.aux, number, key)
        x = problem.physics.prox(x_hat, problem.y, 1 / value(self.lam, number, state.x))
        return advance(state, x, self.prior, aux)
