"""fastconv.ndimage, fastconv.signal and SciPy on the same arrays: how many times as fast, function by function.

Run it as ``python benchmarks/scipy_interface.py [WORDS OF A ROW ...] [--threads N]``. Both sides of a row run in turn,
many times; a ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import fastconv as fc

ROUND_SECONDS = 1e-3  # of repeated calls of one side before the other's turn, about
ROUNDS, FEWEST_ROUNDS = 15, 5
ROW_SECONDS = 2.0  # after which the fewest rounds will do


class Row(NamedTuple):
    """One comparison."""

    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]


def main() -> None:
    import scipy

    report(__doc__, f"SciPy {scipy.__version__}", ("SciPy", "times"), lambda _: rows())


def report(doc: str, peers: str, titles: tuple[str, str], rows: Callable[[int], Iterator[Row]]) -> None:
    """Print a table of the rows for so many threads that the command line asks for; titles: of the other side, and of ratios."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only rows whose name has one of these")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    fc.set_num_threads(options.threads)
    print(f"fastconv {fc.__version__}, {peers}, NumPy {np.__version__}, threads: {options.threads}")
    print(f"{'':52} {'ours':>10} {titles[0]:>10} {titles[1]:>7}")
    for row in rows(options.threads):
        if not options.words or any(word in row.name for word in options.words):
            ours, theirs = measure(row)
            print(f"{row.name:52} {duration(ours):>10} {duration(theirs):>10} {theirs / ours:7.2f}", flush=True)


def measure(row: Row) -> tuple[float, float]:
    """Return the median seconds of a call of each side."""
    row.ours(), row.theirs()
    repeats = [max(1, int(ROUND_SECONDS / max(1e-7, seconds(side, 1)))) for side in (row.ours, row.theirs)]
    times: tuple[list[float], list[float]] = [], []
    start = time.perf_counter()
    while len(times[0]) < ROUNDS:
        for side, count, found in zip((row.ours, row.theirs), repeats, times, strict=True):
            found.append(seconds(side, count))
        if len(times[0]) >= FEWEST_ROUNDS and time.perf_counter() - start > ROW_SECONDS:
            break
    return statistics.median(times[0]), statistics.median(times[1])


