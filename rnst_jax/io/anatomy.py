"""Whole heads, or brains that were cut out of them: what the content and the style show, told or found."""

import numpy as np
from jaxtyping import Bool, Float

ANATOMIES = ("auto", "head", "brain")
_SHOWN = {True: "whole heads", False: "a brain without its scalp"}


def has_scalp(stack: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n h w"], shows: str = "auto") -> bool:
    """Whether a scan shows whole heads: as the user says, or by `rnst_jax.scalp.whole_heads`.

    Args:
        stack: its slices in the file's units.
        masks: the heads in them.
        shows: one of `ANATOMIES`: what the user says.

    Examples:
        >>> has_scalp(np.zeros((1, 4, 4)), np.ones((1, 4, 4), bool), "head")
        True
    """
    if shows != "auto":
        return shows == "head"
    from rnst_jax.scalp import whole_heads  # brings JAX, for which a refusal must not wait

    return whole_heads(stack, masks)


def warnings(
    content: Float[np.ndarray, "n h w"],
    masks: Bool[np.ndarray, "n h w"],
    scalp: tuple[bool, bool],
    names: tuple[str, str],
) -> tuple[str, ...]:
    """What the user should know where content and style do not show the same.

    A brain with noise around it, simulated say, is no whole head: it takes a skull in a content to contradict a style.

    Args:
        content: its slices in the file's units.
        masks: the heads in them.
        scalp: `has_scalp` of content and style.
        names: of their files.

    Examples:
        >>> warnings(np.zeros((1, 4, 4)), np.ones((1, 4, 4), bool), (True, True), ("a.nii", "b.nii"))
        ()
    """
    from rnst_jax.scalp import shows_scalp  # brings JAX, for which a refusal must not wait

    if scalp[0] == scalp[1] or (scalp[0] and not shows_scalp(content, masks)):
        return ()
    shown = [_SHOWN[has] for has in scalp]
    return (
        f"{names[0]}: shows {shown[0]}, it seems, and the style {names[1]} {shown[1]}; give a style that shows the "
        "same, or say what both are with --anatomy",
    )
