"""The alternating direction method of multipliers: RED's, and PnP's."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from rnst_jax.schedules import Number
from rnst_jax.solvers.base import FixedPoint, advance, relative_change, start, value
from rnst_jax.solvers.drive import State
from rnst_jax.types import Image, Prior, PRNGKey, Problem, Scalar, pytree


@pytree
class Split:
    """What ADMM carries beside x.

    Attributes:
        prior: the prior's own data.
        v: the copy of x that the prior acts on.
        u: the scaled dual variable, the sum of all x - v.
    """

    prior: Any
    v: Image
    u: Image


class Admm(FixedPoint):
    """x+ = prox(v - u), v+ = (the prior's step at x+ + u), u+ = u + x+ - v+; the point is (v, u)."""

    prior: Prior

    def init(self, problem: Problem, x0: Image) -> State:
        """v = x0 and u = 0."""
        state, aux = start(problem, x0, self.prior)
        return dataclasses.replace(state, aux=Split(aux, x0, jnp.zeros_like(x0)))

    def point(self, state: State) -> tuple[Image, Image]:
        """(v, u)."""
        return state.aux.v, state.aux.u

    def at(self, state: State, point: tuple[Image, Image]) -> State:
        """The state with another (v, u)."""
        return dataclasses.replace(state, aux=Split(state.aux.prior, *point))

    def _advance(self, state: State, x: Image, split: Split, targets: int = 1) -> State:
        new = advance(state, x, self.prior, split.prior, split, targets)
        # x may stay where it started while v moves
        return dataclasses.replace(new, change=relative_change(self.point(new), self.point(state)))


@pytree
class RedAdmm(Admm):
    """ADMM on 1/2 ||A x - y||^2 + lambda rho(v) subject to x = v, with RED's rho, whose gradient is v - target(v).

    x+ = argmin_x 1/2 ||A x - y||^2 + beta/2 ||x - v + u||^2;
    v+: v <- (lambda target(v) + beta (x+ + u)) / (lambda + beta), ``inner`` times;  u+ = u + x+ - v+.

    The fixed point is that of `RedGradient`, for every beta and ``inner``.

    Attributes:
        prior: any prior.
        lam: weight lambda of the prior, a number or a schedule.
        beta: the penalty parameter, more than 0.
        inner: fixed-point iterations for v, static; each computes a target.

    Source: Romano, Elad and Milanfar, SIAM J. Imaging Sci. 10 (2017), the ADMM variant.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> halve = rnst.priors.Function(lambda x: x / 2)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> round(rnst.solve(problem, RedAdmm(halve, lam=2.0), max_steps=40).image[0, 0].item(), 4)
        0.5
    """

    prior: Prior
    lam: Number = 1.0
    beta: Scalar = 1.0
    inner: int = jax.tree.static(default=1)

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One step of x, v and u; ``inner`` targets."""
        aux, v, u = state.aux.prior, state.aux.v, state.aux.u
        lam, beta = (value(each, number, v) for each in (self.lam, self.beta))
        x = problem.physics.prox(v - u, problem.y, 1 / beta)
        for k in range(self.inner):
            v_hat, aux = self.prior.target(v, aux, number, jax.random.fold_in(key, k))
            v = (lam * v_hat + beta * (x + u)) / (lam + beta)
        return self._advance(state, x, Split(aux, v, u + x - v), self.inner)


@pytree
class PnpAdmm(Admm):
    """x+ = argmin_x mu/2 ||A x - y||^2 + 1/2 ||x - v + u||^2;  v+ = target(x+ + u);  u+ = u + x+ - v+.

    Its fixed point is that of `PnpProximalGradient` with the same mu.

    Attributes:
        prior: any prior.
        mu: weight of the data against the prior, more than 0, a number or a schedule; it is 1 / rho where the penalty
            parameter is rho.

    Source: Venkatakrishnan, Bouman and Wohlberg, GlobalSIP 2013.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> halve = rnst.priors.Function(lambda x: x / 2)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> round(rnst.solve(problem, PnpAdmm(halve, mu=0.5), max_steps=40).image[0, 0].item(), 4)
        0.3333
    """

    prior: Prior
    mu: Number = 1.0

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One step of x, v and u; one target."""
        v, u = state.aux.v, state.aux.u
        x = problem.physics.prox(v - u, problem.y, value(self.mu, number, v))
        v, aux = self.prior.target(x + u, state.aux.prior, number, key)
        return self._advance(state, x, Split(aux, v, u + x - v))
