"""Half-quadratic splitting."""

import jax
from jaxtyping import Array, Int

from rnst_jax.priors import Denoised
from rnst_jax.schedules import Geometric, Number
from rnst_jax.solvers.base import FixedPoint, advance, value
from rnst_jax.solvers.drive import State
from rnst_jax.types import Denoiser, Image, Prior, PRNGKey, Problem, Scalar, pytree


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
        steps: how many outer iterations the fall takes; 1 has the last level only.
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


def complete(problem: Problem, denoiser: Denoiser, x0: Image, steps: int) -> Image:
    """An image that agrees with the data, filled in by a denoiser where they say nothing: undersampled k-space.

    ``steps`` steps of `annealed` with its default levels, from x0, end at x. The result is
    u = argmin_u 1/2 ||A u - y||^2 + 1/2 ||u - x||^2: of what was measured it keeps a half, with its noise, which D can
    still take out; the rest is that of x.

    Args:
        problem: its style is not used.
        denoiser: D(x, sigma).
        x0: (H, W), mostly A^H y.
        steps: how many, static, more than 1; each takes one D.

    Raises:
        ValueError: there are fewer than 2 steps.

    Source: Zhang, Li, Zuo, Zhang, Van Gool and Timofte, IEEE TPAMI 44 (2022).

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> bar = jnp.zeros((32, 32)).at[12:20, 10:22].set(1.0)
        >>> mask = rnst.physics.masks.random(jax.random.key(0), bar.shape, 2.0, acs=6)
        >>> fourier = rnst.physics.Fourier(mask)
        >>> problem = rnst.Problem(fourier.forward(bar), bar, None, None, fourier, 0.02)
        >>> start = fourier.adjoint(problem.y)
        >>> filled = complete(problem, rnst.denoise.TotalVariation(), start, steps=8)
        >>> bool(jnp.abs(filled - bar).mean() < 0.5 * jnp.abs(start - bar).mean())
        True
    """
    if steps < 2:
        raise ValueError(f"complete takes 2 steps or more, not {steps}")
    solver = annealed(denoiser, steps)
    key = jax.random.key(0)
    last = jax.lax.fori_loop(0, steps, lambda n, s: solver.step(problem, s, n, key), solver.init(problem, x0))
    return problem.physics.prox(last.x, problem.y, value(solver.mu, steps - 1, last.x))
