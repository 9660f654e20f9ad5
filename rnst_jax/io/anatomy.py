"""Whole heads, or brains that were cut out of them: what the content and the style show, told or found."""

import numpy as np
from jaxtyping import Bool, Float

ANATOMIES = ("auto", "head", "brain")
_SHOWN = {True: "whole heads", False: "a brain without its scalp"}


def has_scalp(stack: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"], anatomy: str = "auto") -> bool:
    """Whether a scan shows whole heads: as the user says, or by `rnst_jax.scalp.whole_heads`.

    Args:
        stack: its slices in the file's units.
        masks: the heads in them.
        anatomy: one of `ANATOMIES`.

    Examples:
        >>> has_scalp(np.zeros((1, 4, 4)), np.ones((1, 4, 4), bool), "head")
        True
    """
    if anatomy != "auto":
        return anatomy == "head"
    from rnst_jax.scalp import whole_heads  # brings JAX, for which a refusal must not wait

    return whole_heads(stack, masks)


def warnings(name: str, content: bool, style_name: str, style: bool) -> tuple[str, ...]:
    """What the user should know where content and style do not show the same.

    Examples:
        >>> warnings("a.nii", True, "b.nii", True)
        ()
    """
    if content == style:
        return ()
    return (
        f"{name}: shows {_SHOWN[content]}, it seems, and the style {style_name} {_SHOWN[style]}; give a style that "
        "shows the same, or say what both are with --anatomy",
    )
