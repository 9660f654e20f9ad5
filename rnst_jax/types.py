"""The data that moves between the rooms of the package: array aliases, problems, results and protocols.

Everything that a solver needs is a frozen dataclass registered as a pytree. Numbers that a user tunes are leaves:
changing one never recompiles, and they can be mapped over with ``jax.vmap``. Fields that set shapes or loop lengths
are static.
"""

import dataclasses
import enum
from typing import Any, Protocol, TypeVar, dataclass_transform, runtime_checkable

import jax
from jaxtyping import Array, Complex, Float, Int, Key

Scalar = Float[Array, ""] | float
"""A real number: a Python float or a 0-d array."""

Image = Float[Array, "height width"]
"""One grey image, float32; solvers see the range [0, 1]."""

Batch = Float[Array, "batch height width"]
"""A batch of grey images."""

KSpace = Complex[Array, "..."]
"""Measured Fourier coefficients, complex64."""

PRNGKey = Key[Array, ""]
"""One key of ``jax.random.key``."""

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, jax.tree.static))
def pytree(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen dataclass and a pytree; fields made with ``jax.tree.static()`` are compiled in.

    Examples:
        >>> import jax
        >>> @pytree
        ... class Step:
        ...     mu: float
        ...     count: int = jax.tree.static(default=3)
        >>> jax.tree.leaves(Step(mu=0.5))
        [0.5]
    """
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


class Status(enum.IntEnum):
    """How the reconstruction of one image ended."""

    CONVERGED = 0
    """The solver's error fell below the tolerance."""
    MAX_STEPS = 1
    """All steps were taken; without a tolerance this is the normal end."""
    NONFINITE = 2
    """A value became NaN or infinite; the image returned is the last finite one."""


@runtime_checkable
class Denoiser(Protocol):
    """D(x, sigma): an estimate of the clean image from x with Gaussian noise of standard deviation sigma."""

    def __call__(self, x: Image, sigma: Scalar) -> Image:
        """Denoise one image; sigma is in the units of x."""
        ...


@runtime_checkable
class Physics(Protocol):
    """A linear forward model y = A x."""

    def forward(self, x: Array) -> Array:
        """A x."""
        ...

    def adjoint(self, y: Array) -> Array:
        """A^H y."""
        ...

    def normal(self, x: Array) -> Array:
        """A^H A x."""
        ...

    def prox(self, z: Array, y: Array, gamma: Scalar) -> Array:
        """argmin_x  gamma/2 ||A x - y||^2 + 1/2 ||x - z||^2."""
        ...


class Prior(Protocol):
    """A map x -> x_hat towards likelier images; x - x_hat is RED's gradient, x_hat is PnP's proximal step."""

    @property
    def evaluations(self) -> int:
        """What one target costs: passes of the style network forwards and back, or 1 for a call of a denoiser."""
        ...

    def init(self, problem: "Problem") -> Any:
        """What is computed once for a problem (style targets, say)."""
        ...

    def target(self, x: Image, aux: Any, step: Int[Array, ""], key: PRNGKey) -> tuple[Image, Any]:
        """The image that the prior pulls x towards, and the new state."""
        ...

    def score(self, x: Image, aux: Any) -> Float[Array, ""] | None:
        """How unlikely x is, lower is better, for an evaluation's cost or less; None if there is no such measure."""
        ...


@pytree
class Problem:
    """One image to reconstruct.

    Attributes:
        y: the measurement: an image in [0, 1], or what ``physics.forward`` gives.
        style: a high-field image of somebody else in [0, 1], any size; or several in a tuple.
        mask: 1 inside the head of the content, 0 in air, the image's shape; None takes whole slices as they are.
        style_mask: the same for the style image; for several, a tuple with one for each.
        physics: the forward model A.
        sigma: standard deviation of the noise in y, in units of the image.
    """

    y: Array
    style: Image | tuple[Image, ...]
    mask: Image | None
    style_mask: Image | tuple[Image | None, ...] | None
    physics: Any
    sigma: Scalar


@pytree
class Result:
    """What a reconstruction gives; with a leading axis on every field for a batch.

    Attributes:
        image: the reconstructed image.
        status: a value of `Status`.
        steps: outer iterations taken.
        evaluations: of the prior, as `Prior` counts them: of the style loss (each a pass through the network, forwards
            and back), or calls of a denoiser; a sum adds up. `rnst_jax.solvers.Rnst` counts its style loss only.
        score: the prior's own score of the image returned (lower is better), NaN if the prior has none; no reference
            image enters it.
        trace: score, loss and error per outer iteration, NaN where an iteration was not taken.
    """

    image: Array
    status: Int[Array, "..."]
    steps: Int[Array, "..."]
    evaluations: Int[Array, "..."]
    score: Float[Array, "..."]
    trace: dict[str, Array]
