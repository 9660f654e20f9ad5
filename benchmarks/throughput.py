"""Slices per minute against batch, size, extractor and precision.

    python benchmarks/throughput.py [--short] [--output benchmarks/results]

The same as ``rnst benchmark throughput``, with the rows kept in ``throughput.json``; no data are needed.
"""

import sys

import common

from rnst_jax.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", "throughput", "--output", str(common.RESULTS), *sys.argv[1:]]))
