"""What a high-field scan would look like at another field: contrast, resolution and noise in one call.

The parts are in `rnst_jax.physics.relaxation` (T1, T2 and proton density against the field),
`rnst_jax.physics.signal` (signal equations), `rnst_jax.physics.contrast` (from one contrast to another) and
`rnst_jax.physics.scanner` (k-space truncation, interference, noise, SNR).
"""

from collections.abc import Mapping

from jaxtyping import Array

from rnst_jax.physics import contrast as contrasts
from rnst_jax.physics.scanner import acquire
from rnst_jax.physics.signal import Sequence, SpinEcho, SpoiledGradientEcho
from rnst_jax.types import Image, PRNGKey, Scalar

CONTRASTS: dict[str, Sequence] = {
    "T1w": SpoiledGradientEcho(tr=0.022, te=0.009, flip=30.0),
    "T2w": SpinEcho(tr=4.0, te=0.1),
}
"""Sequences by name: usual ones for a head, the same at every field."""


def sequence_of(contrast: str | Sequence) -> Sequence:
    """A sequence of `CONTRASTS` by its name; a sequence is returned as it is.

    Raises:
        ValueError: no such name.

    Examples:
        >>> sequence_of("T2w").te
        0.1
    """
    if not isinstance(contrast, str):
        return contrast
    if contrast not in CONTRASTS:
        raise ValueError(f"no contrast '{contrast}'; there are {', '.join(CONTRASTS)}")
    return CONTRASTS[contrast]


def at_field(
    image: Array,
    *,
    field: Scalar,
    from_field: Scalar = 3.0,
    contrast: str | Sequence = "T1w",
    from_contrast: str | Sequence | None = None,
    maps: Mapping[str, Array] | None = None,
    centres: Array | None = None,
) -> Array:
    """The contrast of another field, without loss of resolution or noise.

    With tissue maps every voxel is scaled by the ratio of the signals that its tissues give at the two fields
    (`rnst_jax.physics.contrast.by_maps`). Without, intensities are sorted into CSF, grey and white matter, and the
    ratios make a smooth rising map of intensities (`rnst_jax.physics.contrast.by_intensity`): a good approximation for
    a brain, a rough one where scalp and bone are in the picture, for they are taken for tissues of the brain.
    The tissue that was brightest keeps its brightness; SNR is not this function's matter.

    Args:
        image: a magnitude image in [0, 1] with air near 0, any shape.
        field: B0 to go to, in T; 0.05 to 3.
        from_field: B0 of the image, in T; 0.05 to 3.
        contrast: a name in `CONTRASTS` or a sequence (`rnst_jax.physics.signal`).
        from_contrast: the sequence that the image was taken with; by default the same.
        maps: tissue (grey, white, csf, fat) to volume fraction in [0, 1], of the image's shape.
        centres: intensities of the three tissues, rising, where they are known better than from this image alone
            (from the whole volume, say); only without maps.

    Returns:
        The shape and dtype of the image.

    Raises:
        ValueError: a field or a sequence's parameter is out of its range, or the image's sequence gives a tissue no
            signal or (without maps) two tissues the same. Fields that JAX traces are not checked; outside of the
            range they give NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> brain = jnp.array([[0.3, 0.7, 0.95]])  # CSF, grey, white matter
        >>> [round(x, 2) for x in at_field(brain, field=0.055, centres=brain[0])[0].tolist()]
        [0.13, 0.84, 0.95]
    """
    tissues, fractions = (contrasts.BRAIN, None) if maps is None else contrasts.stacked(maps)
    sequence = sequence_of(contrast)
    source = sequence if from_contrast is None else sequence_of(from_contrast)
    before, after = contrasts.signals(source, from_field, tissues), contrasts.signals(sequence, field, tissues)
    contrasts.check_start(before, tissues, distinct=fractions is None)
    if fractions is not None:
        return contrasts.by_maps(image, fractions, before, after)
    centres = contrasts.tissue_centres(image) if centres is None else centres
    return contrasts.by_intensity(image, centres, before, after)


def low_field(
    image: Image,
    key: PRNGKey,
    *,
    field: Scalar = 0.055,
    from_field: Scalar = 3.0,
    contrast: str | Sequence = "T1w",
    from_contrast: str | Sequence | None = None,
    maps: Mapping[str, Array] | None = None,
    centres: Array | None = None,
    keep: Scalar | tuple[Scalar, Scalar] = 0.5,
    taper: Scalar = 0.0,
    noise: Scalar = 0.06,
    coils: int = 1,
    emi: Scalar = 0.0,
) -> Image:
    """A slice as a scanner of another field would show it: `at_field`, then `rnst_jax.physics.scanner.acquire`.

    Pure and jittable; only the shape, ``coils`` and which tissues have maps are compiled in.

    Args:
        image: magnitude, (H, W), in [0, 1].
        key: random numbers for noise and interference; the same key gives the same scan.
        field: see `at_field`, as are the next five.
        from_field: B0 of the image.
        contrast: a name or a sequence.
        from_contrast: the image's own sequence.
        maps: tissue maps.
        centres: intensities of the tissues.
        keep: acquired share of k-space along columns and rows, above 0 and at most 1 (pixels 1 / keep as wide).
        taper: of the window in k-space, 0 (rectangle) to 1 (Hann).
        noise: standard deviation of real and imaginary part per pixel and coil, in units of the image. What a lower
            field would give by itself follows from `rnst_jax.physics.scanner.snr_ratio`.
        coils: receiver coils, combined by root sum of squares: 1 gives Rician noise, more non-central chi.
        emi: strength of an interfering tone.

    Returns:
        (H, W), not negative, about [0, 1]; air has the mean of the noise.

    Raises:
        ValueError: a number is out of its range (see `at_field`), eagerly only.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> low_field(jnp.eye(16), jax.random.key(0), contrast="T2w", field=0.3, noise=0.02).shape
        (16, 16)
    """
    clean = at_field(
        image,
        field=field,
        from_field=from_field,
        contrast=contrast,
        from_contrast=from_contrast,
        maps=maps,
        centres=centres,
    )
    return acquire(clean, key, noise=noise, keep=keep, taper=taper, coils=coils, emi=emi)
