"""Step rules of the style engine as pytrees: their rates are leaves, so a new rate compiles nothing."""

from typing import Protocol

import jax
import optax

from rnst_jax.style.lbfgs import torch_lbfgs
from rnst_jax.style.multiscale import multiscale
from rnst_jax.style.multiscale_lbfgs import multiscale_lbfgs
from rnst_jax.types import Scalar, pytree


class Optimiser(Protocol):
    """Anything that builds an optax transformation for a run of so many evaluations."""

    def build(self, evaluations: int) -> optax.GradientTransformation:
        """The transformation."""
        ...


@pytree
class Adam:
    """Adam with a rate that falls to zero along half a cosine, on the scales ``factors`` (see `multiscale`).

    Attributes:
        learning_rate: the first rate, in units of the image.
        b1: decay of the mean of gradients.
        b2: decay of the mean of squared gradients.
        factors: scales of the image, static; ``(1,)`` is plain Adam, and so is ``()`` for what is no image.

    Source: Kingma and Ba, ICLR 2015.
    """

    learning_rate: Scalar = 0.01
    b1: Scalar = 0.9
    b2: Scalar = 0.999
    factors: tuple[int, ...] = jax.tree.static(default=())

    def build(self, evaluations: int) -> optax.GradientTransformation:
        """The transformation for a run of so many evaluations."""
        rate = optax.cosine_decay_schedule(self.learning_rate, evaluations)  # type: ignore[arg-type]
        adam = optax.adam(rate, self.b1, self.b2)  # type: ignore[arg-type]
        return multiscale(adam, self.factors) if self.factors else adam


@pytree
class TorchLbfgs:
    """The published engine's rule, see `rnst_jax.style.lbfgs.torch_lbfgs`.

    Attributes:
        learning_rate: the fixed step length.
        history: curvature pairs kept, static.
    """

    learning_rate: Scalar = 0.4
    history: int = jax.tree.static(default=100)

    def build(self, evaluations: int) -> optax.GradientTransformation:
        """The transformation; no more pairs are kept than the run can make."""
        return torch_lbfgs(self.learning_rate, min(self.history, evaluations))


@pytree
class MultiscaleLbfgs:
    """L-BFGS on several scales with backtracking, see `rnst_jax.style.multiscale_lbfgs`; for images only.

    Attributes:
        first_step: largest change of a pixel in the first step, in units of the image.
        falloff: how fast coarse scales lose weight.
        colour: weight of the differences between channels.
        factors: scales of the image, static.
        history: curvature pairs kept, static; memory is 2 x history x image.
    """

    first_step: Scalar = 0.05
    falloff: Scalar = 1.0
    colour: Scalar = 0.2
    factors: tuple[int, ...] = jax.tree.static(default=(1, 2, 4, 8, 16, 32))
    history: int = jax.tree.static(default=100)

    def build(self, evaluations: int) -> optax.GradientTransformation:
        """The transformation; no more pairs are kept than the run can make."""
        return multiscale_lbfgs(
            self.factors,
            min(self.history, evaluations),
            evaluations=evaluations,
            first_step=self.first_step,
            falloff=self.falloff,
            colour=self.colour,
        )


@pytree
class OptaxLbfgs:
    """optax's L-BFGS with a fixed step, or with its zoom line search (several evaluations per step).

    Attributes:
        learning_rate: the fixed step length; not used with a line search.
        history: curvature pairs kept, static.
        linesearch: static.
    """

    learning_rate: Scalar = 0.4
    history: int = jax.tree.static(default=10)
    linesearch: bool = jax.tree.static(default=False)

    def build(self, evaluations: int) -> optax.GradientTransformation:
        """The transformation."""
        del evaluations
        if self.linesearch:
            return optax.lbfgs(memory_size=self.history)
        return optax.lbfgs(self.learning_rate, self.history, linesearch=None)  # type: ignore[arg-type]
