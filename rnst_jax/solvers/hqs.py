"""Half-quadratic splitting."""

from jaxtyping import Array, Int

from rnst_jax.priors import Denoised
from rnst_jax.schedules import Geometric, Number
from rnst_jax.solvers.base import FixedPoint, advance, value
from rnst_jax.solvers.drive import State
from rnst_jax.types import Denoiser, Prior, PRNGKey, Problem, Scalar, pytree


@pytree
class HalfQuadratic(FixedPoint):
    """u = argmin_u mu/2 ||A u - y||^2 + 1/2 ||u - x||^2;  x+ = target(u).

    With a constant mu the u-iterates are those of `RedFixedPoint` with lambda = 1 / mu; the method is meant to be run
    with a prior that weakens and a mu that falls along with it, see `annealed`.

    Attributes:
        prior: any prior.
        mu: weight of the data against closeness to x, more than 0, a number or a schedule.

    Source: Geman and Yang, IEEE TIP 4 (1995); with a denoiser in the place of the prior's step: Zhang, Zuo, Gu and
    Zhang, CVPR 2017.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> halve = rnst.priors.Function(lambda x: x / 2)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> result = rnst.solve(problem, HalfQuadratic(halve, mu=0.5), max_steps=20)
        >>> round(result.image[0, 0].item(), 4)  # u = (x + 0.5) / 1.5, x = u / 2
        0.25
    """

    prior: Prior
    mu: Number = 1.0

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One proximal step of the data and one target."""
        u = problem.physics.prox(state.x, problem.y, value(self.mu, number, state.x))
        x, aux = self.prior.target(u, state.aux, number, key)
        return advance(state, x, self.prior, aux)


def annealed(
    denoiser: Denoiser, steps: Scalar, first: Scalar = 4.0, last: Scalar = 1.0, lam: Scalar = 1.0
) -> HalfQuadratic:
    """`HalfQuadratic` whose denoiser is told f_n sigma at step n, f_n falling from first to last in equal ratios.

    For noise of standard deviation sigma in y and a prior of weight lambda, splitting with the denoiser's level f sigma
    gives mu = f^2 / lambda.

    Args:
        denoiser: D(x, sigma).
        steps: how many outer iterations the fall takes, more than 1.
        first: the first level in units of the problem's sigma.
        last: the last one.
        lam: weight of the prior.

    Source: Zhang, Li, Zuo, Zhang, Van Gool and Timofte, IEEE TPAMI 44 (2022).

    Examples:
        >>> import rnst_jax as rnst
        >>> solver = annealed(rnst.denoise.Gaussian(), steps=8, lam=2.0)
        >>> float(solver.mu(0)), float(solver.mu(7))
        (8.0, 0.5)
    """
    mu = Geometric(first**2 / lam, last**2 / lam, steps)
    return HalfQuadratic(Denoised(denoiser, Geometric(first, last, steps)), mu)
