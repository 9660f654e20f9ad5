"""How large programs are compiled."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax

QUICK = {"xla_gpu_enable_triton_gemm": False}
"""Options of XLA for GPUs. Without them it makes and times some 270 Triton kernels for the matrix products of a
reconstruction, one after the other: on an H200 compiling took 46 s in place of 9 s, and the program was 6 % faster."""


def compiler(
    function: Callable[..., Any], static: tuple[str, ...], options: Mapping[str, Any] = QUICK
) -> Callable[..., Any]:
    """A function that compiles another one for arguments like those that it is given; on GPUs with `QUICK`.

    JAX keeps what was compiled: the same shapes and sizes cost nothing the second time.

    Args:
        function: without jit.
        static: names of its static arguments.
        options: of XLA on GPUs. Those that this version of XLA does not know are left out with a warning.

    Returns:
        From (\\*arguments, \\*\\*static arguments) to the compiled program, which takes the arguments.

    Examples:
        >>> import jax.numpy as jnp
        >>> compiler(lambda x, *, n: n * x, ("n",))(jnp.ones(2), n=3)(jnp.ones(2)).tolist()
        [3.0, 3.0]
    """
    plain = jax.jit(function, static_argnames=static)
    on_gpu = jax.jit(function, static_argnames=static, compiler_options=dict(options))

    def compiled(*arguments: Any, **sizes: Any) -> Any:
        if jax.default_backend() == "gpu":
            try:
                return on_gpu.lower(*arguments, **sizes).compile()
            except jax.errors.JaxRuntimeError as error:
                if "No such compile option" not in str(error):
                    raise
                warnings.warn(f"compiling takes longer than it need: {error}", stacklevel=2)
        return plain.lower(*arguments, **sizes).compile()

    return compiled
