"""RNST: a RED step whose second prior is a style engine, with several candidates per iteration.

    x+ = x - i mu [ alpha A^H (A x - y) + beta (x - T_j(x)) + lambda (x - D(x)) ]

The published code runs this with side effects; `Rnst` can be both (see `rnst_jax.presets`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from rnst_jax.denoise.noise import trusted
from rnst_jax.priors import Denoised, Style
from rnst_jax.solvers.base import relative_change
from rnst_jax.solvers.drive import State
from rnst_jax.solvers.hqs import complete
from rnst_jax.style.endpoints import align_endpoints
from rnst_jax.style.likeness import likeness
from rnst_jax.types import Image, PRNGKey, Problem, Scalar, pytree


class Trials(NamedTuple):
    """What one iteration of `Rnst` chooses from.

    Candidate (i, j), made with step size i mu and T_j, is at index (i - 1) len(depths) + j - 1.

    Attributes:
        images: T_1, T_2, ...
        losses: of every evaluation of each link of the chain.
        candidates: as the step made them.
        refined: the candidates as they are scored, after ``Rnst.refine`` evaluations.
        scores: one per candidate, lower is better; infinite where the engine blew up, which then never wins.
    """

    images: Array
    losses: tuple[Float[Array, " evaluations"], ...]
    candidates: Array
    refined: Array
    scores: Float[Array, " candidates"]


@pytree
class Rnst:
    """The RNST solver.

    One iteration: D(x); a chain of stylised images T_1, T_2, ... in which each goes on from the one before with a
    fresh optimiser; candidates for every step size i mu (i = 1 .. ``candidates``) and every T_j, scored by the style
    prior in one batch; the lowest score wins.

    Attributes:
        style: the style prior; its own ``evaluations`` are not used here, ``depths`` are.
        denoised: the denoising prior.
        mu: step size.
        alpha: weight of the data term.
        beta: weight of the style prior.
        lam: weight of the denoising prior (lambda).
        caution: c; beta counts 1 / (1 + c sigma^2) times, sigma the problem's: the noisier the image was, the more
            contrast D has taken from it, and the less a style's statistics can be compared with it.
        endpoints: share by which the darkest, middle and brightest tissue of a denoised start are brought to those of
            the style, where there is one style, see `rnst_jax.style.align_endpoints`; None leaves it out.
        dark_tail: see there; for starts that lost resolution.
        strictness: endpoints and beta count `rnst_jax.style.likeness` times, where there is one style; None: in full.
        depths: evaluations that lead to T_1, from T_1 to T_2, and so on; static.
        candidates: number of step sizes, static.
        refine: evaluations of the engine on each candidate before its score is taken; the refined candidate is the
            one that wins. Static; 0 scores candidates as they are.
        channels: 1, or 3 to solve for a colour image as the published code does; static.
        completion: steps of `rnst_jax.solvers.complete` that fill in what A does not measure, from x0 and before all
            else; static, 0 for none. For undersampled k-space, whose A^H y is aliased.
        rescale: stretch x to [0, 1] by its own extremes before each iteration and each score, as the published code
            does; static.
        denoise: where D acts, static: in ``"every"`` iteration; in the ``"first"`` only, D(x) = x in the others; or on
            the ``"start"`` x0 alone, D(x) = x in all of them, so that one step is x0 + mu beta (T(x0) - x0).
        in_place: the step sees the last T_j in the place of D(x): a side effect of the published code; static.
        content_from: whose features are the content target, static: the ``"input"`` A^H y, the ``"denoised"``
            input, or the ``"start"`` of the iterations, denoised if ``denoise`` says so.
        keeps_best: return the best-scoring iterate, or the last; static.

    Source: Shen et al., Frontiers in Artificial Intelligence 8:1579251 (2025). alpha = 0, beta = 1 is the form of the
    authors' code; the formula with the data term is this project's reading of the method (RED's step with T put in).
    """

    style: Style
    denoised: Denoised
    mu: Scalar = 0.15
    alpha: Scalar = 0.0
    beta: Scalar = 1.0
    lam: Scalar = 0.7
    caution: Scalar = 0.0
    endpoints: Scalar | None = None
    dark_tail: Scalar = 0.0
    strictness: Scalar | None = None
    depths: tuple[int, ...] = jax.tree.static(default=(520, 620, 720))
    candidates: int = jax.tree.static(default=5)
    refine: int = jax.tree.static(default=20)
    channels: int = jax.tree.static(default=1)
    completion: int = jax.tree.static(default=0)
    rescale: bool = jax.tree.static(default=False)
    denoise: str = jax.tree.static(default="every")
    in_place: bool = jax.tree.static(default=False)
    content_from: str = jax.tree.static(default="input")
    keeps_best: bool = jax.tree.static(default=True)

    @property
    def evaluations_per_step(self) -> int:
        """Of the style loss and its gradient; a score without ``refine`` needs no gradient and does not count."""
        return sum(self.depths) + self.candidates * len(self.depths) * self.refine

    def init(self, problem: Problem, x0: Image) -> State:
        """Targets, and the start; nothing is scored yet."""
        x = x0
        if self.completion:
            x = complete(problem, self.denoised.denoiser, x, self.completion)
        if self.denoise == "start":
            x = self._aligned(problem, self._before(problem, x))
        # a start that is not finite is returned as it came; one that D makes so is not hidden
        x0 = jnp.where(jnp.isfinite(x0).all(), x, x0)
        content = x0 if self.content_from == "start" else problem.physics.adjoint(problem.y)
        if self.content_from == "denoised":
            content = self._before(problem, content)
        targets = self.style.targets(problem, self._colour(content))
        zero = jnp.zeros((), jnp.int32)
        inf = jnp.full((), jnp.inf)
        return State(self._colour(x0), targets, inf, inf, inf, zero)

    def step(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> State:
        """One outer iteration: the best of its trials."""
        trials = self.trials(problem, state, number, key)
        winner = jnp.argmin(trials.scores)
        new = trials.refined[winner]
        return State(
            new,
            state.aux,
            trials.scores[winner],
            trials.losses[-1][-1],
            relative_change(new, state.x),
            state.evaluations + self.evaluations_per_step,
        )

    def trials(self, problem: Problem, state: State, number: Int[Array, ""], key: PRNGKey) -> Trials:
        """All candidates of one outer iteration, scored."""
        x = self._stretch(state.x)
        n = self._denoise(problem, x, number, key)
        images, losses = self._chain(n, state.aux)
        attractor = images[-1] if self.in_place else n
        beta = self.beta * trusted(self.caution, problem.sigma) * self._alike(problem, x)
        directions = self.alpha * self._data_gradient(problem, x) + beta * (x - images) + self.lam * (x - attractor)
        steps = self.mu * jnp.arange(1, self.candidates + 1)
        candidates = x - steps.reshape(-1, *[1] * images.ndim) * directions
        candidates = candidates.reshape(-1, *x.shape)
        refined, scores = jax.vmap(lambda x: self._score(x, state.aux))(candidates)
        sound = jnp.isfinite(scores) & jnp.isfinite(refined).reshape(len(scores), -1).all(axis=1)
        return Trials(images, losses, candidates, refined, jnp.where(sound, scores, jnp.inf))

    def error(self, state: State) -> Float[Array, ""]:
        """The relative change of the iterate."""
        return state.change

    def image(self, state: State) -> Image:
        """The first channel."""
        return state.x[..., 0] if self.channels > 1 else state.x

    def _colour(self, x: Image) -> Array:
        return jnp.repeat(x[..., None], self.channels, -1) if self.channels > 1 else x

    def _data_gradient(self, problem: Problem, x: Array) -> Array:
        def gradient(channel):
            return problem.physics.adjoint(problem.physics.forward(channel) - problem.y)

        return gradient(x) if x.ndim == 2 else jax.vmap(gradient, in_axes=-1, out_axes=-1)(x)

    def _stretch(self, x: Array) -> Array:
        if not self.rescale:
            return x
        low, high = x.min(), x.max()
        return (x - low) / jnp.where(high > low, high - low, 1.0)

    def _target(self, problem: Problem, x: Array, number: Int[Array, ""], key: PRNGKey) -> Array:
        return self.denoised.target(x, self.denoised.init(problem), number, key)[0]

    def _before(self, problem: Problem, x: Array) -> Array:
        """D(x) outside of the iterations."""
        return self._target(problem, x, jnp.zeros((), jnp.int32), jax.random.key(0))

    def _alike(self, problem: Problem, x: Array) -> Float[Array, ""] | float:
        style, style_mask = problem.style, problem.style_mask
        if self.strictness is None or isinstance(style, tuple) or isinstance(style_mask, tuple):
            return 1.0
        return likeness(x if x.ndim == 2 else x[..., 0], problem.mask, style, style_mask, self.strictness)

    def _aligned(self, problem: Problem, x: Image) -> Image:
        style, style_mask = problem.style, problem.style_mask
        if self.endpoints is None or isinstance(style, tuple) or isinstance(style_mask, tuple):
            return x
        share = self.endpoints * self._alike(problem, x)
        return align_endpoints(x, problem.mask, style, style_mask, share, self.dark_tail)

    def _denoise(self, problem: Problem, x: Array, number: Int[Array, ""], key: PRNGKey) -> Array:
        if self.denoise == "start":
            return x
        if self.denoise == "every":
            return self._target(problem, x, number, key)
        return jax.lax.cond(number == 0, lambda x: self._target(problem, x, number, key), lambda x: x, x)

    def _chain(self, n: Array, targets) -> tuple[Array, tuple[Float[Array, " evaluations"], ...]]:
        images, losses, p = [], [], None
        for depth in self.depths:
            image, p, loss = self.style.stylise(n, targets, depth, p)
            images.append(image)
            losses.append(loss)
        return jnp.stack(images), tuple(losses)

    def _score(self, x: Array, targets) -> tuple[Array, Float[Array, ""]]:
        x = self._stretch(x)
        if self.refine == 0:
            return x, self.style.score(x, targets)
        image, _, losses = self.style.stylise(x, targets, self.refine)
        return image, losses[-1]
