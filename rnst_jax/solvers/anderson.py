"""Anderson's acceleration of any fixed-point solver."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from rnst_jax.solvers.base import relative_change
from rnst_jax.solvers.drive import State
from rnst_jax.types import Image, PRNGKey, Problem, Scalar, pytree


@pytree
class History:
    """What `Anderson` carries.

    Attributes:
        inner: the state of the solver inside.
        points: the last points z_i that a step started from, flat.
        images: where it led, T(z_i).
        count: steps taken.
    """

    inner: State
    points: Float[Array, "memory size"]
    images: Float[Array, "memory size"]
    count: Int[Array, ""]


@pytree
class Anderson:
    """z = sum_i a_i [ T(z_i) - (1 - damping) f_i ],  f_i = T(z_i) - z_i,  a = argmin ||sum_i a_i f_i||, sum_i a_i = 1.

    T is one step of the solver inside; the sum goes over the last ``memory`` steps. On a linear T this is as good as
    GMRES. Nothing guards it on others: a prior far from linear may call for damping below 1, or for `Best` around it.

    Attributes:
        solver: any fixed-point solver.
        damping: 1 takes the images T(z_i) alone.
        ridge: added to the diagonal of the Gram matrix of the f_i, in units of its trace.
        memory: how many steps are mixed, static.

    Source: Anderson, J. ACM 12 (1965); Walker and Ni, SIAM J. Numer. Anal. 49 (2011).

    Examples:
        >>> import jax.numpy as jnp, rnst_jax as rnst
        >>> prior = rnst.priors.Function(lambda x: 0.9 * x)
        >>> problem = rnst.Problem(jnp.ones((2, 2)), jnp.ones((2, 2)), None, None, rnst.physics.Identity(), 0.1)
        >>> plain = rnst.solvers.RedGradient(prior, mu=0.05)
        >>> [round(float(rnst.solve(problem, s, max_steps=4).image[0, 0]), 3) for s in (plain, Anderson(plain))]
        [0.982, 0.909]
    """

    solver: Any
    damping: Scalar = 1.0
    ridge: Scalar = 1e-6
    memory: int = jax.tree.static(default=5)

    @property
    def keeps_best(self) -> bool:
        """As the solver inside."""
        return self.solver.keeps_best

    def init(self, problem: Problem, x0: Image) -> State:
        """The state of the solver inside, with an empty history."""
        inner = self.solver.init(problem, x0)
        p, _ = ravel_pytree(self.solver.point(inner))
        empty = jnp.zeros((self.memory, *p.shape), p.dtype)
        return dataclasses.replace(inner, aux=History(inner, empty, empty, jnp.zeros((), jnp.int32)))

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """Mix, then one step of the solver inside."""
        history: History = state.aux
        p, unravel = ravel_pytree(self.solver.point(history.inner))
        z = jnp.where(history.count > 0, self._mix(history), p)
        new = self.solver.step(problem, self.solver.at(history.inner, unravel(z)), number, key)
        image, _ = ravel_pytree(self.solver.point(new))
        new = dataclasses.replace(new, change=relative_change(image, p))
        slot = history.count % self.memory
        points, images = history.points.at[slot].set(z), history.images.at[slot].set(image)
        return dataclasses.replace(new, aux=History(new, points, images, history.count + 1))

    def error(self, state: State) -> Float[Array, ""]:
        """As the solver inside."""
        return self.solver.error(state.aux.inner)

    def image(self, state: State) -> Image:
        """As the solver inside."""
        return self.solver.image(state.aux.inner)

    def _mix(self, history: History) -> Float[Array, " size"]:
        f = history.images - history.points
        gram = jnp.matmul(f.conj(), f.T, precision=jax.lax.Precision.HIGHEST).real
        used = (jnp.arange(self.memory) < history.count).astype(gram.dtype)
        scaled = gram / jnp.maximum(jnp.trace(gram), jnp.finfo(gram.dtype).tiny)
        # a slot that is not used yet has f = 0: a 1 on its diagonal gives it the weight 0
        ridge, damping = (jnp.asarray(number, gram.dtype) for number in (self.ridge, self.damping))
        a = jnp.linalg.solve(scaled + jnp.diag(ridge * used + (1 - used)), used)
        return (a / jnp.sum(a)) @ (history.images - (1 - damping) * f)
