"""What `reconstruct` refuses before anything is compiled."""

import dataclasses

import jax
import numpy as np
import pytest

import rnst_jax as rnst
from rnst_jax.preparation import prepare
from tests.phantoms import head

Y = np.stack([head(48)[0]] * 2).astype(np.float32)
MASK = np.stack([head(48)[1]] * 2).astype(np.float32)
FULL = (2, 48, 48)
WHITENED = dataclasses.replace(rnst.presets.get("fast"), native=2.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": np.ones((3, 48, 48))}, "style has 3 images for a batch of 2"),
        ({"style": np.ones((48, 48))}, r"style must be \(batch, height, width\), not \(48, 48\)"),
        ({"mask": MASK[:, :40]}, r"mask has \(40, 48\) pixels for images of \(48, 48\)"),
        ({"mask": np.repeat(MASK, 2, 0)}, "mask has 4 images for a batch of 2"),
        ({"style_mask": MASK[:, :40]}, r"style_mask has \(40, 48\) pixels for images of \(48, 48\)"),
        ({"rim": np.zeros((1, 48, 48))}, r"rim must be \(2, 48, 48\), not \(1, 48, 48\)"),
        ({"x0": Y[0]}, r"x0 must be \(2, 48, 48\), not \(48, 48\)"),
        ({"field": np.ones((3, 48, 48))}, r"field must be \(2, 48, 48\) or \(1, 48, 48\), not \(3, 48, 48\)"),
        ({"field": np.zeros(FULL)}, "field must be above 0 everywhere"),
        ({"field": np.full(FULL, np.nan)}, "field must be above 0 everywhere"),
        ({"edges": np.ones(3), "preset": WHITENED}, r"edges must be two numbers, .* not of shape \(3,\)"),
        ({"chunk": 0}, "chunk must be 1 or more, not 0"),
    ],
)
def test_arrays_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        prepare(Y, **({"style": Y, "mask": MASK, "style_mask": MASK} | options))


def test_one_of_each_serves_a_batch():
    found = prepare(Y, Y[:1], mask=MASK[:1], style_mask=MASK[:1], field=np.ones((1, 48, 48)), chunk=5)
    assert {leaf.shape[:1] for leaf in jax.tree.leaves(found.batch)} == {(2,)}
    assert found.sizes["chunk"] == 2