def seconds(call: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def duration(value: float) -> str:
    return f"{value * 1e6:.1f} us" if value < 1e-3 else f"{value * 1e3:.2f} ms"


def rows() -> Iterator[Row]:
    yield from ndimage_rows()
    yield from signal_rows()


def compared(ours: Any, theirs: Any, title: str, function: str, *args: Any, **options: Any) -> Row:
    """Return the row of one function, of both modules, with the same arguments."""
    call, other = getattr(ours, function), getattr(theirs, function)
    name = f"{ours.__name__.rpartition('.')[2]}.{function} {title}"
    return Row(name, lambda: call(*args, **options), lambda: other(*args, **options))


def ndimage_rows() -> Iterator[Row]:
    import scipy.ndimage

    from fastconv import ndimage

    rng = np.random.default_rng(0)

    def row(title: str, function: str, *args: Any, **options: Any) -> Row:
        return compared(ndimage, scipy.ndimage, title, function, *args, **options)

    def array(dtype: str, *shape: int) -> Any:
        return (rng.standard_normal(shape) if dtype in "fdD" else rng.integers(0, 100, shape)).astype(dtype)

    for dtype in ("f", "d", "B"):
        name = np.dtype(dtype).name
        for size in (256, 1024):
            image = array(dtype, size, size)
            for taps in (3, 5, 9, 15):
                yield row(f"{size}x{size} {taps}x{taps} {name}", "correlate", image, rng.standard_normal((taps, taps)))
        yield row(f"1024x1024 3x3 constant {name}", "correlate", image, rng.standard_normal((3, 3)), mode="constant")
        yield row(f"1024x1024 3x3 integers {name}", "correlate", image, rng.integers(-9, 9, (3, 3)))
        volume = array(dtype, 64, 64, 64)
        yield row(f"64x64x64 3x3x3 {name}", "correlate", volume, rng.standard_normal((3, 3, 3)))
        arrays = {"2048x2048": array(dtype, 2048, 2048)}
        if dtype != "d":
            arrays["256x256x256"] = array(dtype, 256, 256, 256)
        for shape, large in arrays.items():
            for sigma in (1, 2, 4, 8):
                yield row(f"{shape} sigma {sigma} {name}", "gaussian_filter", large, sigma)
            for taps in (3, 9, 31):
                yield row(f"{shape} {taps} {name}", "uniform_filter", large, taps)
            yield row(f"{shape} {name}", "sobel", large)
            yield row(f"{shape} {name}", "laplace", large)
            for axis in range(large.ndim):
                yield row(f"{shape} 9 taps axis {axis} {name}", "correlate1d", large, rng.standard_normal(9), axis)
    for dtype in ("f", "d", "B", "i", "l", "D"):
        name = np.dtype(dtype).name
        for size in (5, 16, 32, 64, 100):
            image, kernel = array(dtype, size, size), rng.standard_normal((3, 3))
            title = f"{size}x{size}"
            yield row(f"{title} 3x3 {name}", "correlate", image, kernel)
            yield row(f"{title} 3x3 constant 1 {name}", "convolve", image, kernel, mode="constant", cval=1.0)
            yield row(f"{title} 3 taps {name}", "correlate1d", image, kernel[0])
            yield row(f"{title} 3 taps integers {name}", "correlate1d", image, np.array([1, 2, 1]))
            yield row(f"{title} 9 taps axis 0 {name}", "correlate1d", image, rng.standard_normal(9), 0)
            yield row(f"{title} sigma 1 {name}", "gaussian_filter", image, 1)
            yield row(f"{title} 3 {name}", "uniform_filter", image, 3)
            yield row(f"{title} 3 {name}", "uniform_filter1d", image, 3)
            yield row(f"{title} {name}", "sobel", image)
            yield row(f"{title} {name}", "laplace", image)
        yield row(f"5x5x5 3x3x3 {name}", "correlate", array(dtype, 5, 5, 5), rng.standard_normal((3, 3, 3)))
        for size in (10, 100):
            yield row(f"{size} 3 taps {name}", "correlate1d", array(dtype, size), kernel[0])
            yield row(f"{size} 3 {name}", "uniform_filter", array(dtype, size), 3)


def signal_rows() -> Iterator[Row]:
    import scipy.signal

    from fastconv import signal

    rng = np.random.default_rng(0)

    def row(title: str, function: str, *args: Any, **options: Any) -> Row:
        return compared(signal, scipy.signal, title, function, *args, **options)

    def normal(*shape: int, dtype: str = "d") -> Any:
        return rng.standard_normal(shape).astype(dtype)

    for dtype in ("f", "d"):
        name, x, k = np.dtype(dtype).name, normal(10**6, dtype=dtype), normal(1000, dtype=dtype)
        for method in ("auto", "direct", "fft"):
            yield row(f"10^6 x 10^3 {name} {method}", "convolve", x, k, method=method)
        yield row(f"10^6 x 10^3 {name}", "oaconvolve", x, k)
        image = normal(512, 512, dtype=dtype)
        for size in (5, 9, 15, 21, 31, 51, 101):
            yield row(f"512x512 {size}x{size} {name}", "convolve", image, normal(size, size, dtype=dtype))
        yield row(f"512x512 5x5 symm {name}", "convolve2d", image, normal(5, 5, dtype=dtype), boundary="symm")
        yield row(f"512x512 7, 7 {name}", "sepfir2d", image, normal(7, dtype=dtype), normal(7, dtype=dtype))
    yield row("10^5 x 10^5 float64", "convolve", normal(10**5), normal(10**5))
    yield row("64x64x64 5x5x5 float64", "convolve", normal(64, 64, 64), normal(5, 5, 5))
    yield row("10^5 x 10^3 complex128", "convolve", normal(10**5) * 1j, normal(1000) * 1j)
    yield row("10^6 x 10^3 int64", "convolve", rng.integers(0, 99, 10**6), rng.integers(0, 99, 1000))
    yield row("512x512 5x5 uint8", "convolve2d", *(rng.integers(0, 255, (n, n)).astype("B") for n in (512, 5)))
    yield row("1000x100 1000x100, axis 1 float64", "fftconvolve", normal(1000, 100), normal(1000, 100), axes=1)
    for axis in (0, 1):
        yield row(f"30 taps 1000x1000, axis {axis} float64", "lfilter", normal(30), 1.0, normal(1000, 1000), axis)
    for up, down, taps in ((2, 1, 41), (1, 2, 41), (3, 2, 61), (160, 147, 3201)):
        yield row(f"{taps} taps 10^5, {up}/{down} float64", "upfirdn", normal(taps), normal(10**5), up, down)
    x, k = normal(20), normal(3)
    for function in ("convolve", "correlate", "fftconvolve", "oaconvolve", "upfirdn"):
        yield row("20 x 3 float64", function, x, k)
    for dtype in ("f", "d", "i", "l", "D"):
        name = np.dtype(dtype).name
        for size in (20, 100):
            signals, taps = normal(size).astype(dtype), normal(3).astype(dtype)
            yield row(f"{size} x 3 {name} direct", "convolve", signals, taps, method="direct")
    yield row("3 taps 20 float64", "lfilter", k, 1.0, x)
    for dtype in ("f", "d", "B", "i", "l", "D"):
        name = np.dtype(dtype).name
        for size in (5, 16, 32, 64, 100):
            image, kernel = 9 * normal(size, size), 9 * normal(3, 3)
            image, kernel, title = image.astype(dtype), kernel.astype(dtype), f"{size}x{size} 3x3 {name}"
            for function in ("convolve", "convolve2d", "correlate2d"):
                yield row(title, function, image, kernel)
            yield row(f"{title} direct", "convolve", image, kernel, method="direct")
            yield row(f"{title} fill 1", "convolve2d", image, kernel, fillvalue=1)
            yield row(f"{title} symm", "convolve2d", image, kernel, boundary="symm")
    for dtype in ("f", "d"):
        for size in (5, 16, 64):
            image, taps = normal(size, size, dtype=dtype), normal(3, dtype=dtype)
            yield row(f"{size}x{size} 3, 3 {np.dtype(dtype).name}", "sepfir2d", image, taps, taps)
    yield row("20, 3", "correlation_lags", 20, 3)
    yield row("20 x 3 float64", "choose_conv_method", x, k)


if __name__ == "__main__":
    main()
