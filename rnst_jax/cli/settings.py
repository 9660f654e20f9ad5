"""What the options of a reconstruction mean: settings, feature network, device."""

import argparse
import pathlib
from typing import Any

from rnst_jax.io.errors import RefusedInput, UsageError

PRESETS = ("fast", "balanced", "paper", "upstream")
EXTRACTORS = (
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
)
DEVICES = ("cpu", "gpu", "tpu")


def config(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The settings for the extractor as a frozen config, and the same as a dict.

    Raises:
        RefusedInput: the file of settings cannot be used.
    """
    from rnst_jax import presets
    from rnst_jax.features import MODELS

    if not args.config:
        found = presets.for_extractor(presets.get(args.preset), args.extractor)
    else:
        try:
            found = presets.load(args.config, args.extractor)
        except (ValueError, TypeError, KeyError) as error:  # a TOML syntax error is a ValueError
            raise RefusedInput(f"{args.config}: {error}; compare it with a preset written by rnst") from error
        known = MODELS[args.extractor].taps
        if wrong := [tap for tap in (*found.style_taps, *found.content_taps) if tap not in known]:
            raise RefusedInput(f"{args.config}: {args.extractor} has no tap '{wrong[0]}'; it has {', '.join(known)}")
    return found, presets.to_dict(found)


def weights(args: argparse.Namespace) -> pathlib.Path:
    """The weight file of the feature network."""
    from rnst_jax.features import weights

    return args.weights or weights.find(args.extractor)


def extractor(args: argparse.Namespace, config: Any) -> Any:
    """The feature network, as deep as the config's taps need it.

    Raises:
        RefusedInput: the weight file, or a tap that it has not.
        WeightsError: the packaged weights cannot be used.
    """
    from rnst_jax import features

    try:
        return features.load(args.extractor, args.weights, taps=(*config.style_taps, *config.content_taps))
    except ValueError as error:
        raise RefusedInput(f"{weights(args)}: {error}; give other --weights, or other taps in --config") from error
    except features.WeightsError as error:
        if args.weights:
            raise RefusedInput(str(error)) from error
        raise


def device(kind: str | None) -> Any:
    """The device asked for.

    Raises:
        UsageError: there is none of this kind.
    """
    import jax

    try:
        return jax.devices(kind)[0]
    except RuntimeError as error:
        raise UsageError(
            f"--device {kind}: JAX sees no such device; see 'rnst doctor', or leave --device out"
        ) from error


def describe(device: Any) -> str:
    """A device in words."""
    return f"{device.platform} ({device.device_kind})"
