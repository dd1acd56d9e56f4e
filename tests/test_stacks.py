"""`python -m fastconv filter` on stacks and large files: block by block, with the bits of the way through memory."""

import os
import signal
import subprocess
import sys
import time
from itertools import product

import numpy as np
import pytest

import fastconv as fc
import fastconv.__main__ as command
from fastconv.__main__ import main

Image = pytest.importorskip("PIL.Image")
ImageSequence = pytest.importorskip("PIL.ImageSequence")
tifffile = pytest.importorskip("tifffile")
pytest.importorskip("zarr")

SHAPES = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}
LAYOUTS = {
    "contiguous": {},
    "strips": {"rowsperstrip": 7, "compression": "deflate"},
    "tiles": {"tile": (32, 48)},
    "planes": {"planarconfig": "separate"},
    "big-endian": {"byteorder": ">", "bigtiff": True},
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory, where any TIFF counts as large."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "LARGE", 0)
    return tmp_path


def stack(name, mode="L", pages=3, size=(90, 131), dtype=np.uint8, **options):
    """Write a TIFF of random pixels and return them, (N, H, W) or (N, H, W, C)."""
    bounds = np.iinfo(dtype)
    shape = (pages, *size, *SHAPES[mode])
    pixels = np.random.default_rng(0).integers(bounds.min, bounds.max, shape, dtype, endpoint=True)
    written = np.moveaxis(pixels, -1, 1) if "planarconfig" in options else pixels
    how = {
        "photometric": "rgb" if mode.startswith("RGB") else "minisblack",
        "extrasamples": ["unassalpha"] if mode.endswith("A") else None,
        "planarconfig": "contig" if SHAPES[mode] else None,
        "metadata": None,
    }
    tifffile.imwrite(name, written, **{**how, **options})
    return pixels


def pages_of(name):
    with Image.open(name) as picture:
        return [np.asarray(frame) for frame in ImageSequence.Iterator(picture)]


@pytest.mark.parametrize("kernel", ["gaussian", "sobel", "sharpen", "gabor"])
@pytest.mark.parametrize("mode", SHAPES)
def test_blocks_of_pages_have_the_bits_of_pages_in_memory(mode, kernel, monkeypatch):
    stack("stack.tif", mode)
    assert main(["filter", "stack.tif", "-k", kernel, "-o", "blocks.tif", "--memory-limit", "1"]) == 0
    monkeypatch.setattr(command, "LARGE", 2**40)
    assert main(["filter", "stack.tif", "-k", kernel, "-o", "pages.tif"]) == 0
    pages, expected = pages_of("blocks.tif"), pages_of("pages.tif")
    assert len(pages) == 3
    assert all(np.array_equal(page, other) for page, other in zip(pages, expected, strict=True))


@pytest.mark.parametrize(
    ("mode", "layout"), [*product(["RGB"], LAYOUTS), ("L", "contiguous"), ("L", "strips"), ("L", "tiles")]
)
def test_pixels_may_lie_in_the_file_in_any_way(mode, layout):
    pixels = stack("stack.tif", mode, **LAYOUTS[layout])
    assert main(["filter", "stack.tif", "-k", "box", "-o", "out.tif"]) == 0
    assert main(["filter", "stack.tif", "-k", "box", "-o", "out.npy"]) == 0
    planes = np.moveaxis(np.atleast_3d(pixels) if mode == "RGB" else pixels[..., np.newaxis], -1, 1)
    kernel = fc.filters.NAMED["box"]()
    answers = np.stack(
        [[fc.conv2d(plane, kernel, padding="same", padding_mode="reflect") for plane in page] for page in planes]
    )
    raw = np.load("out.npy")
    assert raw.tobytes() == np.moveaxis(answers, 1, -1).reshape(pixels.shape).tobytes()
    assert np.array_equal(tifffile.imread("out.tif"), np.rint(raw).clip(0, 255))


@pytest.mark.parametrize(("mode", "dtype"), [("L", np.uint16), ("RGB", np.uint16), ("L", np.int16)])
def test_sixteen_bits_are_scaled_as_those_of_pictures(mode, dtype, monkeypatch):
    stack("stack.tif", mode, 1, dtype=dtype)
    assert main(["filter", "stack.tif", "-k", "identity", "-o", "blocks.tif"]) == 0
    monkeypatch.setattr(command, "LARGE", 2**40)
    assert main(["filter", "stack.tif", "-k", "identity", "-o", "pages.tif"]) == 0
    assert np.array_equal(pages_of("blocks.tif"), pages_of("pages.tif"))


@pytest.mark.parametrize("shape", [(50, 60), (4, 50, 60), (2, 3, 50, 60), (5, 50, 60, 3), (50, 60, 4)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8", ">f4"])
def test_arrays_keep_their_shape(shape, dtype):
    array = (np.random.default_rng(0).random(shape) * 200).astype(dtype)
    np.save("array.npy", array)
    assert main(["filter", "array.npy", "-k", "log", "-o", "out.npy"]) == 0
    planes = np.moveaxis(array, -1, -3) if shape[-1] in (3, 4) else array
    kernel = fc.filters.NAMED["log"]()[np.newaxis, np.newaxis]
    bank = fc.FilterBank(kernel, padding="same", padding_mode="reflect")
    expected = bank(planes[..., np.newaxis, :, :])[..., 0, :, :]
    expected = np.moveaxis(expected, -3, -1) if shape[-1] in (3, 4) else expected
    answers = np.load("out.npy")
    assert (answers.shape, answers.dtype) == (expected.shape, expected.dtype)
    assert answers.tobytes() == expected.tobytes()


def test_of_a_gradient_arrays_get_the_magnitude():
    image = np.random.default_rng(0).standard_normal((2, 40, 50)).astype(np.float32)
    np.save("image.npy", image)
    assert main(["filter", "image.npy", "-k", "sobel", "-o", "edges.npy"]) == 0
    x, y = (fc.conv2d(image, fc.filters.sobel(axis), padding="same", padding_mode="reflect") for axis in "xy")
    assert np.allclose(np.load("edges.npy"), np.hypot(x, y), rtol=1e-6)


def test_arrays_of_bytes_become_pictures():
    array = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 4), np.uint8)
    np.save("array.npy", array)
    assert main(["filter", "array.npy", "-k", "gaussian", "-o", "out.tif"]) == 0
    expected = [command.filter_pixels(page, fc.filters.NAMED["gaussian"]()[np.newaxis], True) for page in array]
    assert np.array_equal(pages_of("out.tif"), expected)


def test_resolution_and_colour_profile_are_kept():
    stack("stack.tif", "RGB", resolution=(300, 200), resolutionunit="INCH", iccprofile=b"profile")
    assert main(["filter", "stack.tif", "-k", "box", "-o", "out.tif"]) == 0
    with Image.open("out.tif") as picture:
        assert picture.info["dpi"] == (300, 200)
        assert picture.info["icc_profile"] == b"profile"


def test_what_cannot_be_read_in_blocks_is_a_picture():
    Image.fromarray(stack("stack.tif")[0]).convert("P").save("palette.tif")
    assert main(["filter", "palette.tif", "-k", "identity", "-o", "out.tif"]) == 0
    Image.new("L", (9, 8)).save("two.tif", save_all=True, append_images=[Image.new("L", (5, 6))])
    assert main(["filter", "two.tif", "-k", "identity", "-o", "out.tif"]) == 0
    assert [page.shape for page in pages_of("out.tif")] == [(8, 9), (6, 5)]


def test_the_result_may_take_the_place_of_the_input(folder):
    pixels = stack("stack.tif")
    assert main(["filter", "stack.tif", "-k", "identity", "-o", "stack.tif"]) == 0
    assert np.array_equal(tifffile.imread("stack.tif"), pixels)
    assert [path.name for path in folder.iterdir()] == ["stack.tif"]


def test_progress_is_shown_when_asked_for(capsys):
    pytest.importorskip("tqdm")
    stack("stack.tif")
    assert main(["filter", "stack.tif", "-k", "box", "-o", "out.tif"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["filter", "stack.tif", "-k", "box", "-o", "out.tif", "--progress"]) == 0
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["out.tif", "out.npy"])
def test_an_interrupted_run_leaves_nothing(output, folder, monkeypatch, capsys):
    stack("stack.tif")
    write = command.Answers.__setitem__

    def stopped(self, index, answers):
        write(self, index, answers)
        if index[0] == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(command.Answers, "__setitem__", stopped)
    assert main(["filter", "stack.tif", "-k", "box", "-o", output]) == 130
    assert capsys.readouterr().err == "fastconv: stopped; nothing is written\n"
    assert [path.name for path in folder.iterdir()] == ["stack.tif"]


@pytest.mark.skipif(os.name != "posix", reason="a process cannot be asked to stop there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stopped_process_leaves_nothing(name, folder):
    array = np.lib.format.open_memmap("array.npy", "w+", np.uint8, (40, 2000, 2000))
    del array
    heed = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # background jobs ignore it
    program = f"{heed}; runpy.run_module('fastconv', run_name='__main__')"
    run = [sys.executable, "-c", program, "filter", "array.npy", "-k", "gabor", "-o", "out.npy"]
    with subprocess.Popen(run, stderr=subprocess.PIPE, text=True) as process:
        began = time.monotonic()
        while len(list(folder.iterdir())) == 1 and time.monotonic() - began < 60:
            time.sleep(0.01)
        process.send_signal(getattr(signal, name))
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "fastconv: stopped; nothing is written\n")
    assert [path.name for path in folder.iterdir()] == ["array.npy"]


def refused(capsys, *arguments):
    """Run a command that must fail and leave nothing behind; return what it says."""
    before = sorted(os.listdir())
    assert main(["filter", "-k", "box", *arguments]) == 2
    assert sorted(os.listdir()) == before
    return capsys.readouterr().err


def test_errors_name_the_file(capsys, folder):
    np.save("floats.npy", np.ones((5, 5)))
    np.save("line.npy", np.ones(5))
    np.save("empty.npy", np.ones((0, 5, 5)))
    stack("stack.tif", compression="deflate", rowsperstrip=40)
    content = (folder / "stack.tif").read_bytes()
    (folder / "damaged.tif").write_bytes(content[:-9000] + bytes(9000))
    Image.new("L", (3, 3)).save("photo.png")
    for arguments, says in (
        (
            ("floats.npy", "-o", "out.tif"),
            "cannot read floats.npy: its pixels are float64; 8 or 16 bits would be right",
        ),
        (("line.npy", "-o", "out.npy"), "cannot read line.npy: it must have rows and columns; its shape is (5,)"),
        (("empty.npy", "-o", "out.npy"), "cannot read empty.npy: it holds no pixels"),
        (("none.npy", "-o", "out.npy"), "cannot read none.npy: No such file"),
        (("photo.png", "-o", "out.npy"), "cannot read photo.png: not a TIFF file"),
        (("floats.npy", "-o", "out.png"), "cannot write out.png: the ending"),
        (("floats.npy", "-o", "out.npy", "--memory-limit", "0"), "--memory-limit must be at least 1 MB; got 0"),
    ):
        assert refused(capsys, *arguments).startswith(f"fastconv: {says}")
    assert refused(capsys, "damaged.tif", "-o", "out.npy").startswith("fastconv: cannot read damaged.tif")


def test_a_full_disk_is_one_line(capsys, monkeypatch):
    stack("stack.tif")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command._stack.Rows, "__setitem__", fail)
    assert refused(capsys, "stack.tif", "-o", "out.tif") == "fastconv: cannot write out.tif: No space left on device\n"


@pytest.mark.parametrize("package", ["tifffile", "zarr", "tqdm"])
def test_a_missing_package_is_named_with_the_extra(package, capsys, monkeypatch):
    stack("stack.tif", tile=(32, 48))
    monkeypatch.setitem(sys.modules, package, None)
    progress = ["--progress"] * (package == "tqdm")
    said = refused(capsys, "stack.tif", "-o", "out.tif", *progress)
    assert said == f'fastconv: {package} is not installed: pip install "fastconv[storage]"\n'


def test_memory_is_bounded(folder):
    """A file of 400 MB, and blocks of 32 MB: what a run takes beyond one of a small file."""
    program = """
import resource, sys
from fastconv.__main__ import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = []
    for name, pages in (("small.tif", 1), ("large.tif", 10)):
        size = (100, 100) if pages == 1 else (5000, 8000)
        tifffile.imwrite(name, shape=(pages, *size), dtype=np.uint8, photometric="minisblack", metadata=None)
        arguments = ["filter", name, "-k", "gaussian", "-o", "out.tif", "--memory-limit", "32"]
        run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
        peaks.append(int(run.stdout))
    assert (folder / "large.tif").stat().st_size > 4e8
    assert peaks[1] - peaks[0] < 100, peaks
