"""Losses, step rules and parametrisations of the style engine against small NumPy transcriptions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rnst_jax.style import (
    Adam,
    IntensityMap,
    MultiscaleLbfgs,
    OptaxLbfgs,
    Pixels,
    StyleLoss,
    TorchLbfgs,
    gram,
    minimise,
    multiscale,
    torch_lbfgs,
)
from rnst_jax.style.losses import absolute

from .phantoms import head
from .tables import SHALLOW, shallow

RNG = np.random.default_rng(0)


class TestGram:
    f = RNG.standard_normal((6, 5, 3)).astype(np.float32)

    def test_is_the_matrix_of_inner_products(self):
        flat = self.f.reshape(30, 3).astype(np.float64)
        np.testing.assert_allclose(gram(self.f), flat.T @ flat / (3 * 30), rtol=1e-5, atol=1e-7)

    def test_masked(self):
        mask = RNG.random((6, 5)).astype(np.float32)
        flat = self.f.reshape(30, 3).astype(np.float64)
        expected = flat.T @ (mask.reshape(30, 1) * flat) / (3 * mask.sum())
        np.testing.assert_allclose(gram(self.f, mask), expected, rtol=1e-5, atol=1e-7)

    def test_a_mask_of_a_rectangle_is_a_crop(self):
        mask = np.zeros((6, 5), np.float32)
        mask[1:5, 2:4] = 1
        np.testing.assert_allclose(gram(self.f, mask), gram(self.f[1:5, 2:4]), rtol=1e-5, atol=1e-7)

    def test_a_mask_of_ones_changes_nothing(self):
        np.testing.assert_allclose(gram(self.f, np.ones((6, 5), np.float32)), gram(self.f), rtol=1e-6)

    def test_its_gradient_is_that_of_the_formula(self):
        rng = np.random.default_rng(3)
        f, mask, direction = rng.standard_normal((4, 5, 3)), rng.random((4, 5)), rng.standard_normal((3, 3))

        def formula(f, mask):
            return jnp.einsum("hwi,hwj,hw->ij", f, f, mask) / (3 * mask.sum())

        def slope(function):
            return jax.grad(lambda f, mask: jnp.sum(direction * function(f, mask)), (0, 1))

        arguments = jnp.asarray(f, jnp.float32), jnp.asarray(mask, jnp.float32)
        for found, expected in zip(slope(gram)(*arguments), slope(formula)(*arguments), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)
        found, expected = (
            jax.grad(lambda f, g=g: jnp.sum(direction * g(f)))(arguments[0])
            for g in (gram, lambda f: formula(f, jnp.ones(f.shape[:2])))
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_an_empty_mask_gives_zeros(self):
        assert not gram(self.f, np.zeros((6, 5), np.float32)).any()

    def test_halves_are_accumulated_in_float32(self):
        assert gram(jnp.full((64, 64, 2), 0.1, jnp.bfloat16)).dtype == jnp.float32


def test_masked_features_are_those_of_the_cropped_image():
    # conv1_1 sees one pixel beyond its own, so the mask stays one pixel inside the crop; both sides then agree.
    image = jnp.asarray(RNG.random((20, 24)), jnp.float32)
    mask = jnp.zeros((20, 24)).at[5:14, 6:17].set(1.0)
    inner = jnp.ones((11, 13)).at[jnp.array([0, -1])].set(0).at[:, jnp.array([0, -1])].set(0)
    loss = StyleLoss(style_taps=("conv1_1",), content_taps=("conv1_1",))
    whole = loss.targets(shallow(), image, image, mask, mask).grams["conv1_1"]
    cropped = loss.targets(shallow(), image[4:15, 5:18], image[4:15, 5:18], inner, inner).grams["conv1_1"]
    np.testing.assert_allclose(whole, cropped, rtol=1e-4, atol=1e-6)


class TestStyleLoss:
    x, y, s = (jnp.asarray(RNG.random((16, 18)), jnp.float32) for _ in range(3))

    def transcription(self, distance):
        """The sums in NumPy, from the extractor's features."""
        f, fy, fs = (
            {
                tap: np.asarray(v[0], np.float64)
                for tap, v in shallow()(i[None, ..., None], ("conv1_1", "conv1_2")).items()
            }
            for i in (self.x, self.y, self.s)
        )

        def g(f):
            flat = f.reshape(-1, f.shape[-1])
            return flat.T @ flat / flat.size

        measure = np.abs if distance == "l1" else np.square
        style = sum(measure(g(f[tap]) - g(fs[tap])).mean() for tap in f)
        return 30 * style + 2 * measure(f["conv1_2"] - fy["conv1_2"]).mean()

    @pytest.mark.parametrize("distance", ["l1", "l2"])
    def test_is_its_formula(self, distance):
        loss = StyleLoss(30.0, 2.0, distance=distance, **SHALLOW)
        found = loss(shallow(), self.x, loss.targets(shallow(), self.y, self.s))
        np.testing.assert_allclose(found, self.transcription(distance), rtol=1e-4)

    def test_smoothing_goes_to_the_published_loss(self):
        values = []
        for smoothing in (0.3, 0.03, 0.003, 0.0):
            loss = StyleLoss(30.0, 2.0, smoothing, **SHALLOW)
            values.append(loss(shallow(), self.x, loss.targets(shallow(), self.y, self.s)).item())
        assert values == sorted(values)
        np.testing.assert_allclose(values[-2], values[-1], rtol=1e-2)

    def test_no_gradient_at_the_target(self):
        # In one program, features and targets are equal to the last bit, so that the kink of the L1 loss has none.
        def run(x, y):
            loss = StyleLoss(style_weight=0.0, **SHALLOW)
            return jax.value_and_grad(lambda x: loss(shallow(), x, loss.targets(shallow(), y, self.s)))(x)

        values, gradients = jax.jit(jax.vmap(run))(jnp.stack([self.y, self.x]), jnp.stack([self.y, self.y]))
        assert values[0] == 0
        assert not gradients[0].any()
        assert values[1] > 0
        assert gradients[1].any()

    def test_nan_is_not_swallowed(self):
        loss = StyleLoss(30.0, 2.0, **SHALLOW)
        targets = loss.targets(shallow(), self.y, self.s)
        assert jnp.isnan(loss(shallow(), self.x.at[3, 3].set(jnp.nan), targets))
        targets = loss.targets(shallow(), self.y.at[3, 3].set(jnp.nan), self.s)
        assert jnp.isnan(loss(shallow(), self.x, targets))


