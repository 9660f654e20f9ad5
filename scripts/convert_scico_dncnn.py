"""Convert the trained DnCNN denoisers in the scico wheel to weights/dncnn17*.safetensors.

    pip download --no-deps scico==0.0.7 -d .
    python scripts/convert_scico_dncnn.py scico-0.0.7-py3-none-any.whl weights/

The wheel's sha256 is checked first. Its parameters are msgpack files, which hold data and no code. Each batch norm
(inference form, with the stored statistics) is folded in float64 into the convolution before it:

    a = scale / sqrt(var + 1e-5),   kernel <- a kernel,   bias <- bias - a mean.

Written: ``conv0 .. conv16`` with ``.kernel`` (height, width, in, out) and, but for the first and the last, ``.bias``.
The conditioned network also returns a channel that belongs to its noise input; scico drops it, and so does this file.
"""

import argparse
import hashlib
import json
import pathlib
import sys
import zipfile

import numpy as np
from flax.serialization import msgpack_restore
from safetensors.numpy import save_file

WHEEL_SHA256 = "0fd6ba6b1d1e321d8bba39d8000ec1101fa6109db26a08f58af952c5e7cde4c1"
EPSILON = 1e-5
DEPTH = 17
TRAINED_BY = "images in [0, 1] that scico does not name; circular padding"
TRAINING = {
    "M": f"white Gaussian noise of standard deviation 0.1; {TRAINED_BY}",
    "N": f"white Gaussian noise of standard deviation 0 to 0.2, told to the network; {TRAINED_BY}",
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def fold(tree: dict) -> dict[str, np.ndarray]:
    """The network's tensors by name, batch norms folded."""
    params, statistics = tree["params"], tree["batch_stats"]
    tensors = {"conv0.kernel": params["conv_start"]["kernel"]}
    for i in range(DEPTH - 2):
        block, norm = params[f"ConvBNBlock_{i}"], statistics[f"ConvBNBlock_{i}"]["BatchNorm_0"]
        affine = {k: np.asarray(v, np.float64) for k, v in block["BatchNorm_0"].items()}
        gain = affine["scale"] / np.sqrt(np.asarray(norm["var"], np.float64) + EPSILON)
        tensors[f"conv{i + 1}.kernel"] = block["Conv_0"]["kernel"] * gain
        tensors[f"conv{i + 1}.bias"] = affine["bias"] - gain * norm["mean"]
    tensors[f"conv{DEPTH - 1}.kernel"] = params["conv_end"]["kernel"][..., :1]
    return {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=pathlib.Path)
    parser.add_argument("out_dir", type=pathlib.Path)
    args = parser.parse_args()
    if (found := sha256(args.wheel.read_bytes())) != WHEEL_SHA256:
        sys.exit(f"{args.wheel}: sha256 is {found}, expected {WHEEL_SHA256}")
    manifest = args.out_dir / "MANIFEST.json"
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    for kind, training in TRAINING.items():
        member = f"scico/data/flax/dncnn{DEPTH}{kind}.mpk"
        with zipfile.ZipFile(args.wheel) as archive:
            tree = msgpack_restore(archive.read(member))
        name = f"dncnn{DEPTH}{kind.lower()}"
        file = args.out_dir / f"{name}.safetensors"
        save_file(fold(tree), file)
        entries[name] = {
            "file": file.name,
            "sha256": sha256(file.read_bytes()),
            "bytes": file.stat().st_size,
            "taps": "none, a denoiser",
            "training": training,
            "source": f"PyPI wheel scico 0.0.7, {member}; converted by scripts/convert_scico_dncnn.py",
            "source_sha256": WHEEL_SHA256,
            "licence": "BSD-3-Clause (scico)",
        }
        print(f"{file}: {entries[name]['bytes']:,} bytes, sha256 {entries[name]['sha256']}")
    manifest.write_text(json.dumps(entries, indent=2) + "\n")


if __name__ == "__main__":
    main()
