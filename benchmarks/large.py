"""Chunks, pieces and blocks beside one call: dask arrays, streams, and images larger than memory.

Run it as ``python benchmarks/large.py [dask] [streams] [storage] [--side N]``. It needs dask[array], dask-image and SciPy; times
of dask are the best of three on two threads, those of streams medians on one.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastconv as fc

WORKERS = 2
PIECES = 64  # of a signal


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="dask, streams or storage (default: all)")
    parser.add_argument("--side", type=int, default=8192, help="of images, in pixels (default 8192)")
    parser.add_argument("--in-process", nargs=3, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.in_process:
        print(peak_of_storage(*args.in_process))
        return
    parts = {"dask": chunks, "streams": pieces, "storage": memory}
    for name in args.parts or parts:
        print(f"\n{name}")
        for line in parts[name](args.side):
            print(f"    {line}", flush=True)


def chunks(side: int) -> Iterator[str]:
    import dask.array as da
    from dask_image import ndfilters
    from scipy import ndimage

    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, side, side), np.float32)
    lazy = da.from_array(image, chunks=(1, 1024, 1024))
    bank = fc.FilterBank(rng.standard_normal((8, 1, 5, 5), np.float32), padding="same")
    out, kernel = np.empty((8, side, side), np.float32), rng.standard_normal((5, 5), np.float32)
    whole = best(lambda: bank(image, out=out, threads=WORKERS))
    in_chunks = best(lambda: computed(bank(lazy), out))
    yield f"8 filters of 5x5: whole {whole:.2f} s, in chunks {in_chunks:.2f} s, speed {whole / in_chunks:.2f} of the whole call"
    ours = best(lambda: computed(fc.conv2d(lazy[0], kernel, padding="same"), out[0]))
    peers = {
        "dask_image": lambda: ndfilters.convolve(lazy[0], kernel),
        "map_overlap of scipy": lambda: da.map_overlap(
            lambda block: ndimage.convolve(block, kernel), lazy[0], depth=2, meta=np.empty((0, 0), np.float32)
        ),
    }
    for name, peer in peers.items():
        yield f"one kernel of 5x5: {best(lambda peer=peer: computed(peer(), out[0])) / ours:.1f} times as fast as {name}"
    small = da.zeros((6400, 6400), chunks=64, dtype=np.float32)
    seconds = best(lambda: fc.conv2d(small, kernel, padding="same"))
    yield f"10 000 chunks: {seconds / 1e4 * 1e3:.2f} ms a chunk to build the graph"


def computed(lazy: Any, out: Any) -> None:
    import dask.array as da

    da.store(lazy, out, lock=False, scheduler="threads", num_workers=WORKERS)


def best(call: Callable[[], object]) -> float:
    """Return the least of three times."""
    return min(times(call, 3))


def times(call: Callable[[], object], runs: int) -> list[float]:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return found


def pieces(_: int) -> Iterator[str]:
    fc.set_num_threads(1)
    rng = np.random.default_rng(0)
    for channels, filters, taps in ((1, 1, 64), (4, 8, 16), (16, 16, 5), (64, 64, 3), (1, 64, 400)):
        weight = rng.standard_normal((filters, channels, taps), np.float32)
        bank = fc.FilterBank(weight, padding="causal", algorithm="direct")
        words = [f"{channels}->{filters}, {taps} taps:"]
        for length in (64, 4096):
            signal = rng.standard_normal((channels, length * PIECES), np.float32)
            parts = [np.ascontiguousarray(part) for part in np.split(signal, PIECES, axis=1)]
            stream = bank.stream()
            whole = float(np.median(times(lambda bank=bank, signal=signal: bank(signal), 9))) / PIECES
            alone = [times(lambda stream=stream, part=part: stream(part), 1)[0] for _ in range(10) for part in parts]
            piece = float(np.median(alone))
            words.append(
                f"pieces of {length}: {piece * 1e6:.1f} us, {(piece - whole) * 1e6:.1f} us more than in a whole call"
            )
        yield " ".join(words) + f" (speed {whole / piece:.2f})"


def memory(side: int) -> Iterator[str]:
    for taps, filters in ((5, 1), (31, 1), (5, 8)):
        arguments = [sys.executable, __file__, "--in-process", str(side), str(taps), str(filters)]
        peak = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
        size = side * side * 4 / 2**30
        yield f"memory map of {size:.1f} GB, {filters} filters of {taps}x{taps}: at most {peak.strip()} MB beyond the interpreter"


def peak_of_storage(side: int, taps: int, filters: int) -> int:
    """Return the most MB that a convolution from a memory map to another one takes, resident."""
    from fastconv import storage

    with tempfile.TemporaryDirectory(dir=".") as folder:
        image = np.lib.format.open_memmap(f"{folder}/image.npy", "w+", np.float32, (1, side, side))
        maps = np.lib.format.open_memmap(f"{folder}/maps.npy", "w+", np.float32, (filters, side, side))
        bank = fc.FilterBank(np.ones((filters, 1, taps, taps), np.float32), padding="same")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        storage.convolve(bank, image, maps)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


if __name__ == "__main__":
    main()
