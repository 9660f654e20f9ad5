"""Proximal gradient methods: RED's takes the gradient step on the prior, PnP's on the data."""

from jaxtyping import Array, Int

from rnst_jax.schedules import Number
from rnst_jax.solvers.base import FixedPoint, advance, data_gradient, value
from rnst_jax.solvers.drive import State
from rnst_jax.solvers.nesterov import Nesterov
from rnst_jax.types import Prior, PRNGKey, Problem, Scalar, pytree


@pytree
class RedProximalGradient(FixedPoint):
    """v = x - (x - x_hat) / L;  x+ = argmin_u 1/2 ||A u - y||^2 + lambda L / 2 ||u - v||^2.

    A gradient step on RED's prior, then the proximal step of the data. Its fixed point is that of `RedGradient` for
    every L; with L = 1 it is `RedFixedPoint`.

    Attributes:
        prior: any prior; x_hat is its target at x.
        lam: weight lambda of the prior, more than 0, a number or a schedule.
        lipschitz: L, a bound of the Lipschitz constant of x - x_hat; 1 is enough for symmetric denoisers with
            eigenvalues in [0, 1], 2 for every non-expansive one.

    Source: Reehorst and Schniter, IEEE Trans. Comput. Imaging 5 (2019), RED-PG.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> halve = rnst.priors.Function(lambda x: x / 2)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> round(rnst.solve(problem, RedProximalGradient(halve, 2.0, 1.5), max_steps=30).image[0, 0].item(), 4)
        0.5
    """

    prior: Prior
    lam: Number = 1.0
    lipschitz: Scalar = 1.0

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One gradient and one proximal step; one target."""
        x = state.x
        x_hat, aux = self.prior.target(x, state.aux, number, key)
        v = x - (x - x_hat) / self.lipschitz
        x = problem.physics.prox(v, problem.y, 1 / (value(self.lam, number, x) * self.lipschitz))
        return advance(state, x, self.prior, aux)


def red_apg(prior: Prior, lam: Number = 1.0, lipschitz: Scalar = 1.0) -> Nesterov:
    """Accelerated proximal RED: `RedProximalGradient` at extrapolated points, see `Nesterov`.

    Source: Reehorst and Schniter, IEEE Trans. Comput. Imaging 5 (2019), RED-APG.

    Examples:
        >>> import rnst_jax as rnst
        >>> red_apg(rnst.priors.Denoised(rnst.denoise.Gaussian()), lam=0.5).solver.lam
        0.5
    """
    return Nesterov(RedProximalGradient(prior, lam, lipschitz))


@pytree
class PnpProximalGradient(FixedPoint):
    """x+ = target(x - mu A^H (A x - y)): a gradient step on the data, then the prior as if it were a proximal step.

    For a linear D its fixed point solves (I - D + mu D A^H A) x = mu D A^H y: unlike RED's, it depends on mu. It
    converges for mu < 2 / ||A||^2 where D is a symmetric averaging with eigenvalues in [0, 1).

    Attributes:
        prior: any prior.
        mu: step size, a number or a schedule.

    Source: Kamilov, Mansour and Wohlberg, IEEE Signal Process. Lett. 24 (2017).

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> halve = rnst.priors.Function(lambda x: x / 2)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> result = rnst.solve(problem, PnpProximalGradient(halve, mu=0.5), max_steps=20)
        >>> round(result.image[0, 0].item(), 4)  # x = (x - 0.5 (x - 1)) / 2
        0.3333
    """

    prior: Prior
    mu: Number = 1.0

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One gradient step and one target."""
        z = state.x - value(self.mu, number, state.x) * data_gradient(problem, state.x)
        x, aux = self.prior.target(z, state.aux, number, key)
        return advance(state, x, self.prior, aux)


def pnp_fista(prior: Prior, mu: Number = 1.0) -> Nesterov:
    """PnP-FISTA: `PnpProximalGradient` at extrapolated points, see `Nesterov`; mu at most 1 / ||A||^2.

    Source: Kamilov, Mansour and Wohlberg, IEEE Signal Process. Lett. 24 (2017); Beck and Teboulle, SIAM J. Imaging
    Sci. 2 (2009).

    Examples:
        >>> import rnst_jax as rnst
        >>> pnp_fista(rnst.priors.Denoised(rnst.denoise.Gaussian()), mu=0.5).solver.mu
        0.5
    """
    return Nesterov(PnpProximalGradient(prior, mu))
