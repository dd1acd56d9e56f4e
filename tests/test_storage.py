"""Images in storage, computed block by block: the bits of one call, in bounded memory, and again where it was interrupted."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from strategies import values

import fastconv as fc
from fastconv import _check, storage


class Stored:
    """Storage of its own kind, which notes what was read of it and written to it."""

    def __init__(self, array: Any, chunks: Any = None) -> None:
        self.array, self.shape, self.dtype, self.reads, self.writes = array, array.shape, array.dtype, [], []
        if chunks is not None:
            self.chunks = chunks

    def __getitem__(self, index: Any) -> Any:
        self.reads.append(self.array[index].size)
        return self.array[index].copy()

    def __setitem__(self, index: Any, values: Any) -> None:
        self.writes.append(index)
        self.array[index] = values


CASES = [
    ((3, 90, 101), (8, 3, 3, 3), {"padding": 1, "activation": "relu"}),
    ((2, 3, 60, 60), (4, 3, 5, 5), {"padding": "same", "padding_mode": "circular"}),
    ((1, 300, 200), (2, 1, 31, 31), {"padding": "same", "padding_mode": "reflect"}),
    ((2, 2, 5000), (3, 2, 9), {"stride": 2, "dilation": 3}),
    ((2, 20, 30, 25), (2, 2, 3, 3, 3), {"padding": 2, "padding_mode": ("reflect", "circular", "zeros")}),
    ((70, 60), (5, 1, 5, 4), {"padding": "same_lower", "padding_mode": "constant", "padding_value": 2.5}),
]


@pytest.mark.parametrize(("shape", "weight", "options"), CASES, ids=str)
@pytest.mark.parametrize("limit", [2**18, 2**20, 2**28])
@pytest.mark.parametrize("chunked", [False, True])
def test_blocks_have_the_bits_of_the_whole(shape, weight, options, limit, chunked, rng):
    image, bank = values(rng, shape, "f4"), fc.FilterBank(values(rng, weight, "f4"), **options)
    expected = bank(image)
    out = Stored(np.zeros_like(expected), tuple(max(1, n // 3) for n in expected.shape) if chunked else None)
    assert bank(Stored(image), out=out) is out
    assert out.array.tobytes() == expected.tobytes()
    out.array[...] = 0
    try:
        storage.convolve(bank, Stored(image), out, memory_limit=limit)
    except MemoryError:
        assert limit < 2**28
        return
    assert out.array.tobytes() == expected.tobytes()


def test_functions_and_transposed_banks(rng):
    image, weight = values(rng, (3, 40, 50), "f4"), values(rng, (4, 3, 3, 3), "f4")
    out = Stored(np.zeros((4, 38, 48), np.float32))
    assert fc.conv2d(image, weight, out=out) is out
    assert out.array.tobytes() == fc.FilterBank(weight)(image).tobytes()
    up = fc.TransposedFilterBank(values(rng, (3, 2, 2, 2), "f4"), stride=2)
    maps = storage.convolve(up, image, Stored(np.zeros((2, 80, 100), np.float32)), memory_limit=2**17)
    assert len(maps.writes) > 1
    assert maps.array.tobytes() == up(image).tobytes()


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
@pytest.mark.parametrize("rank", [2, 3])
def test_kernels_and_filters(rank, batch, rng):
    shape = (*batch, *(2, 40, 50)[3 - rank :])
    image, weight, bias = values(rng, shape, "f4"), values(rng, (2, 5, 5)[3 - rank :], "f4"), np.float32(0.5)
    expected = fc.conv2d(image, weight, bias, padding="same", padding_mode="reflect")
    out = Stored(np.zeros_like(expected), (1,) * len(batch) + (16, 50))
    options = {"padding": "same", "padding_mode": "reflect"}
    assert fc.conv2d(Stored(image), weight, bias, **options, out=out) is out
    assert out.array.tobytes() == expected.tobytes()


class InMemory(Stored):
    """An array that lies in memory, although it is of a kind of its own."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.array

    def __getattr__(self, name: str) -> Any:
        return getattr(self.array, name)


