"""What a slice costs against pixels, slices in a batch, and devices.

    python benchmarks/scaling.py [--short] [--output benchmarks/results]

The same as ``rnst benchmark scaling``, with the rows kept in ``scaling.json``; no data are needed.
"""

import sys

import common

from rnst_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "scaling", "--output", str(common.RESULTS), *sys.argv[1:]]))
