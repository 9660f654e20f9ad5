"""Priors: maps x -> x_hat towards likelier images.

x - x_hat is the gradient that RED uses, x_hat the proximal step of PnP.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.features import Extractor
from rnst_jax.schedules import Number, at
from rnst_jax.style.engine import minimise
from rnst_jax.style.loss_sum import LossSum, blend
from rnst_jax.style.losses import StyleLoss
from rnst_jax.style.optimisers import MultiscaleLbfgs, Optimiser
from rnst_jax.style.parametrise import Parametrisation, Pixels
from rnst_jax.types import Denoiser, Image, PRNGKey, Problem, Scalar, pytree


@pytree
class Denoised:
    """RED's prior: x_hat = D(x, factor * sigma), with sigma from the problem.

    Attributes:
        denoiser: D, any callable of an image and a standard deviation.
        factor: multiplies the problem's sigma; a number, or a schedule over the outer iterations.

    Source: Romano, Elad and Milanfar, SIAM J. Imaging Sci. 10 (2017).
    """

    denoiser: Denoiser
    factor: Number = 1.0

    @property
    def evaluations(self) -> int:
        """One call of the denoiser."""
        return 1

    def init(self, problem: Problem) -> Float[Array, ""]:
        """The noise's standard deviation."""
        return jnp.asarray(problem.sigma)

    def target(self, x: Image, aux: Any, step: Int[Array, ""], key: PRNGKey) -> tuple[Image, Any]:
        """D(x); a third axis of x (channels) is denoised channel by channel."""
        del key
        sigma = jnp.asarray(at(self.factor, step) * aux, jnp.promote_types(jnp.finfo(x.dtype).dtype, jnp.float32))
        if x.ndim == 3:
            return jax.vmap(lambda c: self.denoiser(c, sigma), in_axes=-1, out_axes=-1)(x), aux
        return self.denoiser(x, sigma), aux

    def score(self, x: Image, aux: Any) -> None:
        """None: RED's energy costs a call of the denoiser, see `rnst_jax.solvers.RedEnergy`."""


@pytree
class Function:
    """Any function as a prior: x_hat = fn(x, *parameters).

    Attributes:
        fn: an image, and the parameters if there are any -> an image, in JAX; static.
        parameters: arrays, numbers or pytrees of them; leaves, so that new ones compile nothing.

    Examples:
        >>> import jax.numpy as jnp
        >>> prior = Function(lambda x, share: share * x, (0.5,))
        >>> prior.target(jnp.ones((1, 2)), None, 0, None)[0].tolist()
        [[0.5, 0.5]]
    """

    fn: Callable[..., Image] = jax.tree.static()
    parameters: tuple[Any, ...] = ()

    @property
    def evaluations(self) -> int:
        """One call."""
        return 1

    def init(self, problem: Problem) -> None:
        """Nothing to compute."""

    def target(self, x: Image, aux: None, step: Int[Array, ""], key: PRNGKey) -> tuple[Image, None]:
        """fn(x)."""
        del aux, step, key
        return self.fn(x, *self.parameters), None

    def score(self, x: Image, aux: None) -> None:
        """None: a function says nothing of how good an image is."""