@pytest.mark.parametrize(("shape", "weight", "options"), CASES, ids=str)
def test_large_storage_is_read_in_blocks_where_the_result_is_an_array(shape, weight, options, rng, monkeypatch):
    monkeypatch.setattr(_check, "LARGE", 1000)
    monkeypatch.setattr(storage, "MEMORY_LIMIT", 2**18)
    image, bank = values(rng, shape, "f4"), fc.FilterBank(values(rng, weight, "f4"), **options)
    expected = bank(image)
    stored = Stored(image)
    maps = bank(stored)
    assert type(maps) is np.ndarray
    assert maps.tobytes() == expected.tobytes()
    assert stored.reads
    out = np.zeros_like(expected)
    assert bank(Stored(image), out=out) is out
    assert out.tobytes() == expected.tobytes()
    function = {3: fc.conv1d, 4: fc.conv2d, 5: fc.conv3d}[len(weight)]
    if len(shape) >= len(weight) - 1:
        stored = Stored(image)
        assert function(stored, bank.weight, **options).tobytes() == expected.tobytes()
        assert stored.reads


def test_functions_and_banks_that_read_large_storage_in_blocks(rng, monkeypatch):
    monkeypatch.setattr(_check, "LARGE", 1000)
    image, kernel = values(rng, (2, 40, 50), "f4"), values(rng, (5, 5), "f4")
    stored = Stored(image)
    assert fc.conv2d(stored, kernel).tobytes() == fc.conv2d(image, kernel).tobytes()
    assert fc.conv2d(stored, kernel[np.newaxis].repeat(2, 0), 0.5).tobytes() == (
        fc.conv2d(image, kernel[np.newaxis].repeat(2, 0), 0.5).tobytes()
    )
    up = fc.TransposedFilterBank(values(rng, (2, 3, 2, 2), "f4"), stride=2)
    assert up(stored).tobytes() == up(image).tobytes()
    stack = fc.Sequential(
        fc.FilterBank(values(rng, (4, 2, 3, 3), "f4")), fc.FilterBank(values(rng, (1, 4, 3, 3), "f4"))
    )
    assert stack(stored).tobytes() == stack(image).tobytes()
    whole = np.uint8(rng.integers(0, 256, (2, 40, 50)))
    saturating = fc.conv2d(Stored(whole), kernel, saturate=True)
    assert np.array_equal(saturating, fc.conv2d(whole, kernel, saturate=True))
    assert len(stored.reads) >= 5


def test_what_lies_in_memory_or_is_small_is_taken_whole(rng, monkeypatch):
    image, kernel = values(rng, (2, 40, 50), "f4"), values(rng, (5, 5), "f4")
    small = InMemory(image)
    assert np.array_equal(fc.conv2d(small, kernel), fc.conv2d(image, kernel))
    monkeypatch.setattr(_check, "LARGE", 1000)
    assert np.array_equal(fc.conv2d(small, kernel), fc.conv2d(image, kernel))
    with_holes = Stored(image)
    with_holes.__class__ = InMemory
    assert np.array_equal(fc.conv2d(with_holes, kernel, nan="ignore"), fc.conv2d(image, kernel))
    assert with_holes.reads == small.reads == []


def test_blocks_are_bands_that_begin_where_chunks_do():
    out = Stored(np.zeros((2, 300, 400), np.float32), chunks=(2, 64, 64))
    storage.convolve(
        fc.FilterBank(np.ones((2, 1, 3, 3), np.float32), padding=1),
        np.ones((1, 300, 400), np.float32),
        out,
        memory_limit=2**20,
    )
    rows = [index[-2] for index in out.writes]
    assert len(rows) > 1
    assert all(band.start % 64 == 0 for band in rows)
    assert all(index[-1] == slice(0, 400) for index in out.writes)


def test_integers_saturate_into_bytes(rng):
    image = rng.integers(0, 256, (3, 100, 100), np.uint8)
    bank = fc.FilterBank(fc.filters.sharpen()[np.newaxis, np.newaxis].repeat(3, 0), groups=3, padding=1, saturate=True)
    out = Stored(np.zeros((3, 100, 100), np.uint8))
    assert np.array_equal(bank(image, out=out).array, bank(image))


class Interrupted(Stored):
    def __setitem__(self, index: Any, values: Any) -> None:
        if len(self.writes) == 3:
            raise KeyboardInterrupt
        super().__setitem__(index, values)