def test_absolute():
    d = jnp.array([-2.0, -1e-3, 0.0, 1e-3, 2.0])
    np.testing.assert_allclose(absolute(d, 0.0), jnp.abs(d), rtol=1e-6)
    np.testing.assert_allclose(absolute(d, 1.0), np.sqrt(np.asarray(d) ** 2 + 1) - 1, atol=1e-7)
    np.testing.assert_allclose(jax.vmap(jax.grad(absolute), (0, None))(d, 0.0), [-1, -1, 0, 1, 1], atol=1e-6)
    assert jax.grad(absolute, 1)(0.0, 0.1) == 0


def torch_rule(gradient, x, steps, rate, history):
    """The fixed-step rule of torch.optim.LBFGS, transcribed from its description with lists of pairs."""
    pairs, scale, path = [], 1.0, []
    step = last_gradient = 0 * x
    for k in range(steps):
        g = gradient(x)
        if k:
            y = g - last_gradient
            if y @ step > 1e-10:
                pairs = [*pairs, (step, y)][-history:]
                scale = (y @ step) / (y @ y)
        q, weights = g.copy(), []
        for s, y in reversed(pairs):
            weights.append((s @ q) / (y @ s))
            q -= weights[-1] * y
        q *= scale
        for (s, y), weight in zip(pairs, reversed(weights), strict=True):
            q += (weight - (y @ q) / (y @ s)) * s
        step = -rate * (min(1.0, 1 / np.abs(g).sum()) if k == 0 else 1.0) * q
        if -(g @ q) > -1e-9:
            step = 0 * q
        x, last_gradient = x + step, g
        path.append(x)
    return np.array(path)


def run(optimiser, gradient, x, steps):
    state, path = optimiser.init(x), []
    update = jax.jit(optimiser.update)
    for _ in range(steps):
        updates, state = update(gradient(x), state, x)
        x = optax.apply_updates(x, updates)
        path.append(x)
    return np.array(path)