@pytree
class Style:
    """The style engine as a prior: x_hat = T(x) = render(p*, x), p* = argmin_p loss(render(p, x)) + penalty(p).

    Attributes:
        extractor: the network whose features are compared.
        loss: the loss on them, a `StyleLoss` or a `LossSum`.
        parametrisation: what may change in the image: `Pixels` or `IntensityMap`.
        optimiser: the step rule; the default is the best for free pixels in ``benchmarks/engine.py``. An `IntensityMap`
            is no image: give `Adam` without factors.
        evaluations: of the loss per target, static; each is a pass through the network, forwards and back.
        reduce: by how much an image is made smaller along each side before the network sees it (linear
            interpolation with antialiasing), static. An intensity map has few numbers, which a smaller image
            determines as well at 1/reduce^2 of the cost.
        report: called as ``report(evaluations, loss)`` from the running computation, static; for progress bars.
        style_weights: of the style images where the problem has several; equal by default.

    Source: Gatys, Ecker and Bethge, CVPR 2016.
    """

    extractor: Extractor
    loss: StyleLoss | LossSum = StyleLoss()
    parametrisation: Parametrisation = Pixels()
    optimiser: Optimiser = MultiscaleLbfgs()
    evaluations: int = jax.tree.static(default=60)
    reduce: int = jax.tree.static(default=1)
    report: Callable[[int, float], None] | None = jax.tree.static(default=None)
    style_weights: tuple[Scalar, ...] | None = None

    def init(self, problem: Problem) -> Any:
        """The targets, with the measurement's back-projection A^H y as the content."""
        return self.targets(problem, problem.physics.adjoint(problem.y))

    def targets(self, problem: Problem, content: Array) -> Any:
        """Statistics of the problem's style and features of ``content``, both inside the masks of the problem.

        Several styles count with ``style_weights``, see `rnst_jax.style.blend`.
        """
        if not isinstance(problem.style, tuple):
            return self._targets(problem, content, problem.style, problem.style_mask)
        masks = (
            problem.style_mask if isinstance(problem.style_mask, tuple) else (problem.style_mask,) * len(problem.style)
        )
        each = [self._targets(problem, content, s, m) for s, m in zip(problem.style, masks, strict=True)]
        return blend(each, self.style_weights)

    def _targets(self, problem: Problem, content: Array, style: Image, style_mask: Any) -> Any:
        style = style if content.ndim == 2 else jnp.repeat(style[..., None], content.shape[-1], -1)
        mask, style_mask = (None if m is None else self._small(m) for m in (problem.mask, style_mask))
        return self.loss.targets(self.extractor, self._small(content), self._small(style), mask, style_mask)

    def score(self, x: Array, targets: Any) -> Float[Array, ""]:
        """The loss of an image: the prior's own measure, without any reference."""
        return self.loss(self.extractor, self._small(x), targets)

    def stylise(
        self, n: Array, targets: Any, evaluations: int, p: Any | None = None
    ) -> tuple[Array, Any, Float[Array, " evaluations"]]:
        """Minimise the loss for so many evaluations, from p or from the parameters that give n back.

        Returns:
            The image, its parameters (to go on from), and the loss at every evaluation.
        """
        family, small = self.parametrisation, self._small(n)

        def objective(p):
            return self.loss(self.extractor, family.render(p, small), targets) + family.penalty(p)

        optimiser = self.optimiser.build(evaluations)
        p = family.start(n) if p is None else p
        p, losses = minimise(objective, p, optimiser, evaluations, family.project, self.report)
        return family.render(p, n), p, losses

    def _small(self, image: Array) -> Array:
        if self.reduce == 1:
            return image
        shape = (image.shape[0] // self.reduce, image.shape[1] // self.reduce, *image.shape[2:])
        return jax.image.resize(image, shape, "linear")

    def target(self, x: Image, aux: Any, step: Int[Array, ""], key: PRNGKey) -> tuple[Image, Any]:
        """T(x)."""
        del step, key
        image, _, _ = self.stylise(x, aux, self.evaluations)
        return image, aux


@pytree
class WeightedSum:
    """x_hat = sum_i w_i x_hat_i / sum_i w_i: its residual x - x_hat is the weighted mean of those of its parts.

    Attributes:
        priors: the parts.
        weights: their weights, one number each.
    """

    priors: tuple[Any, ...]
    weights: tuple[Scalar, ...]

    def init(self, problem: Problem) -> tuple[Any, ...]:
        """The state of each part."""
        return tuple(prior.init(problem) for prior in self.priors)

    @property
    def evaluations(self) -> int:
        """Those of all parts."""
        return sum(prior.evaluations for prior in self.priors)

    def score(self, x: Image, aux: Any) -> Float[Array, ""] | None:
        """sum_i w_i score_i over the parts that have one; None if no part has."""
        scores = [prior.score(x, a) for prior, a in zip(self.priors, aux, strict=True)]
        terms = [w * score for w, score in zip(self.weights, scores, strict=True) if score is not None]
        return jnp.sum(jnp.stack(terms)) if terms else None

    def target(self, x: Image, aux: Any, step: Int[Array, ""], key: PRNGKey) -> tuple[Image, Any]:
        """The weighted mean of the targets."""
        keys = jax.random.split(key, len(self.priors))
        pairs = [prior.target(x, a, step, k) for prior, a, k in zip(self.priors, aux, keys, strict=True)]
        weights = jnp.stack([jnp.asarray(w, x.dtype) for w in self.weights])
        image = jnp.tensordot(weights / weights.sum(), jnp.stack([image for image, _ in pairs]), axes=1)
        return image, tuple(a for _, a in pairs)
