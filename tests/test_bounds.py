"""No byte before or after an array is read or written, workspaces stay small, and sizes may be huge.

Run as a program, this file convolves arrays that end, or begin, where a protected page does, and with kernels that span billions of
pixels, in a process that may crash.
"""

import ctypes
import faulthandler
import itertools
import math
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from problem_table import CASES, CONV, SMALL_MAPS, Case
from reference import convolve_place_by_place

import fastconv as fc
from fastconv import _blocks, _core, _plan

LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
PREPARE = _plan.prepare
# Problems that float16 images pass through in blocks, the last of them narrower than a vector.
BLOCKS = [Case((1, 16000, w), (3, 16000, taps), {"padding": taps // 2}) for taps in (1, 3) for w in (137, 196, 199)]
# Images that threads share in strips, the last of them smaller than a vector, for one instruction set or another.
STRIPS = [
    (Case((1, 90, 1, 324), (92, 90, 1, 1)), 5),
    (Case((1, 64, 1, 1156), (64, 64, 1, 1)), 9),
    (Case((1, 32, 1, 25672), (48, 32, 1, 1)), 50),
    (Case((1, 40, 61, 30), (40, 40, 3, 3)), 50),
]
# Images that kernels of rank 1 cross in two passes, with maps of a few columns.
TALL = [
    Case((1, channels, 900, taps - 1 + columns), (channels, 1, 31, taps), {"groups": channels, "padding": (15, 0)})
    for channels, taps, columns in itertools.product([1, 3], [9, 31], [1, 2, 3])
]
# Complex images whose rows are read as pairs of numbers.
PAIRS = [
    Case((1, groups, 30, columns), (groups, 1, *kernel), {"groups": groups, "padding": padding})
    for groups, columns, kernel in itertools.product([1, 3], [5, 8, 33, 70], [(1, 3), (2, 2), (3, 3), (5, 4), (9, 3)])
    for padding in [0, "same"]
]
DISTANCES = [2**30, 2**31 - 1, 2**31, 2**32 + 1, 2**62, 2**63]


def guarded(array: Any, at_end: bool) -> Any:
    """A copy whose last byte, or whose first, is next to a page that must not be touched."""
    page = mmap.PAGESIZE
    room = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, room + 2 * page)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for guard in (address, address + page + room):
        if LIBC.mprotect(ctypes.c_void_p(guard), page, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = page + (room - array.nbytes if at_end else 0)
    copy = np.frombuffer(memory, array.dtype, array.size, start).reshape(array.shape)
    copy[...] = array
    return copy


def guarded_weights(packed: Any, at_end: bool) -> Any:
    """Prepared weights, be they one array or several, with every array guarded."""
    if not isinstance(packed, tuple):
        return guarded(packed, at_end) if isinstance(packed, np.ndarray) else packed
    arrays = [guarded_weights(part, at_end) for part in packed]
    return type(packed)(*arrays) if hasattr(packed, "_fields") else tuple(arrays)


def convolve_guarded(case: Case, dtype: Any, threads: int, at_end: bool, algorithm: str = "auto") -> None:
    """Convolve with every array guarded, packed weights too, by a function and by a bank."""
    arrays = case.draw(dtype, integers=True)
    options = case.options | {"algorithm": algorithm}
    if algorithm == "separable":
        arrays[1] = arrays[1][..., :1] * arrays[1][..., :1, :]
        options = case.options
    expected = case.expected(arrays)
    _plan.prepare = lambda plan, weight, **more: guarded_weights(PREPARE(plan, weight, **more), at_end)
    image, weight, bias = (None if array is None else guarded(array, at_end) for array in arrays)
    out = guarded(np.zeros(expected.shape, dtype), at_end)
    convolve = CONV[len(case.weight) - 2]
    calls = {
        "function": lambda: convolve(image, weight, bias, **options, out=out, threads=threads),
        "function that makes its result": lambda: convolve(image, weight, bias, **options, threads=threads),
        "bank": lambda: fc.FilterBank(weight, bias, **options)(image, out=out, threads=threads),
    }
    for name, call in calls.items():
        try:
            wrong = ~np.isclose(call(), expected, rtol=1e-3, atol=1e-3)
        except ValueError:  # this algorithm cannot do it
            if algorithm not in ("winograd", "fft"):
                raise
            return
        assert not wrong.any(), f"{wrong.sum()} wrong outputs by a {name}"


def differentiate_guarded(case: Case, dtype: Any, at_end: bool) -> None:
    """Compute the gradients of a bank, and transposed convolutions with it, with every array guarded, packed weights too."""
    axes = len(case.weight) - 2
    image, weight, _ = case.draw(dtype, integers=True)
    options = {name: option for name, option in case.options.items() if name != "activation"}
    maps = np.random.default_rng(0).integers(-3, 4, CONV[axes](image, weight, **options).shape).astype(dtype)
    expected = getattr(fc.grad, f"conv{axes}d_input")(image.shape, weight, maps, **options)
    sums = getattr(fc.grad, f"conv{axes}d_weight")(image, weight.shape, maps, **options)
    image, weight, maps = (guarded(array, at_end) for array in (image, weight, maps))
    out = guarded(np.zeros_like(image), at_end)
    _plan.prepare = lambda plan, weight, **more: guarded_weights(PREPARE(plan, weight, **more), at_end)
    try:
        found = getattr(fc.grad, f"conv{axes}d_input")(image.shape, weight, maps, **options)
        assert (found == expected).all(), "wrong gradient of the input"
        assert (getattr(fc.grad, f"conv{axes}d_weight")(image, weight.shape, maps, **options) == sums).all()
        if options.get("padding_mode", "zeros") == "zeros" and not isinstance(options.get("padding"), str):
            size = image.shape[2:]
            getattr(fc, f"conv_transpose{axes}d")(maps, weight, **options, output_size=size, out=out)
            assert (out == expected).all(), "wrong transposed convolution"
            fc.TransposedFilterBank(weight, **options)(maps, output_size=size, out=out)
            assert np.allclose(out, expected, rtol=1e-3, atol=1e-3), "wrong transposed bank"
    finally:
        _plan.prepare = PREPARE


def convolve_channels_last(shape: Any, filters: int, padding: int, dtype: Any, at_end: bool) -> None:
    """Convolve an image (H, W, C) with 3x3 filters, with image, bias and result guarded."""
    rng = np.random.default_rng(0)
    image, weight = rng.integers(-3, 4, shape), rng.integers(-3, 4, (filters, shape[-1], 3, 3))
    bias = np.arange(filters)
    expected = np.moveaxis(fc.conv2d(np.moveaxis(image, -1, 0), weight, bias, padding=padding), 0, -1)
    image, weight, bias = (guarded(array.astype(dtype), at_end) for array in (image, weight, bias))
    out = guarded(np.zeros(expected.shape, dtype), at_end)
    fc.conv2d(image, weight, bias, padding=padding, channels_last=True, algorithm="direct", out=out)
    assert (out == expected).all(), "wrong outputs with channels last"


def convolve_far(image_shape: Any, weight_shape: Any, algorithm: str, **options: Any) -> None:
    """Convolve with taps, or outputs, so far from each other that most see nothing of the image, or refuse to."""
    rng = np.random.default_rng(0)
    image, weight = (rng.integers(-3, 4, shape).astype(np.float32) for shape in (image_shape, weight_shape))
    try:
        maps = fc.conv2d(image, weight, algorithm=algorithm, **options)
    except (ValueError, MemoryError):
        return
    expected = convolve_place_by_place(image, weight, **options)
    assert maps.shape == expected.shape, f"{maps.shape} instead of {expected.shape}"
    assert np.allclose(maps, expected, atol=1e-3), "wrong outputs"


def rounds() -> Iterator[Any]:
    """Yield a function and its arguments for everything that may end the process."""
    guarded_rounds = [  # case, dtype, threads, whether arrays lie at the end of their pages, algorithm
        *((case, np.float32, 1, True) for case in CASES + SMALL_MAPS),
        *((case, np.float32, 1, False) for case in CASES[::3] + SMALL_MAPS[::6]),
        *((case, np.float64, 1, True) for case in CASES[1::3] + SMALL_MAPS[1::6]),
        *((case, np.float16, 1, True) for case in BLOCKS),
        *((case, np.complex64, 1, at_end) for case in PAIRS for at_end in (True, False)),
        *((case, np.complex128, 3, True) for case in PAIRS),
        *((case, dtype, threads, True) for case, threads in STRIPS for dtype in (np.float32, np.float64)),
        *((case, np.float32, 1, True, "winograd") for case in SMALL_MAPS[::4]),
        *((case, np.float32, 1, True, "fft") for case in SMALL_MAPS[::8]),
        *((case, dtype, 1, True, "separable") for case in TALL for dtype in (np.float32, np.float64)),
    ]
    for arguments in guarded_rounds:
        yield convolve_guarded, arguments, {}
    for shape, filters, padding in itertools.product(
        [(5, 37, 3), (4, 300, 4), (6, 9, 5)], [1, 2, 3, 7, 8, 16, 32], [0, 1]
    ):
        for dtype, at_end in ((np.float32, True), (np.float32, False), (np.float64, True)):
            yield convolve_channels_last, (shape, filters, padding, dtype, at_end), {}
    for index, case in enumerate(CASES[::2] + SMALL_MAPS[::4]):
        yield differentiate_guarded, (case, np.float64 if index % 3 == 0 else np.float32, index % 4 > 0), {}
    shapes = [
        ((1, 2, 4), (1, 1, 2, 2)),
        ((2, 4, 4), (8, 2, 2, 2)),
        ((3, 2, 4), (9, 3, 3, 3)),
        ((4, 2, 1), (4, 1, 3, 1)),
    ]
    for distance, (image, weight), mode in itertools.product(DISTANCES, shapes, ["zeros", "reflect"]):
        options: dict[str, Any] = {"padding_mode": mode, "groups": image[0] // weight[1]}
        for algorithm, steps in itertools.product(["auto", "direct"], [(1, distance), (distance, distance - 3)]):
            reach = [(taps - 1) * step for taps, step in zip(weight[2:], steps, strict=True)]
            yield (
                convolve_far,
                (image, weight, algorithm),
                options | {"dilation": steps, "padding": ((reach[0], 0), (0, reach[1]))},
            )
            wide = ((weight[2], 0), (distance, weight[3]))
            yield convolve_far, (image, weight, algorithm), options | {"stride": steps, "padding": wide}


ROUNDS = list(rounds())


def run_rounds(reached: Any) -> None:
    for index in range(reached[0], len(ROUNDS)):
        reached[0] = index
        signal.alarm(10)
        function, arguments, options = ROUNDS[index]
        try:
            function(*arguments, **options)
        except AssertionError as error:
            print(error, *arguments, options, flush=True)
    reached[0] = len(ROUNDS)


def main() -> None:
    """Run all rounds in a child; after a crash say so, and go on in another child."""
    import resource  # which is not everywhere

    faulthandler.disable()
    if "asan" not in os.environ.get("LD_PRELOAD", ""):  # which wants a thousand times as much
        resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
    reached = np.frombuffer(
        mmap.mmap(-1, mmap.PAGESIZE), np.int64
    )  # the round that is running: shared with the children
    while reached[0] < len(ROUNDS):
        if not os.fork():
            run_rounds(reached)
            os._exit(0)
        _, status = os.wait()
        if status:
            print(f"ended with status {status}", *ROUNDS[reached[0]][1:], flush=True)
            reached[0] += 1


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected as on Linux")
@pytest.mark.parametrize("isa", _core.available_isas())
def test_nothing_beyond_the_arrays_is_touched(isa):
    environment = os.environ | {"FASTCONV_ISA": isa}
    command = [sys.executable, __file__]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert (run.stdout + run.stderr).splitlines() == []
    assert run.returncode == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_only_out_is_written_where_it_lies_in_a_larger_array(dtype):
    for case in CASES[::6]:
        arrays = case.draw(dtype, integers=True)
        count, filters, *size = case.convolve(arrays).shape
        around = np.full((count, filters + 2, size[0] + 2, *size[1:]), 77, dtype)
        case.convolve(arrays, out=around[:, 1:-1, 1:-1])
        np.testing.assert_array_equal(around[:, 1:-1, 1:-1], case.convolve(arrays), err_msg=str(case))
        around[:, 1:-1, 1:-1] = 77
        assert (around == 77).all(), case


# Memory

LAYERS = [  # image, weight, options
    ((512, 7, 7), (512, 512, 3, 3), {"padding": 1}),
    ((64, 224, 224), (64, 64, 3, 3), {"padding": 1}),
    ((3, 224, 224), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
    ((2048, 7, 7), (512, 2048, 1, 1), {}),
    ((4096, 1, 1), (4096, 4096, 1, 1), {}),
    ((512, 28, 28), (2048, 512, 1, 1), {"stride": 2}),
    ((1024, 14, 14), (1024, 1024, 3, 3), {"padding": 1}),
    ((512, 28, 28), (512, 512, 3, 3), {"padding": 1, "stride": 2}),
    ((256, 56, 56), (256, 256, 3, 3), {"padding": 2, "dilation": 2}),
    ((144, 56, 56), (144, 1, 3, 3), {"padding": 1, "groups": 144}),
    ((3, 4096, 4096), (32, 3, 11, 11), {}),
    ((1, 2048, 2048), (1, 1, 31, 31), {"padding": 15, "padding_mode": "reflect"}),
    ((1, 4096, 4096), (1, 1, 3, 3), {"stride": (512, 2)}),
    ((64, 16, 56, 56), (64, 64, 3, 3, 3), {"padding": 1}),
    ((64, 10**6), (64, 64, 3), {"padding": 1}),
    ((1, 10**7), (1, 1, 256), {"stride": 2}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("image", "weight", "options"), LAYERS)
def test_a_thread_works_in_a_few_megabytes(image, weight, options, dtype, monkeypatch):
    plans = []
    monkeypatch.setattr(_plan, "run", lambda plan, *_: plans.append(plan))
    arrays = (np.broadcast_to(dtype(1), shape) for shape in (image, weight))
    CONV[len(weight) - 2](*arrays, **options)
    assert _blocks.workspace(plans[0].layouts[-1]) <= 4 * 2**20


@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((2**42,), (1,), {}),  # an input and an output of 16 TB
        ((5,), (3,), {"padding": 2**42}),
        ((4, 5), (2**42, 4, 3), {}),
    ],
)
def test_sizes_beyond_memory_raise_memory_error(image, weight, options):
    arrays = (
        np.ones(shape, np.float32) if math.prod(shape) < 100 else np.broadcast_to(np.float32(1), shape)
        for shape in (image, weight)
    )
    with pytest.raises(MemoryError):
        fc.conv1d(*arrays, **options)


def zeros(*shape: int, dtype: Any = np.float32) -> Any:
    """An array of pages that exist only once they are written."""
    try:
        return np.zeros(shape, dtype)
    except MemoryError:
        pytest.skip("no address space")


on_64_bits = pytest.mark.skipif(
    sys.maxsize < 2**32 or sys.platform != "linux", reason="needs pages that are not there yet"
)


@on_64_bits
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_signals_of_more_than_2_to_the_31_numbers(dtype):
    signal = zeros(2**31 + 2**20, dtype=dtype)
    signal[-(2**20) :: 2**10] = 3
    expected = np.zeros(2**11 + 1)
    expected[-1] = 6  # 3 from the first tap, at 2**31
    np.testing.assert_array_equal(fc.conv1d(signal, np.array([2, 1, 5], dtype), stride=2**20), expected)


@on_64_bits
def test_batches_of_more_than_2_to_the_31_numbers():
    images = zeros(2**11 + 2, 1, 2**10, 2**10)  # (N, C, H, W)
    images[-1, 0, 512:515, 512:515] = 1
    maps = fc.conv2d(images, np.ones((5, 1, 3, 3), np.float32), stride=512)  # (N, K, 2, 2)
    assert (maps[:-1] == 0).all()
    assert (maps[-1] == [[0, 0], [0, 9]]).all()


@on_64_bits
@pytest.mark.skipif("FASTCONV_TEST_HUGE" not in os.environ, reason="takes 9 GB: set FASTCONV_TEST_HUGE")
def test_outputs_of_more_than_2_to_the_31_numbers():
    signal = zeros(1, 2**30 + 5)
    signal[0, -1] = 1
    maps = fc.conv1d(signal, np.array([1, 2, 3], np.float32).reshape(3, 1, 1))
    np.testing.assert_array_equal(maps[:, -2:], [[0, 1], [0, 2], [0, 3]])


if __name__ == "__main__":
    main()
