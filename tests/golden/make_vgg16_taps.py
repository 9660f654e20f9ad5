"""Make vgg16_taps.npz: VGG16 features, the style loss and its gradient, from PyTorch.

    python -m tests.golden.make_vgg16_taps        (from the repository root; needs torch)

Computed in float64 and rounded to float32, so the file's own error is below a float32 implementation's. Images are in
[0, 1], smooth and seeded. Keys (features are channel last, for one image, no batch axis):

- ``grey`` (24, 20), ``colour`` (23, 19, 3): the inputs; odd sizes show how max pooling drops the last row and column.
- ``grey/conv{b}_{i}``, ``grey/relu{b}_{i}``: taps to conv4_1, before and after the ReLU. The grey image is copied to
  three channels, then the ImageNet mean and standard deviation are applied, then the zero-padded convolutions.
- ``colour/conv{b}_{i}``: the same for the colour image, before the ReLU only.
- ``content`` (24, 20), ``style`` (21, 26): targets of the loss. ``content`` differs from ``grey``: at its own target
  the L1 content loss has a kink, and its gradient there would be decided by rounding.
- ``gram/conv1_1`` (64, 64), ``gram/conv2_2`` (128, 128): Gram matrices F F^T / (C H W) of the style image. The deeper
  ones would make up most of the file; ``style_loss`` covers them.
- ``loss`` (): 5000 x style + 1 x content at ``grey``; ``style_loss``, ``content_loss``: its two sums, without weights.
- ``gradient`` (24, 20): of ``loss`` with respect to the grey image (so the sum over its three copies).
"""

import pathlib

import numpy as np
from scipy.ndimage import gaussian_filter

HERE = pathlib.Path(__file__).parent
WEIGHTS = HERE.parents[1] / "weights" / "vgg16.safetensors"


def smooth_image(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """A seeded smooth image over the whole range [0, 1], float32."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    image = gaussian_filter(noise, (1.5, 1.5, 0)[: len(shape)])
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def main() -> None:
    import torch
    import torch.nn.functional as F

    from benchmarks import torch_reference as ref

    torch.set_num_threads(1)
    vgg = ref.load_vgg16(WEIGHTS, torch.float64)

    def to_torch(image: np.ndarray) -> torch.Tensor:
        image = torch.as_tensor(image).double()
        return image.expand(3, -1, -1) if image.ndim == 2 else image.permute(2, 0, 1)

    inputs = {
        "grey": smooth_image(1, (24, 20)),
        "colour": smooth_image(2, (23, 19, 3)),
        "content": smooth_image(3, (24, 20)),
        "style": smooth_image(4, (21, 26)),
    }
    out = dict(inputs)
    for key, relu in (("grey", True), ("colour", False)):
        for tap, value in ref.taps(vgg, to_torch(inputs[key]), relu=relu).items():
            out[f"{key}/{tap}"] = value.permute(1, 2, 0).numpy()

    grams = ref.style_targets(vgg, to_torch(inputs["style"]))
    targets = ref.content_targets(vgg, to_torch(inputs["content"]))
    out |= {f"gram/{tap}": grams[tap].numpy() for tap in ("conv1_1", "conv2_2")}
    grey = torch.as_tensor(inputs["grey"]).double().requires_grad_(True)
    found = ref.taps(vgg, grey.expand(3, -1, -1))
    loss = ref.Objective(vgg, targets, grams)(grey.expand(3, -1, -1))
    loss.backward()
    out["loss"] = loss.item()
    out["style_loss"] = sum(F.l1_loss(ref.gram(found[tap]), grams[tap]) for tap in grams).item()
    out["content_loss"] = sum(F.l1_loss(found[tap], targets[tap]) for tap in targets).item()
    out["gradient"] = grey.grad.numpy()
    file = HERE / "vgg16_taps.npz"
    np.savez_compressed(file, **{key: np.asarray(value, np.float32) for key, value in out.items()})
    print(f"{file.name}: {file.stat().st_size:,} bytes, loss {out['loss']:.6f}")


if __name__ == "__main__":
    main()