class TestTorchLbfgs:
    a = np.diag(np.arange(1.0, 7.0)) + 0.3 * np.ones((6, 6))
    x0 = np.array([3.0, -2.0, 1.0, 0.5, -1.5, 2.5])

    @staticmethod
    def wavy(x):
        """A gradient with curvature of both signs, so that some pairs are refused."""
        return 0.2 * x + np.sin(3 * x)

    @pytest.mark.parametrize("history", [2, 100])
    @pytest.mark.parametrize("rate", [0.4, 1.0])
    def test_is_its_rule_on_a_quadratic(self, rate, history):
        expected = torch_rule(lambda x: self.a @ x, self.x0, 12, rate, history)
        with jax.enable_x64(True):
            a, x0 = jnp.asarray(self.a), jnp.asarray(self.x0)
            found = run(torch_lbfgs(rate, history), lambda x: a @ x, x0, 12)
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_is_its_rule_where_pairs_are_refused(self):
        expected = torch_rule(self.wavy, self.x0, 10, 0.4, 3)
        with jax.enable_x64(True):
            found = run(torch_lbfgs(0.4, 3), lambda x: 0.2 * x + jnp.sin(3 * x), jnp.asarray(self.x0), 10)
        np.testing.assert_allclose(found, expected, atol=1e-9)

    @pytest.mark.parametrize("history", [2, 100])
    def test_is_torch(self, history):
        torch = pytest.importorskip("torch")
        x = torch.tensor(self.x0, requires_grad=True)
        a, path = torch.tensor(self.a), []
        optimiser = torch.optim.LBFGS([x], lr=0.4, max_iter=1, history_size=history)

        def closure():
            optimiser.zero_grad()
            loss = x @ a @ x / 2 + torch.cos(2 * x).sum()
            loss.backward()
            return loss

        for _ in range(12):
            optimiser.step(closure)
            path.append(x.detach().numpy().copy())
        with jax.enable_x64(True):
            a = jnp.asarray(self.a)
            ours = run(
                torch_lbfgs(0.4, history), lambda x: (a + a.T) @ x / 2 - 2 * jnp.sin(2 * x), jnp.asarray(self.x0), 12
            )
        np.testing.assert_allclose(ours, path, atol=1e-9)

    def test_at_a_minimum_it_stays(self):
        assert (run(torch_lbfgs(), lambda x: 0 * x, jnp.ones(3), 3) == 1).all()

    def test_any_tree(self):
        x = {"a": jnp.ones((2, 2)), "b": jnp.ones(3)}
        found, losses = minimise(
            lambda x: jnp.sum(x["a"] ** 2) + 3 * jnp.sum(x["b"] ** 2), x, torch_lbfgs(1.0), 20, project=lambda x: x
        )
        assert jax.tree.map(jnp.shape, found) == {"a": (2, 2), "b": (3,)}
        assert losses[-1] < 1e-6


class TestMinimise:
    def test_losses_are_those_before_each_step(self):
        x, losses = minimise(lambda x: jnp.sum((x - 2) ** 2), jnp.array([0.5]), optax.sgd(0.1), 3)
        # 0.5, then 0.8, then 1.04, which is clipped to 1; the end is clipped too
        np.testing.assert_allclose(losses, [2.25, 1.44, 1.0], rtol=1e-6)
        assert x.item() == 1

    def test_report_is_called_once_per_evaluation(self):
        seen = []
        _, losses = minimise(
            lambda x: jnp.sum(x**2),
            jnp.ones(2),
            optax.sgd(0.1),
            5,
            report=lambda n, loss: seen.append((n, float(loss))),
        )
        jax.effects_barrier()
        assert sorted(seen, reverse=True) == [(1, float(loss)) for loss in losses]

    @pytest.mark.parametrize(
        "rule",
        [
            Adam(0.02),
            Adam(0.02, factors=(1, 4)),
            MultiscaleLbfgs(),
            TorchLbfgs(),
            OptaxLbfgs(),
            OptaxLbfgs(linesearch=True),
        ],
        ids=lambda rule: f"{type(rule).__name__} {'' if not rule.__dict__.get('factors') else 'multiscale'}",
    )
    def test_every_rule_lowers_the_loss(self, rule):
        # another contrast is far from the start: close to it, fixed steps on the published loss go up first
        (y, _), (s, _) = head(32, "T1w", 0), head(32, "T2w", 1)
        loss = StyleLoss(5000.0, 1.0, 0.1, **SHALLOW)
        targets = loss.targets(shallow(), y, s)
        x, losses = jax.jit(
            lambda rule: minimise(lambda x: loss(shallow(), x, targets), jnp.asarray(y), rule.build(30), 30)
        )(rule)
        assert x.min() >= 0
        assert x.max() <= 1
        assert losses.shape == (30,)
        assert losses[-1] < 0.7 * losses[0]


