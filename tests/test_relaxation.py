"""Relaxation times against the numbers of their sources."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnst_jax.physics import relaxation as r


@pytest.mark.parametrize(
    ("tissue", "field", "t1"),
    [
        # Bottomley et al. 1984: 0.00362 (4.2577e6 Hz)^0.3082 and 0.00152 (4.2577e6 Hz)^0.3477, worked out by hand
        ("grey", 0.1, 0.400),
        ("white", 0.1, 0.307),
        # Rooney et al. 2007: 0.857 B^0.376 and 0.583 B^0.382, by hand
        ("grey", 0.5, 0.660),
        ("white", 0.5, 0.447),
        ("grey", 1.5, 0.998),
        ("white", 1.5, 0.681),
        ("grey", 3.0, 1.295),
        ("white", 3.0, 0.887),
        # white matter as tabulated there
        ("white", 0.2, 0.361),
        ("white", 1.5, 0.656),
        ("white", 7.0, 1.220),
        # Wansapura et al. 1999
        ("grey", 3.0, 1.331),
        # O'Reilly and Webb 2022
        ("grey", 0.05, 0.327),
        ("white", 0.05, 0.275),
        ("csf", 0.05, 3.695),
        ("fat", 0.05, 0.130),
        # Campbell-Washburn et al. 2019, de Bazelaire et al. 2004
        ("fat", 0.55, 0.187),
        ("fat", 1.5, 0.343),
        ("fat", 3.0, 0.382),
        ("csf", 1.5, 4.3),
    ],
)
def test_t1_of_the_sources(tissue, field, t1):
    assert float(r.T1[tissue](field)) == pytest.approx(t1, rel=0.05)


@pytest.mark.parametrize(
    ("tissue", "field", "t2"),
    [
        # Bottomley et al. 1984, any frequency; Stanisz et al. 2005
        ("grey", 0.1, 0.101),
        ("white", 0.1, 0.092),
        ("grey", 0.5, 0.101),
        ("white", 0.5, 0.092),
        ("grey", 1.5, 0.095),
        ("white", 1.5, 0.072),
        ("grey", 3.0, 0.099),
        ("white", 3.0, 0.069),
    ],
)
def test_t2_of_the_sources(tissue, field, t2):
    assert float(r.T2[tissue](field)) == pytest.approx(t2, rel=0.05)


@pytest.mark.parametrize(("tissue", "field", "t1"), [("grey", 1.5, 0.921), ("white", 1.5, 0.787), ("fat", 1.5, 0.259)])
def test_bottomleys_own_table(tissue, field, t1):
    assert float(r.BOTTOMLEY_1984[tissue](field)) == pytest.approx(t1, rel=0.01)


@pytest.mark.parametrize(("tissue", "field", "t2_star"), [("grey", 1.5, 0.084), ("white", 1.5, 0.0662)])
def test_t2_star_between_its_anchor_and_low_field(tissue, field, t2_star):
    # Peters et al. 2007 at 1.5 T; the anchor is theirs at 3 T
    assert float(r.relaxation(tissue, field).t2_star) == pytest.approx(t2_star, rel=0.10)
    assert float(r.relaxation(tissue, 3.0).t2_star) == pytest.approx({"grey": 0.066, "white": 0.0532}[tissue], rel=0.01)
    low = r.relaxation(tissue, 0.05)
    assert 0.98 * low.t2 < low.t2_star < low.t2


def test_the_parts_of_a_joined_law_are_its_sources():
    fields = jnp.geomspace(0.5, 7.0, 20)
    for tissue in ("grey", "white"):
        np.testing.assert_allclose(r.T1[tissue](fields), r.ROONEY_2007[tissue](fields), rtol=1e-5)
        # at 0.05 T, measured in vivo, Bottomley's law is off by less than the tissues differ
        assert float(r.T1[tissue](0.05)) == pytest.approx(float(r.BOTTOMLEY_1984[tissue](0.05)), rel=0.15)


def test_t1_rises_with_the_field_and_grey_is_slower_than_white():
    fields = jnp.geomspace(0.05, 3.0, 200)
    for tissue in ("grey", "white", "fat"):
        assert bool(jnp.all(jnp.diff(r.T1[tissue](fields)) > 0))
    assert bool(jnp.all(r.T1["grey"](fields) > r.T1["white"](fields)))
    assert bool(jnp.all(r.T2["grey"](fields) > r.T2["white"](fields)))


@pytest.mark.parametrize("field", [0.04, 3.1, 0.0, -1.0, float("nan"), float("inf")])
def test_a_field_out_of_range_is_an_error(field):
    with pytest.raises(ValueError, match=r"field must be from 0\.05 to 3 T, not"):
        r.relaxation("white", field)


def test_out_of_range_is_nan_where_it_cannot_be_an_error():
    t1 = jax.jit(r.T1["white"])(jnp.array([0.04, 0.05, 7.0, 7.1]))
    assert np.isnan(t1).tolist() == [True, False, False, True]


def test_the_ends_of_the_range_survive_rounding():
    for law in (*r.T1.values(), r.T2["grey"], *r.BOTTOMLEY_1984.values()):
        ends = jnp.array(law.range, jnp.float32)
        np.testing.assert_allclose(law(ends), [law.seconds[0], law.seconds[-1]], rtol=1e-5)
    np.testing.assert_allclose(jax.jit(law)(ends), law(ends), rtol=1e-6)


def test_field_range_and_names():
    assert r.field_range() == (0.05, 3.0)
    assert set(r.T1) == set(r.T2) == set(r.PROTON_DENSITY) == set(r.DEPHASING) == set(r.TISSUES)
    with pytest.raises(ValueError, match="no tissue 'bone'; there are grey, white, csf, fat"):
        r.relaxation("bone", 1.5)


def test_a_new_field_compiles_nothing_and_has_a_gradient():
    run = jax.jit(lambda field: r.relaxation("grey", field).t1)
    run(0.3)
    run(1.5)
    assert run._cache_size() == 1
    slope = jax.grad(lambda field: r.T1["grey"](field))(1.5)
    assert float(slope) == pytest.approx(0.376 * 0.998 / 1.5, rel=0.01)
