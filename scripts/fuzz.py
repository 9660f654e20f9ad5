"""Damage files of every kind at random and have them read, in processes of their own with a limit on memory.

    python scripts/fuzz.py [--count 10000] [--kinds nifti dicom ...] [--seed 0]
    python scripts/fuzz.py --atheris dicom [libFuzzer's options]      # pip install atheris; goes on until stopped

The first form counts what was read and what refused, and keeps every input that did anything else (an exception, a
crash of the process, more than 5 s or more than 1 GB) in ``fuzz_failures/``. Exit code 1 if there were any.
"""

import argparse
import multiprocessing
import pathlib
import resource
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

if "--atheris" in sys.argv:
    import atheris

    # only what reads files: all that is imported would take minutes
    with atheris.instrument_imports(include=["rnst_jax.io", "nibabel", "pydicom", "safetensors"]):
        from tests import mutations
else:
    from tests import mutations

MEMORY = 2**30
"""Bytes that reading may take on top of the process as it starts."""
BATCH = 250


def work(kind: str, seeds: range, pipe) -> None:
    """Try one input per seed; send the number of each before it is tried, and what came of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        sound = mutations.base(kind, folder)
        used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        for seed in seeds:
            pipe.send((seed, "begun"))
            try:
                raw = mutations.mutate(sound, mutations.random_changes(np.random.default_rng(seed)))
                pipe.send((seed, "read" if mutations.attempt(kind, raw, folder) else "refused"))
            except BaseException as error:
                pipe.send((seed, f"{type(error).__name__}: {error}"))


def run(kind: str, seeds: range, failures: dict) -> dict[str, int]:
    """Have all seeds tried; a process that dies or hangs is replaced behind the input that it had."""
    counts = {"read": 0, "refused": 0}
    while seeds:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(target=work, args=(kind, seeds[:BATCH], theirs))
        process.start()
        theirs.close()
        last = seeds[0]
        try:
            while True:
                if not ours.poll(60):
                    process.kill()
                    failures[kind, last] = "hangs"
                    break
                last, what = ours.recv()
                if what in counts:
                    counts[what] += 1
                elif what != "begun":
                    failures[kind, last] = what
        except EOFError:
            process.join()
            if process.exitcode:
                failures[kind, last] = f"the process ended with {process.exitcode}"
        process.join()
        seeds = range(last + 1, seeds.stop)
    return counts


def with_atheris(kind: str, rest: list[str]) -> None:
    folder = pathlib.Path(tempfile.mkdtemp())
    sound = mutations.base(kind, folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "sound").write_bytes(sound)
    atheris.Setup([sys.argv[0], str(corpus), *rest], lambda raw: mutations.attempt(kind, raw, folder))
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the readers")
    parser.add_argument("--count", type=int, default=10_000, help="inputs in all")
    parser.add_argument("--kinds", nargs="*", choices=list(mutations.KINDS), default=list(mutations.KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--atheris", choices=list(mutations.KINDS), metavar="KIND")
    args, rest = parser.parse_known_args()
    if args.atheris:
        with_atheris(args.atheris, rest)
        return 0
    failures: dict[tuple[str, int], str] = {}
    share = -(-args.count // len(args.kinds))
    for kind in args.kinds:
        counts = run(kind, range(args.seed, args.seed + share), failures)
        print(f"{kind}: {counts['read']} read, {counts['refused']} refused", flush=True)
    for (kind, seed), what in failures.items():
        kept = pathlib.Path("fuzz_failures") / f"{kind}_{seed}"
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            sound = mutations.base(kind, pathlib.Path(folder))
        kept.write_bytes(mutations.mutate(sound, mutations.random_changes(np.random.default_rng(seed))))
        print(f"{kept}: {what}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
