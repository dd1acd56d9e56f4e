"""Chunks, pieces and blocks beside one call: dask arrays, streams, and images larger than memory.

Run it as ``python benchmarks/large.py [dask] [streams] [storage] [interrupt] [--side N]``. It needs dask[array], distributed,
dask-image and SciPy; times of dask are the best of three on two threads, those of streams medians on one.
"""

from __future__ import annotations

import argparse
import random
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
    parser.add_argument("parts", nargs="*", metavar="PART", help="dask, streams, storage or interrupt (default: all)")
    parser.add_argument("--side", type=int, default=8192, help="of images, in pixels (default 8192)")
    parser.add_argument("--in-process", nargs=3, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.in_process:
        print(peak_of_storage(*args.in_process))
        return
    parts = {"dask": chunks, "streams": pieces, "storage": memory, "interrupt": interrupts}
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
    yield from scheduling(100)


def scheduling(side: int) -> Iterator[str]:
    """What dask takes for each chunk of a kernel of 5x5, where chunks are small, side x side of them."""
    import dask
    import dask.array as da
    from distributed import Client, LocalCluster

    kernel, chunks = np.ones((5, 5), np.float32), side * side
    small = da.zeros((64 * side, 64 * side), chunks=64, dtype=np.float32)
    seconds = best(lambda: fc.conv2d(small, kernel, padding="same"))
    yield f"{chunks} chunks of 64x64: {seconds / chunks * 1e3:.2f} ms a chunk to build the graph"
    lazy = fc.conv2d(small, kernel, padding="same").max()
    (optimized,) = dask.optimize(lazy)
    seconds, tasks = times(lambda: dask.optimize(lazy), 1)[0], len(optimized.__dask_graph__())
    yield f"{seconds / chunks * 1e3:.2f} ms to optimize it; {tasks} tasks are left"
    seconds = times(lambda: lazy.compute(scheduler="threads", num_workers=WORKERS), 1)[0]
    yield f"{seconds / chunks * 1e3:.2f} ms to optimize and run it in threads"
    with LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        seconds = times(lazy.compute, 1)[0]
        yield f"{seconds / chunks * 1e3:.2f} ms to optimize and run it in {WORKERS} processes"


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


# Calls of a second and more, by what they are to interrupt: how to prepare, and the call.
LONG_CALLS = {
    "tiles": ("x, w = many(20, ones(64, 200, 200)), ones(64, 64, 5, 5)", "fc.conv2d(x, w, algorithm='direct')"),
    "1x1": ("x, w = many(100, ones(256, 56, 56)), ones(256, 256, 1, 1)", "fc.conv2d(x, w)"),
    "winograd": ("x, w = many(80, ones(256, 56, 56)), ones(256, 256, 3, 3)", "fc.conv2d(x, w, padding=1)"),
    "winograd, few channels": ("x, w = many(60, ones(16, 300, 300)), ones(16, 16, 3, 3)", "fc.conv2d(x, w, padding=1)"),
    "fft": ("x, w = many(4, ones(8, 1000, 1000)), ones(8, 8, 41, 41)", "fc.conv2d(x, w, algorithm='fft')"),
    "fft of signals": ("x, w = ones(32, 500_000), ones(32, 32, 2000)", "fc.conv1d(x, w)"),
    "sweeps": ("x, w = many(20, ones(64, 400, 400)), ones(64, 1, 9, 9)", "fc.conv2d(x, w, groups=64)"),
    "separable": ("x, w = ones(9000, 9000), ones(31, 31)", "fc.conv2d(x, w)"),
    "by position": (
        "x, w = many(40, ones(512, 33, 33)), ones(512, 512, 3, 3)",
        "fc.conv2d(x, w, padding=18, dilation=18)",
    ),
    "strided": ("x, w = many(40, ones(64, 224, 224)), ones(64, 64, 7, 7)", "fc.conv2d(x, w, stride=2)"),
    "volumes": ("x, w = many(4, ones(64, 16, 64, 64)), ones(64, 64, 3, 3, 3)", "fc.conv3d(x, w)"),
    "complex": ("x, w = many(20, ones(64, 100, 100, dtype='c8')), ones(64, 64, 5, 5, dtype='c8')", "fc.conv2d(x, w)"),
    "float16": ("x, w = many(100, ones(64, 200, 200, dtype='f2')), ones(64, 64, 3, 3, dtype='f2')", "fc.conv2d(x, w)"),
    "float16, one large image": (
        "x, w = ones(1, 20000, 20000, dtype='f2'), ones(1, 1, 3, 3, dtype='f2')",
        "fc.conv2d(x, w)",
    ),
    "uint8": ("x, w = many(40, ones(64, 200, 200, dtype='u1')), ones(64, 64, 5, 5, dtype='i1')", "fc.conv2d(x, w)"),
    "uint8 saturated": ("x, w = ones(1, 20000, 20000, dtype='u1'), ones(1, 1, 3, 3)", "fc.conv2d(x, w, saturate=True)"),
    "float64": ("x, w = many(10, ones(64, 200, 200, dtype='f8')), ones(64, 64, 5, 5, dtype='f8')", "fc.conv2d(x, w)"),
    "huge weight": ("x, w = ones(8192, 8, 8), ones(4096, 8192, 3, 3)", "fc.conv2d(x, w)"),
    "bank that packs": ("x, w = ones(8192, 8, 8), ones(4096, 8192, 3, 3)", "fc.FilterBank(w, padding=1)(x)"),
    "channels last": ("x, w = many(80, ones(112, 112, 64)), ones(64, 64, 5, 5)", "fc.conv2d(x, w, channels_last=True)"),
    "reflected": (
        "x, w = ones(1, 16000, 16000), ones(1, 1, 5, 5)",
        "fc.conv2d(x, w, padding=2, padding_mode='reflect')",
    ),
    "kernel beyond the image": ("x, w = ones(16, 40, 40), ones(16, 16, 400, 400)", "fc.conv2d(x, w, padding=400)"),
    "missing": ("x, w = ones(8, 2500, 2500), ones(8, 8, 5, 5); x[0, ::7] = np.nan", "fc.conv2d(x, w, nan='ignore')"),
    "missing, a mask": ("x, w = ones(9000, 9000), ones(5, 5); m = x > 0", "fc.conv2d(x, w, mask=m, renormalize=True)"),
    "transposed": ("x, w = many(40, ones(64, 100, 100)), ones(64, 64, 5, 5)", "fc.conv_transpose2d(x, w, stride=2)"),
    "transposed by 1": ("x, w = many(60, ones(64, 150, 150)), ones(64, 64, 4, 4)", "fc.conv_transpose2d(x, w)"),
    "gradient by input": (
        "g, w = many(40, ones(64, 150, 150)), ones(64, 64, 5, 5)",
        "fc.grad.conv2d_input((40, 64, 154, 154), w, g)",
    ),
    "gradient by weight": (
        "x, g = ones(40, 64, 154, 154), ones(40, 64, 150, 150)",
        "fc.grad.conv2d_weight(x, (64, 64, 5, 5), g)",
    ),
    "gradient by weight, 3x3": (
        "x, g = ones(80, 64, 152, 152), ones(80, 64, 150, 150)",
        "fc.grad.conv2d_weight(x, (64, 64, 3, 3), g)",
    ),
    "gradient by weight, float16": (
        "x, g = ones(40, 64, 154, 154, dtype='f2'), ones(40, 64, 150, 150, dtype='f2')",
        "fc.grad.conv2d_weight(x, (64, 64, 5, 5), g)",
    ),
    "gradient by bias": ("g = many(400, ones(64, 200, 200))", "fc.grad.conv2d_bias(g)"),
    "backward": (
        "b = fc.FilterBank(ones(64, 64, 3, 3), ones(64), padding=1, activation='silu')\nx = ones(30, 64, 150, 150)",
        "b.backward(x, x)",
    ),
    "sequential": (
        "s = fc.Sequential(*[fc.FilterBank(ones(32, 32, 3, 3), padding=1, activation='relu')] * 4)\nx = ones(6, 32, 600, 600)",
        "s(x)",
    ),
    "quantized": (
        "x, w = many(100, ones(64, 112, 112, dtype='u1')), ones(64, 64, 3, 3, dtype='i1')",
        "fc.qlinear_conv(x, 0.1, 3, w, 0.2, 0, 0.3, 4, padding=1)",
    ),
    "integers": (
        "x, w = many(100, ones(64, 112, 112, dtype='u1')), ones(64, 64, 3, 3, dtype='i1')",
        "fc.conv_integer(x, w, 3)",
    ),
    "ndimage.gaussian_filter": ("x = ones(12000, 12000)", "fc.ndimage.gaussian_filter(x, 5)"),
    "ndimage.gaussian_filter of float64": ("x = ones(8000, 8000, dtype='f8')", "fc.ndimage.gaussian_filter(x, 5)"),
    "ndimage.uniform_filter": ("x = ones(12000, 12000)", "fc.ndimage.uniform_filter(x, 9)"),
    "ndimage.correlate": ("x, w = ones(9000, 9000), ones(7, 7); w[0] = 2", "fc.ndimage.correlate(x, w)"),
    "ndimage of uint8": ("x = ones(14000, 14000, dtype='u1')", "fc.ndimage.sobel(x, 0)"),
    "ndimage.gaussian_laplace": ("x = ones(8000, 8000)", "fc.ndimage.gaussian_laplace(x, 3)"),
    "ndimage in volumes": ("x = ones(400, 500, 500)", "fc.ndimage.gaussian_filter(x, 4)"),
    "signal.convolve": ("x, h = ones(20_000_000, dtype='f8'), ones(3000, dtype='f8')", "fc.signal.convolve(x, h)"),
    "signal.fftconvolve": (
        "x, h = ones(6_000_000, dtype='f8'), ones(5_000_000, dtype='f8')",
        "fc.signal.fftconvolve(x, h)",
    ),
    "signal.fftconvolve of images": ("x, h = ones(4000, 4000), ones(2000, 2000)", "fc.signal.fftconvolve(x, h)"),
    "signal.oaconvolve": ("x, h = ones(40_000_000), ones(2000)", "fc.signal.oaconvolve(x, h)"),
    "signal.convolve2d": ("x, h = ones(6000, 6000), ones(15, 15); h[3] = 2", "fc.signal.convolve2d(x, h)"),
    "signal.upfirdn": ("x, h = ones(60_000_000), ones(400)", "fc.signal.upfirdn(h, x, 3, 2)"),
    "signal.lfilter": ("x, h = ones(64, 2_000_000), ones(60)", "fc.signal.lfilter(h, 1.0, x)"),
    "signal.lfilter along axis 0": ("x, h = ones(2_000_000, 64), ones(60)", "fc.signal.lfilter(h, 1.0, x, axis=0)"),
    "signal.sepfir2d": ("x, h = ones(9000, 9000), ones(21)", "fc.signal.sepfir2d(x, h, h)"),
    "conv1d along axis 0": ("x, h = ones(3_000_000, 64), ones(60)", "fc.conv1d(x, h, axis=0)"),
    "storage": (
        "import fastconv.storage\nx, b = ones(1, 9000, 9000), fc.FilterBank(ones(4, 1, 9, 9))",
        "fc.storage.convolve(b, x, memory_limit=2**26)",
    ),
    "dask": (
        "import dask.array as da\nx = da.ones((1, 9000, 9000), chunks=1000, dtype='f4')\nb = fc.FilterBank(ones(4, 1, 9, 9))",
        "b(x).compute(num_workers=threads)",
    ),
    "stream": ("s, x = fc.FilterBank(ones(64, 64, 65), padding='causal').stream(), ones(64, 400_000)", "s(x)"),
}
RUN_LONG_CALL = """
import os, signal, sys, threading, time
import numpy as np, fastconv as fc, fastconv.ndimage, fastconv.signal
threads, prepare, call, after = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
fc.set_num_threads(threads)
def ones(*shape, dtype="f4"):
    return np.ones(shape, dtype)
def many(n, array):
    return np.broadcast_to(array, (n, *array.shape))
exec(prepare)
def now():
    return time.monotonic(), time.thread_time()
ticks, sent = [now()], []
def interrupt():
    time.sleep(after)
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.default_int_handler)
if after:
    threading.Thread(target=interrupt, daemon=True).start()
else:
    signal.signal(signal.SIGALRM, lambda *_: ticks.append(now()))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
try:
    eval(call)
    signal.setitimer(signal.ITIMER_REAL, 0)
    ticks.append(now())
    print(ticks[-1][0] - ticks[0][0], *np.diff(ticks, axis=0).max(axis=0))
except KeyboardInterrupt:
    print(time.monotonic() - sent[0])
"""


def interrupts(_: int) -> Iterator[str]:
    """How long Ctrl-C waits: at most, by ticks that a call answers, in all and in time of its thread; and three times."""
    rng = random.Random(0)
    yield f"{'':36}{'threads':>8}{'call':>9}{'longest wait':>14}{'its own time':>14}   three interrupts"
    for name, (prepare, call) in LONG_CALLS.items():
        for threads in (1, 2):

            def run(after: float, some: tuple[Any, ...] = (threads, prepare, call)) -> list[float]:
                arguments = [sys.executable, "-c", RUN_LONG_CALL, *map(str, some), str(after)]
                return [
                    float(word) for word in subprocess.run(arguments, stdout=subprocess.PIPE, check=True).stdout.split()
                ]

            seconds, longest, own = run(0)
            waits = [run(rng.uniform(0.05, 0.9) * seconds)[0] for _ in range(3)] if seconds > 0.2 else []
            shown = "  ".join(f"{wait * 1e3:.0f} ms" for wait in waits)
            yield f"{name:36}{threads:>8}{seconds:>7.2f} s{longest * 1e3:>11.0f} ms{own * 1e3:>11.0f} ms   {shown}"


if __name__ == "__main__":
    main()
