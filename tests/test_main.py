"""The commands of `python -m fastconv`, run end to end on small image files."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
import fastconv.__main__ as command
from fastconv.__main__ import main

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photo(name, mode="RGB", size=(31, 20), seed=0):
    """Write an image file of random pixels and return them, (H, W) or (H, W, C)."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)
    picture = Image.merge(mode, [Image.fromarray(plane) for plane in np.moveaxis(pixels, -1, 0)])
    picture.save(name)
    return np.asarray(picture)


def opened(name):
    with Image.open(name) as picture:
        picture.load()
        return picture


def refused(capsys, folder, *arguments):
    """Run a command that must fail and leave nothing behind; return what it says."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert printed.out == ""
    assert printed.err.startswith("fastconv: ")
    assert printed.err.endswith("\n")
    assert printed.err.count("\n") == 1
    return printed.err


# filter


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("kernel", sorted(fc.filters.NAMED))
def test_filter_keeps_size_mode_and_alpha(mode, kernel):
    pixels = photo("photo.png", mode)
    assert main(["filter", "photo.png", "--kernel", kernel, "-o", "out.png"]) == 0
    result = opened("out.png")
    assert (result.mode, result.size) == (mode, (31, 20))
    if mode.endswith("A"):
        assert np.array_equal(np.asarray(result)[..., -1], pixels[..., -1])


def test_filter_identity_leaves_every_pixel():
    pixels = photo("photo.png")
    assert main(["filter", "photo.png", "-k", "identity", "-o", "out.png"]) == 0
    assert np.array_equal(np.asarray(opened("out.png")), pixels)


def test_filter_box_is_the_mean_of_the_neighbours_in_each_channel():
    pixels = photo("photo.png").astype(float)
    assert main(["filter", "photo.png", "-k", "box", "-o", "out.png"]) == 0
    around = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "reflect")
    mean = sum(around[y : y + 20, x : x + 31] for y in range(3) for x in range(3)) / 9
    assert np.abs(np.asarray(opened("out.png")) - mean).max() <= 0.501


@pytest.mark.parametrize("kernel", [name for name in fc.filters.NAMED if name[-2:] == "-x" or "diagonal" in name])
def test_filter_draws_detectors_black_where_the_image_is_flat(kernel):
    Image.new("L", (9, 7), 200).save("photo.png")
    assert main(["filter", "photo.png", "-k", kernel, "-o", "out.png"]) == 0
    assert not np.asarray(opened("out.png")).any()


def test_filter_draws_edges_white_whichever_side_is_brighter():
    pixels = np.zeros((8, 30), np.uint8)
    pixels[:, 10:20] = 255
    Image.fromarray(pixels).save("photo.png")
    assert main(["filter", "photo.png", "-k", "sobel-x", "-o", "out.png"]) == 0
    row = np.asarray(opened("out.png"))[4]
    assert np.flatnonzero(row == 255).tolist() == [9, 10, 19, 20]
    assert np.flatnonzero(row).tolist() == [9, 10, 19, 20]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 1)])
def test_filter_takes_images_smaller_than_the_kernel(size):
    photo("photo.png", size=size)
    assert main(["filter", "photo.png", "-k", "gabor", "-o", "out.png"]) == 0
    assert opened("out.png").size == size


def test_filter_reads_palettes_bits_and_sixteen_bits():
    pixels = photo("photo.png", "L")
    opened("photo.png").convert("P").save("palette.png")
    opened("photo.png").convert("1").save("bits.png")
    Image.fromarray(pixels.astype(np.uint16) * 257).save("sixteen.png")
    modes = {}
    for name in ("palette.png", "bits.png", "sixteen.png"):
        assert main(["filter", name, "-k", "identity", "-o", name]) == 0
        modes[name] = opened(name).mode
    assert modes == {"palette.png": "RGB", "bits.png": "L", "sixteen.png": "L"}
    assert np.array_equal(np.asarray(opened("sixteen.png")), pixels)


def test_filter_keeps_the_transparency_of_a_palette():
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    picture.save("photo.png", transparency=1)
    assert main(["filter", "photo.png", "-k", "identity", "-o", "out.png"]) == 0
    assert opened("out.png").getpixel((0, 0)) == (255, 0, 0, 255)
    assert opened("out.png").getpixel((1, 0)) == (0, 255, 0, 0)


def test_filter_turns_a_photo_upright():
    photo("photo.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn a quarter clockwise
    opened("photo.png").save("turned.jpg", exif=exif)
    assert main(["filter", "turned.jpg", "-k", "identity", "-o", "out.png"]) == 0
    assert opened("out.png").size == (20, 31)


@pytest.mark.parametrize("ending", [".jpg", ".JPG", ".bmp", ".tif", ".gif"])
def test_filter_writes_the_format_of_the_ending(ending):
    photo("photo.png")
    assert main(["filter", "photo.png", "-k", "sharpen", "-o", "out" + ending]) == 0
    assert opened("out" + ending).size == (31, 20)


def test_filter_may_write_over_its_input(folder):
    photo("photo.png")
    assert main(["filter", "photo.png", "-k", "box", "-o", "photo.png"]) == 0
    assert [path.name for path in folder.iterdir()] == ["photo.png"]


# demo


def test_demo_draws_one_picture_and_prints_a_table(folder, capsys):
    photo("photo.png", size=(64, 48))
    assert main(["demo", "photo.png", "-o", "picture.png"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert max(map(len, printed.out.splitlines())) <= 88
    for text in ("photo.png", " thread", "(8, 3, 7, 7)", "(8, 48, 64)", "NumPy", "ratio", "Wrote picture.png"):
        assert text in printed.out
    picture = opened("picture.png")
    assert picture.width == 1560
    assert len(np.unique(np.asarray(picture.convert("L")))) > 100
    assert sorted(path.name for path in folder.iterdir()) == ["photo.png", "picture.png"]


def test_demo_brings_its_own_photo(folder, monkeypatch):
    monkeypatch.setattr(command, "DEMO_PIXELS", 40)
    assert main(["demo"]) == 0
    assert [path.name for path in folder.iterdir()] == ["fastconv-demo.png"]


@pytest.mark.parametrize(("mode", "size"), [("L", (50, 7)), ("RGBA", (3, 40)), ("LA", (1, 1))])
def test_demo_takes_photos_of_any_mode_and_shape(mode, size):
    photo("photo.png", mode, size)
    assert main(["demo", "photo.png", "-o", "picture.png"]) == 0
    assert opened("picture.png").width == 1560


def test_demo_takes_a_photo_without_any_feature():
    Image.new("L", (30, 20), 77).save("photo.png")
    assert main(["demo", "photo.png"]) == 0


@pytest.mark.parametrize("ending", [".jpg", ".pdf", ".svg"])
def test_demo_writes_the_format_of_the_ending(ending, folder):
    photo("photo.png")
    assert main(["demo", "photo.png", "-o", "picture" + ending]) == 0
    assert (folder / f"picture{ending}").stat().st_size > 10_000


def test_demo_notices_a_wrong_result(monkeypatch):
    photo("photo.png")
    right = command.by_numpy
    monkeypatch.setattr(command, "by_numpy", lambda *arguments: right(*arguments) + 0.01)
    with pytest.raises(AssertionError, match="disagree"):
        main(["demo", "photo.png"])


# info, help


def test_info_prints_the_configuration(capsys):
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    fc.show_config()
    assert capsys.readouterr().out == shown


def test_the_module_runs_as_a_command():
    run = subprocess.run([sys.executable, "-m", "fastconv", "info"], capture_output=True, text=True, check=True)
    assert fc.__version__ in run.stdout


def test_help_names_every_kernel(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["filter", "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out.split("kernels: ")[1]
    assert "".join(shown.split()) == ",".join(fc.filters.NAMED)


# Refused


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "command"),
        (["blur"], "'blur'"),
        (["filter", "photo.png", "-o", "out.png"], "-k/--kernel"),
        (["filter", "photo.png", "-k", "box"], "-o/--output"),
        (["info", "more"], "more"),
    ],
)
def test_misspelt_commands_are_refused(arguments, says, capsys, folder):
    assert says in refused(capsys, folder, *arguments)


def test_an_unknown_kernel_is_refused_with_those_there_are(capsys, folder):
    photo("photo.png")
    message = refused(capsys, folder, "filter", "photo.png", "-k", "sobel", "-o", "out.png")
    assert "'sobel'" in message
    assert all(name in message for name in fc.filters.NAMED)


FILTER, DEMO = ["filter", "-k", "box"], ["demo"]


@pytest.mark.parametrize("start", [FILTER, DEMO], ids=["filter", "demo"])
def test_a_missing_photo_is_refused(start, capsys, folder):
    assert "cannot read none.png: No such file" in refused(capsys, folder, *start, "none.png", "-o", "out.png")


@pytest.mark.parametrize("start", [FILTER, DEMO], ids=["filter", "demo"])
def test_a_folder_is_no_photo(start, capsys, folder):
    assert f"cannot read {folder}: " in refused(capsys, folder, *start, str(folder), "-o", "out.png")


@pytest.mark.parametrize("start", [FILTER, DEMO], ids=["filter", "demo"])
@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_refused(start, content, capsys, folder):
    (folder / "photo.png").write_bytes(content)
    assert "cannot read photo.png: " in refused(capsys, folder, *start, "photo.png", "-o", "out.png")


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_half_a_photo_is_refused(ending, capsys, folder):
    photo("photo" + ending)
    content = (folder / f"photo{ending}").read_bytes()
    (folder / f"photo{ending}").write_bytes(content[: len(content) // 2])
    assert "cannot read photo" in refused(capsys, folder, *FILTER, "photo" + ending, "-o", "out.png")


def test_pixels_of_32_bits_are_refused(capsys, folder):
    Image.new("F", (4, 4)).save("photo.tif")
    assert "32 bits" in refused(capsys, folder, *FILTER, "photo.tif", "-o", "out.png")


@pytest.mark.parametrize("start", [FILTER, DEMO], ids=["filter", "demo"])
@pytest.mark.parametrize("output", ["out", "out.nonsense", "out.", ".png", ""])
def test_an_unknown_ending_is_refused(start, output, capsys, folder):
    photo("photo.png")
    assert ".png, .jpg" in refused(capsys, folder, *start, "photo.png", "-o", output)


@pytest.mark.parametrize("start", [FILTER, DEMO], ids=["filter", "demo"])
@pytest.mark.parametrize("output", ["none/out.png", "photo.png/out.png"])
def test_an_output_in_no_folder_is_refused(start, output, capsys, folder):
    photo("photo.png")
    assert "no directory" in refused(capsys, folder, *start, "photo.png", "-o", output)


def test_an_output_that_is_a_folder_is_refused(capsys, folder):
    photo("photo.png")
    (folder / "out.png").mkdir()
    assert "cannot write out.png: " in refused(capsys, folder, *FILTER, "photo.png", "-o", "out.png")


def test_alpha_that_a_format_cannot_hold_is_refused(capsys, folder):
    photo("photo.png", "RGBA")
    assert "cannot write out.jpg: " in refused(capsys, folder, *FILTER, "photo.png", "-o", "out.jpg")


def test_no_link_that_lies_in_the_folder_is_followed(folder):
    photo("photo.png")
    (folder / "letter.txt").write_text("dear reader")
    link, output = folder / f".fastconv-{os.getpid()}.part", folder / "out.png"
    for path in (link, output):
        path.symlink_to("letter.txt")
    assert main(["filter", "photo.png", "-k", "box", "-o", "out.png"]) == 0
    assert (folder / "letter.txt").read_text() == "dear reader"
    assert link.is_symlink()
    assert not output.is_symlink()
    assert sorted(path.name for path in folder.iterdir()) == sorted([link.name, "letter.txt", "out.png", "photo.png"])


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
def test_files_get_the_permissions_of_new_files(folder):
    photo("photo.png")
    before = os.umask(0o027)
    try:
        assert main(["filter", "photo.png", "-k", "box", "-o", "out.png"]) == 0
    finally:
        os.umask(before)
    assert (folder / "out.png").stat().st_mode & 0o777 == 0o640


def test_a_full_disk_leaves_the_old_file(capsys, folder, monkeypatch):
    photo("photo.png")
    photo("out.png", seed=1)

    def fail(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.Path, "replace", fail)
    message = refused(capsys, folder, *FILTER, "photo.png", "-o", "out.png")
    assert message == "fastconv: cannot write out.png: No space left on device\n"


@pytest.mark.parametrize(
    ("start", "package"),
    [(FILTER, "PIL"), (DEMO, "PIL"), (DEMO, "matplotlib")],
    ids=["filter", "demo", "demo-matplotlib"],
)
def test_a_missing_package_is_named_with_the_extra(start, package, capsys, folder, monkeypatch):
    photo("photo.png")
    monkeypatch.setitem(sys.modules, package, None)
    assert 'pip install "fastconv[demo]"' in refused(capsys, folder, *start, "photo.png", "-o", "out.png")
