"""Lazy convolution of dask arrays: the bits of one call on the whole array, whatever the chunks."""

import math
import pickle
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import problems, values

import fastconv as fc

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")
fcd = pytest.importorskip("fastconv.dask")

FLOATS_AND_INTEGERS = ["f4", "f8", "f2", "c8", "u1", "i2"]


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="sync"):
        yield


def chunked(data: Any, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Draw chunks along every axis: uneven ones, and empty ones."""
    chunks = []
    for length in shape:
        cuts = data.draw(st.lists(st.integers(0, length), max_size=3))
        ends = [0, *sorted(cuts), length]
        chunks.append(tuple(last - first for first, last in pairwise(ends)))
    return tuple(chunks)


def assert_same_bits(lazy: Any, expected: Any) -> None:
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
    assert type(lazy._meta) is np.ndarray
    found = lazy.compute()
    assert found.dtype == expected.dtype
    assert tuple(map(sum, lazy.chunks)) == found.shape
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("axes", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_chunks_have_the_bits_of_the_whole(axes, data):
    problem = data.draw(problems(axes, FLOATS_AND_INTEGERS))
    image, weight, bias = problem.input, problem.weight, problem.bias
    if weight.ndim != axes + 2:
        kernels = (1,) * (axes + 2 - weight.ndim)
        image = image[(..., np.newaxis, *[slice(None)] * axes)] if weight.ndim == axes else image
        weight, bias = weight.reshape(kernels + weight.shape), None if bias is None else bias.reshape(1)
    bank = fc.FilterBank(weight, bias, **problem.options)
    lazy = da.from_array(image, chunks=chunked(data, image.shape))
    assert_same_bits(bank(lazy), bank(image))


LARGE = [
    ((2, 3, 90, 101), (8, 3, 3, 3), {"padding": 1}),  # Winograd
    ((64, 40, 40), (64, 64, 3, 3), {"padding": "same", "padding_mode": "circular", "activation": "silu"}),
    ((1, 200, 190), (2, 1, 31, 31), {"padding": "same", "padding_mode": "reflect"}),  # transforms
    (
        (4, 120, 130),
        (4, 1, 9, 9),
        {"groups": 4, "stride": (2, 1), "padding": ((3, 0), (8, 1)), "padding_mode": "symmetric"},
    ),
    ((2, 6000), (3, 2, 401), {"padding": "full"}),
    ((1, 5000), (4, 1, 64), {"stride": 32, "dilation": 3}),
    ((2, 20, 30, 25), (3, 2, 3, 3, 3), {"padding": 2, "padding_mode": ("reflect", "circular", "zeros")}),
    (
        (3, 70, 60),
        (5, 3, 5, 4),
        {"padding": "same_lower", "padding_mode": "constant", "padding_value": [1.0, -2.0, 0.5]},
    ),
]


@pytest.mark.parametrize(("image", "weight", "options"), LARGE, ids=str)
@pytest.mark.parametrize("chunk", [7, 32, 1000])
def test_tiles_and_blocks_lie_where_they_lie_in_the_whole(image, weight, options, chunk, rng):
    image, bank = values(rng, image, "f4"), fc.FilterBank(values(rng, weight, "f4"), **options)
    expected = bank(image)
    size = tuple(max(n // 8, chunk) for n in image.shape)
    assert_same_bits(bank(da.from_array(image, chunks=size)), expected)


@pytest.mark.parametrize("algorithm", ["direct", "winograd", "fft"])
def test_every_algorithm(algorithm, rng):
    image, weight = values(rng, (4, 75, 83), "f4"), values(rng, (6, 4, 5, 5), "f4")
    lazy = fc.conv2d(da.from_array(image, chunks=(3, 20, 83)), weight, padding=2, algorithm=algorithm)
    assert_same_bits(lazy, fc.FilterBank(weight, padding=2, algorithm=algorithm)(image))


@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (5, 4)])
def test_transposed_convolution(kernel, stride, rng):
    image, weight = values(rng, (2, 4, 23, 30), "f4"), values(rng, (4, 3, *kernel), "f4")
    options = {"stride": stride, "padding": 1}
    lazy = da.from_array(image, chunks=(1, 3, 7, 11))
    expected = fc.TransposedFilterBank(weight, **options)(image)
    assert_same_bits(fcd.conv_transpose2d(lazy, weight, **options), expected)
    assert_same_bits(fc.conv_transpose2d(lazy, weight, **options), expected)
    assert_same_bits(fc.TransposedFilterBank(weight, **options)(lazy), expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("rank", ["kernel", "filter", "bank"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_functions_take_weights_of_every_rank(axes, rank, channels_last, rng):
    names = f"{axes}d"
    image = values(rng, (2, *([9] * axes), 4) if channels_last else (2, 4, *[9] * axes), "f4")
    weight = values(rng, {"kernel": (), "filter": (4,), "bank": (3, 4)}[rank] + (3,) * axes, "f4")
    options = {"padding": 1, "channels_last": channels_last}
    expected = getattr(fc, f"conv{names}")(image, weight, **options)
    lazy = da.from_array(image, chunks=4)
    for found in (
        getattr(fc, f"conv{names}")(lazy, weight, **options),
        getattr(fcd, f"conv{names}")(lazy, weight, **options),
    ):
        assert found.shape == expected.shape
        assert_same_bits(found, expected)


def test_stacks_and_axes(rng):
    image = values(rng, (3, 60, 50), "f4")
    stack = fc.Sequential(
        fc.FilterBank(values(rng, (8, 3, 3, 3), "f4"), padding=1, activation="relu"),
        fc.FilterBank(values(rng, (2, 8, 3, 3), "f4"), stride=2),
    )
    assert_same_bits(stack(da.from_array(image, chunks=17)), stack(image))
    signals, kernel = values(rng, (40, 7), "f4"), values(rng, (5,), "f4")
    assert_same_bits(fc.conv1d(da.from_array(signals, chunks=3), kernel, axis=0), fc.conv1d(signals, kernel, axis=0))


def test_images_without_batch_or_channels(rng):
    image, bank = values(rng, (31, 40), "f4"), fc.FilterBank(values(rng, (3, 1, 3, 3), "f4"))
    assert_same_bits(bank(da.from_array(image, chunks=8)), bank(image))


def test_nothing_is_computed_before_it_is_asked_for():
    def fail(block: Any) -> Any:
        raise AssertionError("computed")

    lazy = da.zeros((3, 20, 20), chunks=10, dtype=np.float32).map_blocks(fail, dtype=np.float32)
    maps = fc.FilterBank(np.ones((2, 3, 3, 3), np.float32))(lazy)
    assert maps.shape == (2, 18, 18)
    with pytest.raises(AssertionError, match="computed"):
        maps.compute()


def test_chunks_follow_those_of_the_input():
    lazy = da.zeros((3, 100, 100), chunks=(3, 50, (20, 80)), dtype=np.float32)
    assert fcd.conv2d(lazy, np.ones((2, 3, 3, 3)), padding=1).chunks == ((2,), (50, 50), (20, 80))
    assert fcd.conv2d(lazy, np.ones((2, 3, 3, 3)), stride=2, padding=1).chunks == ((2,), (25, 25), (10, 40))


def test_a_chunk_reads_its_halo_and_no_more():
    lazy = da.zeros((1, 90, 90), chunks=(1, 30, 30), dtype=np.float32)
    maps = fcd.conv2d(lazy, np.ones((1, 1, 3, 3), np.float32), padding=1, algorithm="direct")
    layer = maps.dask.layers[maps.name]
    boxes = [box for key in layer if str(key[0]).endswith("-margins") for box in layer[key][0].args[0]]
    read = sum(math.prod(stop - start for start, stop in box) for box in boxes)
    assert read == 4 * (2 * 90) + 4 * 4  # rows and columns beside four borders, and corners where they cross
    assert len(layer) == 1 + 9 + 9  # the bank, and for each chunk its margins and its maps


def test_equal_calls_have_equal_names():
    lazy, weight = da.zeros((1, 9, 9), chunks=3), np.ones((1, 1, 3, 3))
    one, other = (fcd.conv2d(lazy, weight.copy(), padding=1) for _ in range(2))
    assert one.name == other.name
    assert fcd.conv2d(lazy, 2 * weight, padding=1).name != one.name
    assert fcd.conv2d(lazy, weight, padding=1, padding_mode="reflect").name != one.name


def test_integers_saturate_and_wrap_as_ever(rng):
    image = rng.integers(0, 256, (3, 40, 50), np.uint8)
    bank = fc.FilterBank(fc.filters.sharpen()[np.newaxis, np.newaxis].repeat(3, 0), groups=3, padding=1, saturate=True)
    assert_same_bits(bank(da.from_array(image, chunks=13)), bank(image))


def test_slopes_of_an_activation(rng):
    image, slopes = values(rng, (2, 30, 30), "f4"), np.array([0.1, -0.5, 2.0], np.float32)
    bank = fc.FilterBank(values(rng, (3, 2, 3, 3), "f4"), activation=("prelu", slopes))
    assert_same_bits(bank(da.from_array(image, chunks=11)), bank(image))


def test_nan_reaches_what_sees_it(rng):
    image = values(rng, (2, 60, 60), "f4")
    image[1, 31, 29] = np.nan
    for kernel, algorithm in product((3, 15), ("winograd", "fft")):
        if (kernel, algorithm) != (15, "winograd"):
            bank = fc.FilterBank(values(rng, (2, 2, kernel, kernel), "f4"), padding="same", algorithm=algorithm)
            assert_same_bits(bank(da.from_array(image, chunks=16)), bank(image))


def test_banks_go_through_pickle_small():
    bank = fc.FilterBank(np.ones((64, 64, 3, 3), np.float32))
    bank(np.ones((64, 30, 30), np.float32))
    assert len(pickle.dumps(bank)) < bank.weight.nbytes + 2000


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda a: fcd.conv2d(np.ones((1, 9, 9)), np.ones((1, 1, 3, 3))),
            TypeError,
            "input must be a dask array; got ndarray",
        ),
        (lambda a: fcd.conv2d(a, np.ones(3)), ValueError, "weight must have 2 to 4 axes"),
        (lambda a: fcd.conv2d(a[a[:, 0, 0] > 0], np.ones((1, 1, 3, 3))), ValueError, "input must be of known shape"),
        (lambda a: fcd.conv2d(a, np.ones((1, 5, 3, 3))), ValueError, "channels"),
        (lambda a: fc.conv2d(a, np.ones((3, 3)), out=np.ones((1, 7, 7))), TypeError, "out must be left out"),
        (lambda a: fc.conv2d(a, np.ones((3, 3)), nan="ignore"), TypeError, "nan, .* must be left out"),
        (
            lambda a: fc.FilterBank(np.ones((1, 1, 3, 3)))(a, mask=np.ones((9, 9))),
            TypeError,
            "mask, .* must be left out",
        ),
        (lambda a: fc.FilterBank(np.ones((1, 1, 3, 3)))(a, residual=a), TypeError, "residual must be left out"),
        (lambda a: fc.conv2d(da.ma.masked_equal(a, 0), np.ones((3, 3))), TypeError, "chunks are masked"),
        (
            lambda a: fcd.convolve(
                fc.TransposedFilterBank(np.ones((1, 1, 3, 3)), padding=1, padding_mode="reflect"), a
            ),
            ValueError,
            "padding_mode must be 'zeros'",
        ),
        (lambda a: fcd.conv_transpose2d(a, np.ones((3, 3))), ValueError, "weight must be a bank"),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make(da.ones((1, 9, 9), chunks=3))


def test_units_are_not_lost_in_silence():
    units = pytest.importorskip("astropy.units")
    lazy = da.from_array(np.ones((9, 9)) * units.m, chunks=3, asarray=False)
    if type(lazy._meta) is np.ndarray:
        pytest.skip("this dask array has lost them already")
    with pytest.raises(TypeError, match="input must have chunks that are NumPy arrays; got Quantity"):
        fc.conv2d(lazy, np.ones((3, 3)))


def test_worker_processes_pack_weights_once(rng):
    distributed = pytest.importorskip("distributed")
    image, bank = values(rng, (3, 64, 64), "f4"), fc.FilterBank(values(rng, (4, 3, 5, 5), "f4"), padding="same")

    def count_packings() -> None:
        from fastconv import _plan

        prepare = _plan.prepare
        _plan.packings = 0

        def counting(*given: Any, **named: Any) -> Any:
            _plan.packings += 1
            return prepare(*given, **named)

        _plan.prepare = counting

    def packings() -> int:
        from fastconv import _plan

        return int(_plan.packings)

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(count_packings)
        maps = bank(da.from_array(image, chunks=(3, 16, 16))).compute(scheduler=client)
        assert max(client.run(packings).values()) <= 1
    assert maps.tobytes() == bank(image).tobytes()
