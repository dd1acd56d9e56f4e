"""Texture of a mosaic that is larger than memory, on a laptop or on a cluster: one line tells which.

Run it as ``python examples/cluster.py [--scheduler ADDRESS] [--size N] [--chunk N]``. Without an address, the worker processes
are this machine's; ``dask-scheduler`` on a cluster prints an address. Needs dask[array] and distributed.

Each chunk of the mosaic is made where it is needed, from a seed of its own, as tiles of a real one would be read there. A bank
of Gabor filters answers to stripes in eight directions; the program prints how strongly, for every part of the mosaic.
"""

import argparse
import time

import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster

import fastconv as fc

DIRECTIONS = 8
PARTS = 4  # of the mosaic, along each side


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a cluster (default: processes of this machine)")
    parser.add_argument("--size", type=int, default=16384, help="rows and columns of the mosaic (default 16384: 1 GB)")
    parser.add_argument("--chunk", type=int, default=2048, help="of a chunk (default 2048)")
    args = parser.parse_args()
    cluster = args.scheduler or LocalCluster(threads_per_worker=1)  # the one line
    with Client(cluster) as client:
        chunks = (args.chunk, args.chunk)
        mosaic = da.random.default_rng(0).standard_normal((args.size, args.size), chunks=chunks, dtype=np.float32)
        began = time.perf_counter()
        energy = strength(mosaic).compute()
        seconds = time.perf_counter() - began
        workers = len(client.scheduler_info()["workers"])
    print(f"{args.size}x{args.size} pixels, {DIRECTIONS} filters, {workers} workers: {seconds:.1f} s")
    print("strongest direction of each part:")
    print(energy.argmax(axis=0) * (180 // DIRECTIONS))


def strength(mosaic: da.Array) -> da.Array:
    """Return the mean square of the answers in each direction, (DIRECTIONS, PARTS, PARTS), not computed yet."""
    angles = np.arange(DIRECTIONS) * np.pi / DIRECTIONS
    kernels = [fc.filters.gabor(15, wavelength=6.0, theta=float(angle)) for angle in angles]
    bank = fc.FilterBank.from_kernels(kernels, padding="same", padding_mode="reflect")
    answers = bank(mosaic.astype(np.float32))  # a dask array for a dask array
    height, width = (n // PARTS for n in mosaic.shape)
    squares = answers[:, : PARTS * height, : PARTS * width] ** 2
    return squares.reshape(DIRECTIONS, PARTS, height, PARTS, width).mean(axis=(2, 4))


if __name__ == "__main__":
    main()
