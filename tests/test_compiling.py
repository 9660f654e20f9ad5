"""Options of XLA for programs on GPUs; here the CPU says that it is one."""

import warnings

import jax
import jax.numpy as jnp
import pytest

from rnst_jax import compiling


def times(x, *, n):
    return n * x


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def test_a_gpu_gets_options_that_this_xla_knows(gpu):
    compiled = compiling.compiler(times, ("n",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second, third = (compiled(jnp.ones(2), n=n) for n in (3, 3, 4))
    assert first(jnp.ones(2)).tolist() == [3, 3]
    assert first.runtime_executable() is second.runtime_executable(), "compiled twice"
    assert third(jnp.ones(2)).tolist() == [4, 4]


def test_options_that_xla_has_lost_are_left_out_and_told(gpu):
    compiled = compiling.compiler(times, ("n",), {"xla_gpu_no_such_thing": True})
    with pytest.warns(UserWarning, match="longer than it need.*xla_gpu_no_such_thing"):
        assert compiled(jnp.ones(2), n=3)(jnp.ones(2)).tolist() == [3, 3]


def test_other_devices_get_none():
    compiled = compiling.compiler(times, ("n",), {"xla_gpu_no_such_thing": True})
    assert compiled(jnp.ones(2), n=3)(jnp.ones(2)).tolist() == [3, 3]


def test_other_failures_are_not_swallowed(gpu):
    def broken(x):
        raise jax.errors.JaxRuntimeError("INTERNAL: out of something")

    with pytest.raises(jax.errors.JaxRuntimeError, match="out of something"):
        compiling.compiler(broken, ())(jnp.ones(2))
