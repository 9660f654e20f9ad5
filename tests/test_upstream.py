"""One outer iteration of mode "upstream" against the PyTorch oracle (golden arrays), shortened as their script says.

Fixed-step L-BFGS on L1 losses is chaotic: in float32, two correct programs drift apart by 1e-3 within some ten
evaluations and by some percent later. So parity of the algorithm is tested in float64, where the drift stays near 1e-11
over the whole run, and float32 is held to its first evaluations.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax import features, presets
from rnst_jax.physics import Identity
from rnst_jax.types import Problem

from .golden_files import golden

FILE = golden("upstream.npz")
# the script's depths of 20 mean 40 evaluations, as the published 500 means 520
CONFIG = dataclasses.replace(presets.get("upstream"), denoiser="identity", depths=(40, 40, 40), steps=1)


def solver_and_problem(config, dtype):
    extractor = jax.tree.map(lambda a: a.astype(dtype), features.load("vgg16"))
    y, style = (jnp.asarray(FILE[name], dtype) for name in ("content", "style"))
    return presets.build(config, extractor), Problem(y, style, None, None, Identity(), 0.05)


@jax.jit
def trials(solver, problem):
    return solver.trials(problem, solver.init(problem, problem.y), jnp.zeros((), int), jax.random.key(0))


def off(found, expected):
    """The largest relative difference."""
    return np.abs(np.asarray(found) / expected - 1).max()


@pytest.fixture(scope="module")
def double():
    """The chain and the candidates of one outer iteration in float64, not refined."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, trials(*solver_and_problem(dataclasses.replace(CONFIG, refine=0), jnp.float64)))


def test_the_losses_in_float64(double):
    losses = np.stack(double.losses)
    assert losses.dtype == np.float64
    # the requirement is 1e-3 for the first 20; every link of the chain holds much more
    assert off(losses, FILE["float64/chain_losses"]) < 1e-8


def test_the_pick(double):
    # Scored in float32, which is twice as fast: the golden pick was chosen to survive what 20 evaluations drift.
    solver, problem = solver_and_problem(CONFIG, jnp.float32)
    candidates = jnp.asarray(double.candidates, jnp.float32)

    @jax.jit
    def score(solver, problem, candidates):
        targets = solver.init(problem, problem.y).aux
        return jax.vmap(lambda x: solver._score(x, targets))(candidates)

    _, scores = score(solver, problem, candidates)
    assert off(scores.reshape(5, 3), FILE["float64/scores"]) < 0.05
    assert scores.argmin() == FILE["float64/winner"] == FILE["winner"]


def test_the_first_losses_in_float32():
    found = trials(*solver_and_problem(dataclasses.replace(CONFIG, depths=(12,), candidates=1, refine=1), jnp.float32))
    assert off(found.losses[0][:8], FILE["losses"][:8]) < 1e-4
    assert off(found.losses[0], FILE["losses"][:12]) < 1e-2


@pytest.mark.parametrize(("preset", "dtype"), [("upstream", jnp.float32), ("paper", jnp.float32)])
def test_the_content_loss_is_exactly_zero_at_its_target(preset, dtype):
    # At its kink the L1 loss has no gradient only if targets and features are equal to the last bit.
    config = dataclasses.replace(presets.get(preset), denoiser="identity", depths=(2,), candidates=1, refine=0)
    solver, problem = solver_and_problem(dataclasses.replace(config, style_weight=0.0), dtype)
    found = trials(solver, problem)
    assert found.losses[0].tolist() == [0, 0]
    np.testing.assert_allclose(found.images[0], solver._colour(problem.y), atol=1e-7)