class TestMultiscale:
    shape = (9, 14)

    def test_one_scale_is_the_plain_rule(self):
        gradient = jax.grad(lambda x: jnp.sum(jnp.cos(3 * x)))
        x = jnp.asarray(RNG.random(self.shape), jnp.float32)
        plain, wrapped = (run(rule, gradient, x, 5) for rule in (optax.adam(0.1), multiscale(optax.adam(0.1), (1,))))
        np.testing.assert_allclose(wrapped, plain, atol=1e-6)

    @pytest.mark.parametrize("factors", [(1, 2), (2, 4), (1, 3, 32)])
    def test_is_descent_on_its_levels(self, factors):
        # With plain gradient steps the update is -sum_f U_f U_f^T g, U_f as a matrix.
        expected = np.zeros(self.shape)
        g = RNG.standard_normal(self.shape).astype(np.float32)
        for f in factors:
            level = tuple(-(-n // f) for n in self.shape)
            basis = np.eye(int(np.prod(level)), dtype=np.float32).reshape(-1, *level)
            enlarge = jax.vmap(lambda z: jax.image.resize(z, self.shape, "linear", antialias=False))
            u = np.asarray(enlarge(basis)).reshape(len(basis), -1)
            expected -= (u.T @ (u @ g.ravel())).reshape(self.shape)
        rule = multiscale(optax.sgd(1.0), factors)
        updates, _ = rule.update(jnp.asarray(g), rule.init(jnp.zeros(self.shape)))
        np.testing.assert_allclose(updates, expected, rtol=1e-3, atol=1e-3)

    def test_channels(self):
        rule, g = multiscale(optax.sgd(1.0), (1, 2)), jnp.asarray(RNG.random((8, 8, 3)), jnp.float32)
        colour, _ = rule.update(g, rule.init(g))
        grey, _ = rule.update(g[..., 1], rule.init(g[..., 1]))
        np.testing.assert_allclose(colour[..., 1], grey, atol=1e-5)


class TestIntensityMap:
    family = IntensityMap(stiffness=1.0, knots=9)
    ramp = jnp.linspace(0, 1, 101).reshape(1, -1)

    @pytest.mark.parametrize("knots", [2, 5, 16, 33])
    def test_starts_as_the_identity(self, knots):
        family = IntensityMap(knots=knots)
        p = family.start(self.ramp)
        assert p.shape == (knots,)
        np.testing.assert_allclose(family.render(p, self.ramp), self.ramp, atol=1e-6)
        np.testing.assert_array_equal(family.project(p), p)
        assert dataclasses.replace(family, stiffness=1.0).penalty(p) == 0

    @pytest.mark.parametrize("seed", range(5))
    def test_rises_within_the_unit_interval(self, seed):
        p = jnp.asarray(np.random.default_rng(seed).normal(0.5, 2, 9), jnp.float32)
        for parameters in (p, self.family.project(p)):
            image = self.family.render(parameters, self.ramp)
            assert (jnp.diff(image) >= -1e-6).all()
            assert image.min() >= 0
            assert image.max() <= 1

    def test_is_the_integral_of_its_slopes(self):
        p = jnp.array([0.1, 0.5, 2.0, 0.0, 0.3])
        found = IntensityMap(knots=5).render(p, self.ramp)
        heights = 0.1 + np.concatenate([[0], np.cumsum([0.5, 2.0, 0.0, 0.3])]) / 4
        np.testing.assert_allclose(found[0], np.interp(self.ramp[0], np.linspace(0, 1, 5), heights), atol=1e-6)

    def test_penalty(self):
        slopes = np.array([1.0, 2.0, 1.5, 1.0])
        expected = 3 * (np.mean(np.diff(slopes) ** 2) + np.mean((slopes - 1) ** 2) / 10)
        found = IntensityMap(stiffness=3.0, knots=5).penalty(jnp.array([0.7, *slopes]))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pixels_are_free_in_the_unit_interval():
    n = jnp.array([[0.2, 0.9]])
    family = Pixels()
    assert family.start(n) is n
    np.testing.assert_array_equal(family.project(jnp.array([[-1.0, 2.0]])), [[0, 1]])
    np.testing.assert_array_equal(family.render(jnp.array([[0.3, 0.4]]), n), jnp.array([[0.3, 0.4]]))
    assert family.penalty(n) == 0
