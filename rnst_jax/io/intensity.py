"""One contract for intensity: solvers see [0, 1], files keep their own units."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The affine map between a volume's units and [0, 1]:  apply(x) = clip((x - lo) / (hi - lo), 0, 1).

    Attributes:
        lo: the intensity that becomes 0.
        hi: the intensity that becomes 1.

    Examples:
        >>> Scaling(10.0, 30.0).apply(np.array([0.0, 20.0, 99.0])).tolist()
        [0.0, 0.5, 1.0]
        >>> Scaling(10.0, 30.0).invert(np.array([0.5])).tolist()
        [20.0]
    """

    lo: float
    hi: float

    def apply(self, image: np.ndarray) -> Float[np.ndarray, "..."]:
        """From the volume's units to [0, 1], float32."""
        scaled = (np.asarray(image, dtype=np.float64) - self.lo) / (self.hi - self.lo)
        return np.clip(scaled, 0, 1).astype(np.float32)

    def invert(self, image: np.ndarray) -> Float[np.ndarray, "..."]:
        """From [0, 1] back to the volume's units, float32: what ``apply`` clipped stays clipped."""
        return (np.asarray(image, dtype=np.float64) * (self.hi - self.lo) + self.lo).astype(np.float32)


def robust_scaling(
    stack: Float[np.ndarray, "n height width"],
    masks: Bool[np.ndarray, "n height width"],
    low: float = 0.5,
    high: float = 99.95,
) -> Scaling:
    """The scaling of a volume by percentiles inside its head masks, taken together.

    One scaling for all slices keeps their brightness relative to each other. The lower bound is the median of air, or
    the low percentile of the head where that is darker. Neither zero nor the minimum would do: at low field air is a
    pedestal of noise, and single voxels ring below it. The percentile alone would not do either: in a head without a
    skull (stripped) it is the darkest brain, which must not become as black as air.

    Args:
        stack: (n, H, W).
        masks: the heads in it; where all are empty, or hold one value only, the whole stack is taken.
        low: percentile of the head that maps to 0, unless air is darker.
        high: percentile of the head that maps to 1. So high that only spikes are clipped: with one scaling for all
            slices a lower one would take the scalp's fat off the brightest slices.

    Raises:
        ValueError: all values are the same.
    """
    for head, air in (
        (stack[masks], stack[~masks]),
        (stack, stack[:0]),
        (np.array([stack.min(), stack.max()]), stack[:0]),
    ):
        if head.size:
            lo, hi = (float(value) for value in np.percentile(head.astype(np.float64), (low, high)))
            lo = min(lo, float(np.median(air))) if air.size else lo
            if hi > lo:
                return Scaling(lo, hi)
    raise ValueError("a constant volume cannot be scaled")
