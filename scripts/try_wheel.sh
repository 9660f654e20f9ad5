#!/bin/sh
# Install a wheel into a fresh environment, away from the repository, and try the command line. Usage: try_wheel.sh WHEEL
set -eu
wheel=$(realpath "$1")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
"${PYTHON:-python3}" -m venv env
env/bin/python -m pip install -qq --disable-pip-version-check --no-compile "$wheel"
env/bin/rnst --version
env/bin/rnst weights verify
env/bin/rnst doctor
env/bin/python - <<'CODE'
import nibabel, numpy
rows, columns, _ = numpy.mgrid[-24:24, -24:24, 0:2]
head = (numpy.hypot(rows, columns) < 18) * (0.6 + 0.2 * numpy.cos(rows / 3)) * 900
noise = numpy.random.default_rng(0).normal(0, 40, head.shape)
for name, data in (("low", abs(head + noise)), ("high", head.transpose(1, 0, 2))):
    nibabel.save(nibabel.Nifti1Image(data.astype("float32"), numpy.diag([2.0, 2, 5, 1])), f"{name}.nii.gz")
CODE
# the quickest to compile
printf 'preset = "fast"\ndenoiser = "gaussian"\n' > quick.toml
env/bin/rnst reconstruct low.nii.gz out.nii.gz --style high.nii.gz --config quick.toml
test -s out.nii.gz && test -s out.json
echo "the wheel works without the repository"
