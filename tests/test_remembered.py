"""Weights that functions pack once: what is kept, for how long, and that no result depends on it."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from problem_table import use_isa

import fastconv as fc
from fastconv import _core, _remembered

Array = NDArray[Any]
DEFAULT = 2**26

# Images, weights and options that are computed in different ways, and for which packing takes a while.
CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "winograd, one block": ((1, 40, 8, 8), (50, 40, 3, 3), {"padding": 1, "algorithm": "winograd"}),
    "winograd, blocks": ((3, 20, 40, 40), (30, 20, 3, 3), {"padding": 1, "algorithm": "winograd"}),
    "winograd, parts": ((1, 20, 20, 20), (20, 20, 7, 7), {"algorithm": "winograd"}),
    "winograd, few channels": ((1, 3, 40, 40), (20, 3, 5, 5), {"algorithm": "winograd", "activation": "relu"}),
    "fft": ((1, 4, 70, 70), (6, 4, 31, 31), {"padding": "same", "algorithm": "fft"}),
    "fft, groups": ((2, 6, 50, 50), (6, 2, 9, 11), {"groups": 3, "algorithm": "fft"}),
    "tiles, turned": ((1, 32, 9, 9), (32, 32, 3, 3), {"flip": True, "algorithm": "direct"}),
    "tiles, many filters": ((4, 64, 7, 7), (128, 64, 3, 3), {"algorithm": "direct"}),
    "tiles, channels last": ((2, 9, 9, 32), (48, 32, 3, 3), {"channels_last": True, "algorithm": "direct"}),
    "long rows": ((1, 4, 1, 9000), (40, 4, 1, 3), {"algorithm": "winograd"}),
}


@pytest.fixture(autouse=True)
def weights() -> Iterator[_remembered.Remembered]:
    """What is remembered, nothing at first."""
    fc.set_weight_cache(0)
    fc.set_weight_cache(DEFAULT)
    _remembered.weights._seen = {}
    yield _remembered.weights
    fc.set_weight_cache(DEFAULT)


def bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def arrays(image: tuple[int, ...], weight: tuple[int, ...], dtype: Any = np.float32) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal(image).astype(dtype), rng.standard_normal(weight).astype(dtype)


def layer() -> tuple[Array, Array, Callable[[Array, Array], Array], Callable[[Array, Array], Array]]:
    """Return an image, weights, a function that remembers weights, and a bank, which need not."""
    image, weight = arrays((1, 40, 8, 8), (50, 40, 3, 3))
    options: dict[str, Any] = {"padding": 1, "algorithm": "winograd"}
    return image, weight, lambda x, w: fc.conv2d(x, w, **options), lambda x, w: fc.FilterBank(w, **options)(x)


def test_weights_for_images_whose_channels_come_last_are_kept(weights):
    image, weight = arrays(*CASES["tiles, channels last"][:2])
    for _ in range(2):
        fc.conv2d(image, weight, channels_last=True, algorithm="direct")
    assert weights.nbytes >= weight.nbytes


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.float16])
@pytest.mark.parametrize("name", CASES)
def test_no_bit_depends_on_whether_weights_are_packed_or_kept(name, dtype, weights):
    image_shape, weight_shape, options = CASES[name]
    image, weight = arrays(image_shape, weight_shape, dtype)
    if dtype == np.complex64:
        options = {**options, "algorithm": "auto", "activation": None}
    before, _ = _core.current_isa()
    try:
        for isa in _core.available_isas():
            use_isa(isa)
            expected = bits(fc.FilterBank(weight, **options)(image))
            for threads in (1, 1, 1, 2, 2):
                assert bits(fc.conv2d(image, weight, threads=threads, **options)) == expected, isa
            fc.set_weight_cache(0)
            assert bits(fc.conv2d(image, weight, **options)) == expected, isa
            fc.set_weight_cache(DEFAULT)
    finally:
        use_isa(before)


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("tiles, many")])
def test_weights_are_kept_from_their_second_call_on(name, weights):
    image_shape, weight_shape, options = CASES[name]
    image, weight = arrays(image_shape, weight_shape)
    counts = []
    for _ in range(4):
        fc.conv2d(image, weight, **options)
        counts.append(len(weights._kept))
    assert counts == [0, 1, 1, 1]
    (kept,) = weights._kept.values()
    packed = kept.packed
    fc.conv2d(image[:, :, : -(image.shape[2] // 4) or None], weight.copy(), **options)  # by value, not by address
    assert weights._kept
    assert kept.packed is packed


@pytest.mark.parametrize("algorithm", ["auto", "direct", "winograd"])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 1), (2, 0)])
def test_transposed_convolutions_and_gradients_remember_as_well(stride, padding, algorithm, weights):
    image, weight = arrays((2, 40, 9, 9), (40, 24, 3, 3))
    options = {"stride": stride, "padding": padding, "algorithm": algorithm}
    banks = fc.TransposedFilterBank(weight, **options), fc.FilterBank(weight, **options)
    expected = bits(banks[0](image))
    assert [bits(fc.conv_transpose2d(image, weight, **options)) == expected for _ in range(4)] == [True] * 4
    assert weights._kept
    image = arrays((2, 24, 9, 9), ())[0]
    maps = banks[1](image)
    expected = bits(banks[1].backward(image, maps).input)
    for _ in range(4):
        gradient = fc.grad.conv2d_input(image.shape, weight, maps, stride=stride, padding=padding)
        assert algorithm != "auto" or bits(gradient) == expected


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.float16])
def test_weights_that_are_not_finite_and_that_nobody_sees(dtype):
    image, weight = arrays((2, 16, 5, 2), (16, 2, 11, 4), dtype)
    weight[-1, -1, -1, -1] = np.nan
    options = {"padding": 2, "dilation": 9, "flip": True, "algorithm": "direct"}
    expected = fc.TransposedFilterBank(weight, **options)(image)
    for _ in range(4):
        np.testing.assert_array_equal(fc.conv_transpose2d(image, weight, **options), expected)


@pytest.mark.parametrize("padding_mode", ["reflect", "replicate", "circular", "symmetric"])
def test_gradients_of_parts_of_the_padding_do_not_mix(padding_mode):
    """Their plans differ, but the weights are the same."""
    image, weight = arrays((1, 3, 8, 11), (10, 3, 3, 3))
    options = {"padding": ((3, 1), (0, 5)), "padding_mode": padding_mode}
    maps = fc.conv2d(image, weight, **options)
    expected = bits(fc.FilterBank(weight, **options).backward(image, maps).input)
    for _ in range(4):
        assert bits(fc.grad.conv2d_input(image.shape, weight, maps, **options)) == expected


@pytest.mark.parametrize("place", [0, 1, 7777, -1])
def test_weights_that_change_in_place_are_seen(place):
    image, weight, convolve, bank = layer()
    for value in (0.5, -3.0, np.nan, np.inf, 0.0, -0.0, 1e-40):
        for _ in range(3):
            convolve(image, weight)
        weight.reshape(-1)[place] = value
        expected = bits(bank(image, weight))
        assert [bits(convolve(image, weight)) == expected for _ in range(4)] == [True] * 4, value


def test_a_zero_of_the_other_sign_is_another_weight(weights):
    image, weight, convolve, bank = layer()
    weight[:] = 0.0
    convolve(image, weight)
    convolve(image, weight)
    other = weight.copy()
    other[..., 1, 1] = -0.0
    assert bits(convolve(-abs(image), other)) == bits(bank(-abs(image), other))


def test_equal_bytes_of_another_dtype_or_shape_are_other_weights():
    image, weight, convolve, bank = layer()
    for _ in range(3):
        convolve(image, weight)
    for other in (weight.view(np.int32) % 5, weight.view(">f4"), weight.reshape(40, 50, 3, 3)):
        x = np.resize(image, (1, other.shape[1], 8, 8))
        expected = bits(bank(x, other))
        for _ in range(3):
            with np.errstate(all="ignore"):
                assert bits(convolve(x, other)) == expected


@pytest.mark.parametrize(
    "changed", [{"flip": True}, {"groups": 2}, {"precision": "highest"}, {"stride": 2}, {"algorithm": "fft"}]
)
def test_options_do_not_mix(changed):
    image, weight = arrays((1, 40, 20, 20), (40, 40, 7, 7))
    base: dict[str, Any] = {"groups": 1}
    if "groups" in changed:
        image = np.concatenate([image, image], axis=1)
    for options in (base, changed, base, changed):
        given = image if options is changed or "groups" not in changed else image[:, :40]
        expected = bits(fc.FilterBank(weight, **options)(given))
        for _ in range(3):
            assert bits(fc.conv2d(given, weight, **options)) == expected


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate", "circular"])
def test_options_do_not_mix_where_kernels_are_folded(padding_mode, weights):
    image, weight = arrays((1, 3, 5, 6), (4, 3, 41, 43))
    image = image.astype(np.float64)  # which weights are converted to
    for flip in (False, True, False, True):
        options = {"flip": flip, "padding": (20, 21), "padding_mode": padding_mode}
        expected = bits(fc.FilterBank(weight, **options)(image))
        for _ in range(3):
            assert bits(fc.conv2d(image, weight, **options)) == expected
    assert len(weights._kept) == 2


def test_weights_that_are_not_contiguous_are_not_kept(weights):
    image, weight, convolve, bank = layer()
    for other in (weight[::-1], weight[..., ::-1], np.asfortranarray(weight), weight[:, ::-1]):
        expected = bits(bank(image, other))
        assert [bits(convolve(image, other)) == expected for _ in range(3)] == [True] * 3
    assert not weights._kept


def test_small_weights_that_are_read_as_they_are_are_not_looked_up(weights):
    image, weight = arrays((1, 3, 40, 40), (8, 3, 3, 3))
    for _ in range(3):
        fc.conv2d(image, weight)
    assert not weights._kept
    assert not weights._seen


def test_only_copies_are_kept(weights):
    image, weight, convolve, _ = layer()
    for _ in range(3):
        convolve(image, weight)
    alive = weakref.ref(weight)
    (kept,) = weights._kept.values()
    assert not np.may_share_memory(kept.given, weight)
    del weight
    gc.collect()
    assert alive() is None


def test_memory_is_bounded(weights):
    image, weight, convolve, bank = layer()
    convolve(image, weight)
    convolve(image, weight)
    each = weights.nbytes
    assert each >= weight.nbytes * (1 + 16 / 9)  # the copy, and the transforms
    fc.set_weight_cache(3 * each + each // 2)
    for n in range(8):
        other = weight + n
        expected = bits(bank(image, other))
        for _ in range(3):
            assert bits(convolve(image, other)) == expected
            assert weights.nbytes == sum(kept.nbytes for kept in weights._kept.values()) <= fc.get_weight_cache()
    assert len(weights._kept) == 3
    fc.set_weight_cache(each)
    assert len(weights._kept) == 1
    fc.set_weight_cache(0)
    assert (len(weights._kept), weights.nbytes) == (0, 0)
    convolve(image, weight)
    convolve(image, weight)
    assert not weights._kept


@pytest.mark.parametrize(
    ("image", "weight", "options"),
    [
        ((24, 80, 80), (24, 24, 31, 31), {"algorithm": "fft"}),
        ((24, 30, 30), (24, 24, 7, 7), {"algorithm": "winograd"}),
    ],
)
def test_weights_that_would_be_too_large_when_packed_never_are(image, weight, options, weights, monkeypatch):
    image, weight = arrays(image, weight)
    fc.set_weight_cache(3 * weight.nbytes)
    expected = bits(fc.FilterBank(weight, **options)(image))
    monkeypatch.setattr(_remembered.Remembered, "_pack", None)
    for _ in range(3):
        assert bits(fc.conv2d(image, weight, **options)) == expected


def test_of_too_many_weights_in_turn_some_stay(weights):
    """Else each of them would be packed in every turn, and dropped before the next one."""
    image, weight, convolve, _ = layer()
    network = [weight + n for n in range(6)]
    convolve(image, weight)
    convolve(image, weight)
    fc.set_weight_cache(3 * weights.nbytes + 1)
    for _ in range(3):
        for one in network:
            convolve(image, one)
    stay = dict(weights._kept)
    for _ in range(3):
        for one in network:
            convolve(image, one)
    assert len(stay) == 3
    assert weights._kept == stay


def test_the_number_of_weights_is_bounded(weights, monkeypatch):
    monkeypatch.setattr(_remembered, "MAX_KEPT", 4)
    monkeypatch.setattr(_remembered, "MAX_SEEN", 8)
    image, weight, convolve, _ = layer()
    for n in range(30):
        convolve(image, weight + n)
        convolve(image, weight + n // 2)
    assert len(weights._kept) <= 4
    assert len(weights._seen) <= 8


def test_nobody_waits_for_the_lock(weights):
    """A signal handler that convolves may have interrupted whoever holds it."""
    image, weight, convolve, bank = layer()
    expected = bits(bank(image, weight))
    with weights._lock:
        assert [bits(convolve(image, weight)) == expected for _ in range(4)] == [True] * 4
        fc.set_weight_cache(DEFAULT)
    assert not weights._kept


def test_threads_may_convolve_with_weights_that_come_and_go(weights):
    image, weight, convolve, bank = layer()
    convolve(image, weight)
    convolve(image, weight)
    fc.set_weight_cache(2 * weights.nbytes + 1)
    different = [weight + n for n in range(5)]
    different += [weight.copy()]
    different[-1][0, 0, 0, 1] += 1  # where nobody looks but the comparison
    expected = [bits(bank(image, one)) for one in different]
    wrong = []

    def hammer(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for n in np.repeat(rng.integers(0, len(different), 60), 3):
            if bits(convolve(image, different[n])) != expected[n]:
                wrong.append(n)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert weights.nbytes == sum(kept.nbytes for kept in weights._kept.values()) <= fc.get_weight_cache()


def test_no_memory_to_keep_weights_is_no_error(weights, monkeypatch):
    image, weight, convolve, bank = layer()
    expected = bits(bank(image, weight))

    def fail(*_: object) -> None:
        raise MemoryError

    convolve(image, weight)
    monkeypatch.setattr(_remembered._weights, "copy", fail)
    assert bits(convolve(image, weight)) == expected
    assert not weights._kept


@pytest.mark.parametrize("value", [-1, 1.5, "1", None, True])
def test_a_cache_of_no_size_is_refused(value):
    with pytest.raises((TypeError, ValueError), match=r"^bytes must be"):
        fc.set_weight_cache(value)
    assert fc.get_weight_cache() == DEFAULT


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1000])
def test_every_byte_is_compared(count):
    one = np.arange(count, dtype=np.uint8)
    assert _core.equal_bytes(one, one.copy())
    for place in range(count):
        other = one.copy()
        other[place] ^= 0x80
        assert not _core.equal_bytes(one, other)
