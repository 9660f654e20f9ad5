"""RED by gradient descent."""

from jaxtyping import Array, Int

from rnst_jax.schedules import Number
from rnst_jax.solvers.base import FixedPoint, advance, data_gradient, value
from rnst_jax.solvers.drive import State
from rnst_jax.types import Prior, PRNGKey, Problem, pytree


@pytree
class RedGradient(FixedPoint):
    """x+ = x - mu [ A^H (A x - y) + lambda (x - x_hat) ], x_hat the prior's target at x.

    Where x_hat = D(x) with D linear and symmetric, it descends on 1/2 ||A x - y||^2 + lambda/2 x^T (x - D(x)), and its
    fixed point solves (A^H A + lambda (I - D)) x = A^H y. It converges for mu < 2 / (||A||^2 + lambda ||I - D||), whose
    last norm is at most 2 for a non-expansive D.

    Attributes:
        prior: any prior.
        mu: step size, a number or a schedule.
        lam: weight lambda of the prior, a number or a schedule.

    Source: Romano, Elad and Milanfar, SIAM J. Imaging Sci. 10 (2017), the steepest-descent variant.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> halve = rnst.priors.Function(lambda x: x / 2)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> result = rnst.solve(problem, RedGradient(halve, mu=0.5, lam=2.0), max_steps=20)
        >>> round(result.image[0, 0].item(), 4)  # x - 1 + 2 (x - x / 2) = 0
        0.5
    """

    prior: Prior
    mu: Number = 0.5
    lam: Number = 1.0

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One step down the gradient; one target."""
        x = state.x
        mu, lam = value(self.mu, number, x), value(self.lam, number, x)
        x_hat, aux = self.prior.target(x, state.aux, number, key)
        return advance(state, x - mu * (data_gradient(problem, x) + lam * (x - x_hat)), self.prior, aux)
