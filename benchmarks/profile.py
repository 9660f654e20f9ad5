"""FLOP of an evaluation, the share of the device's measured peak, and the ten dearest operations.

    python benchmarks/profile.py [--short] [--trace DIR] [--output benchmarks/results]

The same as ``rnst benchmark profile --dearest``, with the rows kept in ``profile.json``; no data are needed.
``--trace`` keeps the profile for xprof.
"""

import importlib.util
import pathlib
import sys

if __name__ == "__main__":
    import common

    from rnst_jax.cli.main import main

    sys.exit(main(["benchmark", "profile", "--dearest", "--output", str(common.RESULTS), *sys.argv[1:]]))
else:
    # A script's folder comes first on the path, so this file hides the standard library's module of the same name
    # from cProfile, which PyTorch imports: hand that one over.
    library = pathlib.Path(importlib.util.__file__).parents[1] / "profile.py"
    spec = importlib.util.spec_from_file_location("profile", library)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["profile"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
