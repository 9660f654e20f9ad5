"""Nesterov's acceleration of any fixed-point solver."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.linalg import vdot
from rnst_jax.solvers.base import real_dtype, relative_change
from rnst_jax.solvers.drive import State
from rnst_jax.types import Image, PRNGKey, Problem, pytree


@pytree
class Momentum:
    """What `Nesterov` carries.

    Attributes:
        inner: the state of the solver inside.
        previous: its point one step earlier.
        t: the momentum's sequence.
    """

    inner: State
    previous: Any
    t: Float[Array, ""]


@pytree
class Nesterov:
    """z = p + (t - 1) / t+ (p - p_previous) with t+ = (1 + sqrt(1 + 4 t^2)) / 2;  p+ = T(z).

    T is one step of the solver inside, p its point (see `FixedPoint`). Around `PnpProximalGradient` this is PnP-FISTA,
    around `RedProximalGradient` RED-APG.

    Attributes:
        solver: any fixed-point solver.
        restart: forget the momentum where it points against the step, <z - p+, p+ - p> > 0; static. Without it a well
            conditioned problem is overshot again and again.

    Source: Nesterov, Soviet Math. Dokl. 27 (1983), in the form of Beck and Teboulle, SIAM J. Imaging Sci. 2 (2009); the
    restart: O'Donoghue and Candes, Found. Comput. Math. 15 (2015), gradient scheme.

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> prior = rnst.priors.Function(lambda x: 0.9 * x)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> plain = rnst.solvers.RedGradient(prior, mu=0.05)
        >>> errors = [abs(rnst.solve(problem, s, max_steps=20).image[0, 0] - 1 / 1.1) for s in (plain, Nesterov(plain))]
        >>> bool(errors[1] < 0.5 * errors[0])
        True
    """

    solver: Any
    restart: bool = jax.tree.static(default=False)

    @property
    def keeps_best(self) -> bool:
        """As the solver inside."""
        return self.solver.keeps_best

    def init(self, problem: Problem, x0: Image) -> State:
        """The state of the solver inside, at rest."""
        inner = self.solver.init(problem, x0)
        # with t = 0 the first two steps are plain, as in FISTA
        momentum = Momentum(inner, self.solver.point(inner), jnp.zeros((), real_dtype(x0)))
        return dataclasses.replace(inner, aux=momentum)

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """Extrapolate, then one step of the solver inside."""
        inner, previous, t = state.aux.inner, state.aux.previous, state.aux.t
        p = self.solver.point(inner)
        t_new = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        z = jax.tree.map(lambda p, q: p + (t - 1) / t_new * (p - q), p, previous)
        new = self.solver.step(problem, self.solver.at(inner, z), number, key)
        if self.restart:
            against = vdot(_minus(z, self.solver.point(new)), _minus(self.solver.point(new), p)).real > 0
            t_new = jnp.where(against, 1.0, t_new)
        new = dataclasses.replace(new, change=relative_change(self.solver.point(new), p))
        return dataclasses.replace(new, aux=Momentum(new, p, t_new))

    def error(self, state: State) -> Float[Array, ""]:
        """As the solver inside."""
        return self.solver.error(state.aux.inner)

    def image(self, state: State) -> Image:
        """As the solver inside."""
        return self.solver.image(state.aux.inner)


def _minus(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.subtract, a, b)