def test_an_interrupted_call_goes_on_where_it_was(tmp_path, rng):
    image, bank = values(rng, (1, 400, 300), "f4"), fc.FilterBank(values(rng, (4, 1, 3, 3), "f4"))
    result, note = np.zeros((4, 398, 298), np.float32), tmp_path / "maps.json"
    with pytest.raises(KeyboardInterrupt):
        storage.convolve(bank, image, Interrupted(result), memory_limit=2**19, resume=note)
    assert json.loads(note.read_text())["blocks"] == 3
    with pytest.raises(ValueError, match="resume must name the file of the same convolution"):
        storage.convolve(bank.replace(activation="relu"), image, Stored(result), memory_limit=2**19, resume=note)
    rest = storage.convolve(bank, image, Stored(result), memory_limit=2**19, resume=note)
    assert rest.writes[0][-2].start > 0
    assert result.tobytes() == bank(image).tobytes()
    assert list(tmp_path.iterdir()) == []
    note.write_text("[]")
    with pytest.raises(ValueError, match="resume must name a file that an interrupted call has left"):
        storage.convolve(bank, image, Stored(result), resume=note)


def test_progress(capsys):
    pytest.importorskip("tqdm")
    bank = fc.FilterBank(np.ones((1, 1, 3, 3), np.float32))
    storage.convolve(
        bank, np.ones((1, 300, 300), np.float32), np.zeros((1, 298, 298), np.float32), memory_limit=2**19, progress=True
    )
    assert "100%" in capsys.readouterr().err


def test_memory_is_bounded(tmp_path):
    program = """
import resource, sys, numpy as np, fastconv as fc
from fastconv import storage
kind, kernel, filters = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
image = np.lib.format.open_memmap(sys.argv[4] + "/image.npy", "w+", np.float32, (1, 8192, 8192))
out = np.lib.format.open_memmap(sys.argv[4] + "/maps.npy", "w+", np.float32, (filters, 8192, 8192))
bank = fc.FilterBank(np.ones((filters, 1, kernel, kernel), np.float32), padding="same")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
storage.convolve(bank, image, out, memory_limit=2**26)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    for kernel, filters in ((5, 1), (31, 1), (5, 2)):
        arguments = [sys.executable, "-c", program, "memmap", str(kernel), str(filters), str(tmp_path)]
        run = subprocess.run(arguments, capture_output=True, text=True, check=True)
        assert int(run.stdout) < 200, (kernel, filters)


def test_zarr_and_h5py(tmp_path, rng):
    image, bank = values(rng, (2, 200, 150), "f4"), fc.FilterBank(values(rng, (3, 2, 5, 5), "f4"), padding="same")
    expected = bank(image)
    zarr = pytest.importorskip("zarr")
    source = zarr.create_array(tmp_path / "image.zarr", data=image, chunks=(1, 64, 64))
    target = zarr.create_array(tmp_path / "maps.zarr", shape=expected.shape, dtype="f4", chunks=(3, 50, 150))
    bank(source, out=target)
    assert target[:].tobytes() == expected.tobytes()
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        bank(source, out=file.create_dataset("maps", expected.shape, "f4", chunks=(1, 64, 64)))
        assert file["maps"][:].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"out": Stored(np.zeros((1, 9, 9)))}, ValueError, r"out must have shape \(1, 7, 7\); got \(1, 9, 9\)"),
        ({"out": Stored(np.zeros((1, 7, 7), np.int32))}, TypeError, "out must hold float64; got dtype int32"),
        ({"image": [1, 2]}, TypeError, "image must have a shape, a dtype and slices; got list"),
        ({"memory_limit": 0}, ValueError, "memory_limit must be"),
        ({"memory_limit": 10}, MemoryError, "memory_limit must be at least"),
        ({"bank": fc.FilterBank(np.ones((1, 1, 3, 3)), channels_last=True)}, ValueError, "channels_last must be False"),
    ],
)
def test_errors(change, error, words):
    given = {
        "bank": fc.FilterBank(np.ones((1, 1, 3, 3))),
        "image": np.ones((1, 9, 9)),
        "out": Stored(np.zeros((1, 7, 7))),
        **change,
    }
    with pytest.raises(error, match=words):
        storage.convolve(**given)


def test_options_that_storage_does_not_go_with():
    image, out = np.ones((1, 9, 9)), Stored(np.zeros((1, 7, 7)))
    with pytest.raises(TypeError, match=r"nan, mask, .* must be left out where out is storage"):
        fc.conv2d(image, np.ones((1, 1, 3, 3)), nan="ignore", out=out)
    with pytest.raises(ValueError, match="weight must have 2 to 4 axes"):
        fc.conv2d(image, np.ones(3), out=out)
    with pytest.raises(TypeError, match="output_size must be left out where out is storage"):
        fc.TransposedFilterBank(np.ones((1, 1, 3, 3)))(image, output_size=11, out=out)
