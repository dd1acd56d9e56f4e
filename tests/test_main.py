"""The commands of `python -m fastconv`, run end to end on small image files."""

import os
import re
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import fastconv as fc
import fastconv.__main__ as command
from fastconv.__main__ import main

Image = pytest.importorskip("PIL.Image")
ImageCms = pytest.importorskip("PIL.ImageCms")
ImageSequence = pytest.importorskip("PIL.ImageSequence")
matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.figure")


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


def opened_frames(name):
    """All frames or pages of an image file, as they are shown, and for how many ms each."""
    with Image.open(name) as picture:
        frames = [frame.copy() for frame in ImageSequence.Iterator(picture)]
    return frames, [frame.info.get("duration") for frame in frames]


def gray_tiff(bits, sample_format, rows):
    """A little-endian TIFF of one strip: bits a sample, sample_format 1 for unsigned and 2 for signed, rows of bytes."""
    height, strip = len(rows), b"".join(rows)
    width = 8 * len(rows[0]) // bits
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1), (278, height)]
    tags += [(279, len(strip)), (339, sample_format)]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(strip)) + strip + directory


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


@pytest.mark.parametrize(
    "kernel", [name for name in fc.filters.NAMED if name[-2:] == "-x" or "diagonal" in name or name == "sobel"]
)
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


@pytest.mark.parametrize("name", ["sobel", "prewitt", "scharr"])
def test_filter_draws_the_magnitude_of_a_gradient(name):
    pixels = photo("photo.png").astype(float)
    assert main(["filter", "photo.png", "-k", name, "-o", "out.png"]) == 0
    x, y = (fc.filters.NAMED[f"{name}-{axis}"]() for axis in "xy")
    around = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "reflect")
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(0, 1))
    slopes = np.hypot(*((windows * kernel).sum(axis=(3, 4)) for kernel in (x, y)))
    expected = np.rint(slopes * 4 / x.clip(min=0).sum()).clip(0, 255)
    assert np.abs(np.asarray(opened("out.png")) - expected).max() <= 1


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


def disc(mode, transparent, colour=(255, 255, 255)):
    """An opaque disc of one colour on transparent ground, (60, 60, C), and where it is."""
    y, x = np.mgrid[:60, :60]
    inside = (y - 30) ** 2 + (x - 30) ** 2 <= 400
    channels = len(mode) - 1
    pixels = np.empty((60, 60, channels + 1), np.uint8)
    pixels[..., :channels] = np.where(inside[..., np.newaxis], colour[:channels], transparent)
    pixels[..., channels] = 255 * inside
    return pixels, inside


@pytest.mark.parametrize("transparent", [0, 90])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("kernel", ["box", "gaussian", "sharpen", "emboss"])
def test_filter_gives_no_halo_to_what_lies_on_transparent_ground(kernel, mode, transparent):
    pixels, inside = disc(mode, transparent)
    Image.fromarray(pixels).save("disc.png")
    assert main(["filter", "disc.png", "-k", kernel, "-o", "out.png"]) == 0
    result = np.asarray(opened("out.png"))
    assert (result[inside] == 255).all()
    assert np.array_equal(result[..., -1], pixels[..., -1])


@pytest.mark.parametrize("kernel", ["sobel-x", "sobel", "laplacian", "log", "diagonal"])
def test_filter_sees_no_edge_where_a_shape_ends_in_transparency(kernel):
    pixels, inside = disc("RGBA", 0, (200, 120, 40))
    Image.fromarray(pixels).save("disc.png")
    assert main(["filter", "disc.png", "-k", kernel, "-o", "out.png"]) == 0
    assert not np.asarray(opened("out.png"))[inside, :3].any()


@pytest.mark.parametrize("kernel", ["box", "gaussian", "sharpen", "emboss"])
def test_filter_weighs_colours_by_alpha(kernel):
    pixels = photo("photo.png", "RGBA").astype(float)
    assert main(["filter", "photo.png", "-k", kernel, "-o", "out.png"]) == 0
    weight = fc.filters.NAMED[kernel]()
    k = len(weight)
    around = np.pad(pixels, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)), "reflect")
    windows = np.lib.stride_tricks.sliding_window_view(around, (k, k), axis=(0, 1))  # (H, W, C, k, k)
    colours, weights = windows[:, :, :3], windows[:, :, 3:] / 255 * weight
    if kernel in ("box", "gaussian"):
        expected = (weights * colours).sum(axis=(3, 4)) / weights.sum(axis=(3, 4))
    else:
        own = pixels[..., :3, np.newaxis, np.newaxis]
        expected = (weights * colours + (weight - weights) * own).sum(axis=(3, 4))
    assert np.abs(np.asarray(opened("out.png"))[..., :3] - expected.clip(0, 255)).max() <= 0.501


def test_filter_blurs_a_palette_with_transparency_without_halos():
    _, inside = disc("RGBA", 0)
    palette = Image.fromarray(np.uint8(inside)).convert("L").convert("P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save("disc.png", transparency=0)
    assert main(["filter", "disc.png", "-k", "gaussian", "-o", "out.png"]) == 0
    assert (np.asarray(opened("out.png"))[inside] == 255).all()


def test_filter_keeps_the_alpha_of_gray_pixels_in_a_gif():
    pixels, _ = disc("LA", 0)
    Image.fromarray(pixels).save("disc.png")
    assert main(["filter", "disc.png", "-k", "identity", "-o", "out.gif"]) == 0
    assert np.array_equal(np.asarray(opened("out.gif").convert("LA"))[..., 1], pixels[..., 1])


@pytest.mark.parametrize("kernel", ["identity", "gaussian", "log", "gabor"])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_filter_gives_the_same_block_by_block(kernel, mode, monkeypatch):
    photo("photo.png", mode)
    assert main(["filter", "photo.png", "-k", kernel, "-o", "whole.png"]) == 0
    monkeypatch.setattr(command, "MEMORY", 20_000)
    assert main(["filter", "photo.png", "-k", kernel, "-o", "blocks.png"]) == 0
    assert np.array_equal(opened("whole.png"), opened("blocks.png"))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_filter_needs_little_memory_beyond_its_pixels(mode):
    size = 1500, 1000
    Image.new(mode, size).save("photo.tif")
    tracemalloc.start()
    try:
        assert main(["filter", "photo.tif", "-k", "gaussian", "-o", "out.png"]) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * size[0] * size[1] * len(mode) + 24e6


# Frames and pages


ANIMATED = {".gif": "GIF", ".png": "PNG", ".webp": "WEBP"}
MOVING = [f"moving{ending}" for ending in ANIMATED]


def moving(name, alpha=False, **options):
    """Write an animation of 4 frames of 32x24 pixels, 100 to 400 ms each, in which a square goes over coloured ground."""
    frames = []
    for i in range(4):
        pixels = np.zeros((24, 32, 4), np.uint8)
        pixels[..., :3], pixels[..., 3] = (60, 120 + 30 * i, 40), 255
        pixels[6:14, 2 + 6 * i : 10 + 6 * i, :3] = 250
        if alpha:
            pixels[:, : 6 * i + 1, 3] = 0
        frames.append(Image.fromarray(pixels) if alpha else Image.fromarray(pixels).convert("RGB"))
    lossless = {"lossless": True} if name.endswith(".webp") else {"disposal": 2} if name.endswith(".gif") else {}
    options = {"duration": [100, 200, 300, 400], "loop": 3} | lossless | options
    frames[0].save(name, save_all=True, append_images=frames[1:], **options)
    return frames


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("output", ["out.gif", "out.png", "out.webp"])
@pytest.mark.parametrize("name", MOVING)
def test_filter_takes_all_frames_of_an_animation(name, output, alpha):
    frames = moving(name, alpha)
    assert main(["filter", name, "-k", "gaussian", "-o", output]) == 0
    results, durations = opened_frames(output)
    assert durations == [100, 200, 300, 400]
    for frame, result in zip(frames, results, strict=True):
        frame.save("frame.png")
        assert main(["filter", "frame.png", "-k", "gaussian", "-o", "expected.png"]) == 0
        expected = np.asarray(opened("expected.png").convert("RGBA")).astype(int)
        found = np.asarray(result.convert("RGBA"))
        assert np.array_equal(found[..., 3], expected[..., 3])
        difference = np.abs(found - expected)[expected[..., 3] > 0]
        assert difference.mean() <= (0 if output == "out.png" else 4)  # GIF has few colours, WebP is lossy


@pytest.mark.parametrize("output", ["out.gif", "out.png", "out.webp"])
@pytest.mark.parametrize(
    ("name", "loop"),
    [
        ("moving.gif", None),
        ("moving.gif", 0),
        ("moving.gif", 2),
        ("moving.png", 0),
        ("moving.png", 1),
        ("moving.webp", 5),
    ],
)
def test_filter_keeps_how_often_an_animation_is_played(name, loop, output):
    """GIF tells how often it is repeated, the others how often it is played, 0 being for ever."""
    moving(name, loop=loop)
    assert main(["filter", name, "-k", "box", "-o", output]) == 0

    def plays(name):
        loop = opened(name).info.get("loop")
        return loop if not name.endswith(".gif") else 1 if loop is None else loop and loop + 1

    assert plays(output) == plays(name)


def test_filter_keeps_the_picture_that_stands_in_for_an_animated_png():
    moving("moving.png", default_image=True, duration=[100, 200, 300])
    assert main(["filter", "moving.png", "-k", "identity", "-o", "out.png"]) == 0
    assert (opened("out.png").n_frames, opened("out.png").default_image) == (4, True)
    assert opened_frames("out.png")[1][1:] == [100, 200, 300]
    assert main(["filter", "moving.png", "-k", "identity", "-o", "out.gif"]) == 0
    assert opened_frames("out.gif")[1] == [100, 200, 300]


def test_filter_takes_all_pages_of_a_document():
    pages = [photo(f"{mode}.png", mode, size) for mode, size in (("L", (31, 20)), ("RGB", (9, 40)), ("RGBA", (31, 20)))]
    first, *others = [Image.fromarray(page) for page in pages]
    first.save("pages.tif", save_all=True, append_images=others)
    assert main(["filter", "pages.tif", "-k", "box", "-o", "out.tif"]) == 0
    results, _ = opened_frames("out.tif")
    for mode, result in zip(("L", "RGB", "RGBA"), results, strict=True):
        assert main(["filter", f"{mode}.png", "-k", "box", "-o", "expected.png"]) == 0
        assert np.array_equal(np.asarray(result), np.asarray(opened("expected.png")))
    assert main(["filter", "pages.tif", "-k", "box", "-o", "out.pdf"]) == 0


def test_filter_writes_animations_as_pages():
    moving("moving.gif")
    assert main(["filter", "moving.gif", "-k", "box", "-o", "out.tif"]) == 0
    assert len(opened_frames("out.tif")[0]) == 4


def test_filter_takes_the_first_of_pictures_that_belong_to_one_photo():
    photo("photo.png")
    opened("photo.png").save("photo.mpo", save_all=True, append_images=[Image.new("RGB", (8, 5))])
    assert main(["filter", "photo.mpo", "-k", "box", "-o", "out.png"]) == 0
    assert opened("out.png").size == (31, 20)


# Samples of 16 bits


@pytest.mark.parametrize(
    ("header", "maxval"), [(b"P5 256 1 65535\n", 65535), (b"P2 256 1 65535\n", 65535), (b"P5 256 1 1000\n", 1000)]
)
def test_filter_scales_portable_graymaps_of_sixteen_bits(header, maxval, folder):
    samples = np.linspace(0, maxval, 256).round().astype(">u2")
    body = samples.tobytes() if header.startswith(b"P5") else b" ".join(b"%d" % value for value in samples)
    (folder / "photo.pgm").write_bytes(header + body)
    assert main(["filter", "photo.pgm", "-k", "identity", "-o", "out.png"]) == 0
    assert np.array_equal(np.asarray(opened("out.png")), [np.rint(samples * (255 / maxval))])


def test_filter_scales_signed_samples_of_sixteen_bits(folder):
    samples = np.int16([[-32768, -32767, 0, 1, 32766, 32767], [100, -100, 16000, -16000, 5, -5]])
    (folder / "photo.tif").write_bytes(gray_tiff(16, 2, [row.tobytes() for row in samples]))
    assert main(["filter", "photo.tif", "-k", "identity", "-o", "out.png"]) == 0
    assert np.array_equal(np.asarray(opened("out.png")), np.rint((samples + 32768.0) / 257))


def test_filter_scales_samples_of_twelve_bits(folder):
    (folder / "photo.tif").write_bytes(gray_tiff(12, 1, [bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x10])]))
    assert main(["filter", "photo.tif", "-k", "identity", "-o", "out.png"]) == 0
    assert np.asarray(opened("out.png")).tolist() == [[0, 255, 128, 1]]


def test_filter_keeps_the_value_that_stands_for_transparent_in_sixteen_bits():
    samples = np.uint16([[0, 1000, 65535]])
    Image.fromarray(samples).save("photo.png", transparency=1000)
    assert main(["filter", "photo.png", "-k", "identity", "-o", "out.png"]) == 0
    assert np.asarray(opened("out.png")).tolist() == [[[0, 255], [4, 0], [255, 255]]]


# What else is kept


@pytest.mark.parametrize("output", ["out.png", "out.jpg", "out.tif", "out.bmp"])
@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.tif"])
def test_filter_keeps_the_resolution(name, output):
    photo("photo.bmp")
    opened("photo.bmp").save(name, dpi=(300, 150))
    assert main(["filter", name, "-k", "box", "-o", output]) == 0
    assert opened(output).info["dpi"] == pytest.approx((300, 150), abs=0.1)


@pytest.mark.parametrize("dpi", [(0, 0), (1e9, 1e9)])
def test_filter_drops_a_resolution_that_is_none(dpi):
    photo("photo.png")
    opened("photo.png").save("photo.tif", dpi=dpi)
    assert main(["filter", "photo.tif", "-k", "box", "-o", "out.png"]) == 0
    assert "dpi" not in opened("out.png").info


@pytest.mark.parametrize("output", ["out.png", "out.jpg", "out.tif", "out.webp"])
def test_filter_keeps_the_colour_profile(output):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo("photo.png")
    opened("photo.png").save("photo.png", icc_profile=profile)
    assert main(["filter", "photo.png", "-k", "box", "-o", output]) == 0
    assert opened(output).info["icc_profile"] == profile


def test_filter_drops_a_profile_of_other_colours_than_it_writes():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("CMYK", (5, 4)).save("photo.jpg", icc_profile=profile[:16] + b"CMYK" + profile[20:])
    assert main(["filter", "photo.jpg", "-k", "box", "-o", "out.png"]) == 0
    assert "icc_profile" not in opened("out.png").info


def test_filter_keeps_the_profiles_of_pages():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pages = [Image.new("RGB", (5, 4)), Image.new("L", (5, 4))]
    pages[0].info["icc_profile"] = profile
    pages[0].save("pages.tif", save_all=True, append_images=pages[1:])
    assert main(["filter", "pages.tif", "-k", "box", "-o", "out.tif"]) == 0
    with Image.open("out.tif") as picture:
        profiles = [page.tag_v2.get(34675) for page in ImageSequence.Iterator(picture)]
    assert profiles == [profile, None]


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
    assert picture.width == 1300
    assert len(np.unique(np.asarray(picture.convert("L")))) > 100
    assert sorted(path.name for path in folder.iterdir()) == ["photo.png", "picture.png"]


def test_demo_shows_kernels_a_legend_and_the_speed_in_its_picture(folder):
    photo("photo.png", size=(64, 48))
    assert main(["demo", "photo.png", "-o", "picture.svg"]) == 0
    shown = re.findall(r"<!-- (.*?) -->", (folder / "picture.svg").read_text("utf-8"))
    for text in ("box blur", "diagonals", "contours  |", "all directions, blurred", "negative", "positive"):
        assert any(text in one for one in shown)
    assert any(
        re.fullmatch(r"All of this on 64 x 48 pixels, with .* thread.*: fastconv .* ms, NumPy .*", s) for s in shown
    )


def test_demo_draws_each_kernel_in_a_corner():
    panel = matplotlib.figure.Figure().add_axes((0, 0, 1, 1))
    kernel = fc.filters.sobel("x")
    command.add_kernel(panel, kernel, matplotlib.colormaps["gray"])
    (corner,) = panel.child_axes
    assert np.array_equal(corner.images[0].get_array(), kernel)
    assert corner.images[0].norm.vmin == -corner.images[0].norm.vmax == -np.abs(kernel).max()


def test_demo_brings_its_own_photo(folder, monkeypatch):
    monkeypatch.setattr(command, "DEMO_PIXELS", 40)
    assert main(["demo"]) == 0
    assert [path.name for path in folder.iterdir()] == ["fastconv-demo.png"]


@pytest.mark.parametrize(("mode", "size"), [("L", (50, 7)), ("RGBA", (3, 40)), ("LA", (1, 1))])
def test_demo_takes_photos_of_any_mode_and_shape(mode, size):
    photo("photo.png", mode, size)
    assert main(["demo", "photo.png", "-o", "picture.png"]) == 0
    assert opened("picture.png").width == 1300


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
    message = refused(capsys, folder, "filter", "photo.png", "-k", "sobel-z", "-o", "out.png")
    assert "'sobel-z'" in message
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


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode, capsys, folder):
    Image.new(mode, (4, 4)).save("photo.tif")
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


@pytest.mark.parametrize("name", MOVING)
def test_an_animation_is_refused_where_its_frames_would_be_lost(name, capsys, folder):
    moving(name)
    message = refused(capsys, folder, *FILTER, name, "-o", "out.jpg")
    assert message.startswith(f"fastconv: cannot write out.jpg: {name} holds 4 frames; .gif, .pdf, .png, .tif")


@pytest.mark.parametrize("output", ["out.jpg", "out.png", "out.gif"])
def test_a_document_is_refused_where_its_pages_would_be_lost_or_shown_in_turn(output, capsys, folder):
    pages = [Image.new("L", (5, 4), i) for i in range(3)]
    pages[0].save("pages.tif", save_all=True, append_images=pages[1:])
    message = refused(capsys, folder, *FILTER, "pages.tif", "-o", output)
    assert message == f"fastconv: cannot write {output}: pages.tif holds 3 pages; .pdf, .tif would keep them\n"


def test_a_photo_that_a_format_is_too_small_for_is_refused(capsys, folder):
    Image.new("L", (70_000, 1)).save("photo.png")
    assert "cannot write out.gif: " in refused(capsys, folder, *FILTER, "photo.png", "-o", "out.gif")


def test_a_large_photo_is_filtered_without_a_warning(capsys, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    photo("photo.png")  # 620 pixels, of which Pillow warns, but which it takes
    assert main(["filter", "photo.png", "-k", "box", "-o", "out.png"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("start", [FILTER, DEMO], ids=["filter", "demo"])
def test_a_huge_photo_is_refused(start, capsys, folder, monkeypatch):
    photo("photo.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    message = refused(capsys, folder, *start, "photo.png", "-o", "out.png")
    assert message.startswith("fastconv: cannot read photo.png: Image size (620 pixels) exceeds limit of 600 pixels")


def test_many_frames_may_be_as_large_as_one(capsys, folder, monkeypatch):
    moving("moving.gif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    message = refused(capsys, folder, *FILTER, "moving.gif", "-o", "out.gif")
    assert message == "fastconv: cannot read moving.gif: its 4 frames have more than 3000 pixels in all\n"


@pytest.mark.parametrize("step", ["decode", "filter", "encode"])
def test_too_little_memory_is_one_line(step, capsys, folder, monkeypatch):
    photo("photo.png")

    def fail(*_, **__):
        raise MemoryError

    place, name = {
        "decode": (command, "read_page"),
        "filter": (command.storage, "convolve"),
        "encode": (Image.Image, "save"),
    }[step]
    monkeypatch.setattr(place, name, fail)
    message = refused(capsys, folder, *FILTER, "photo.png", "-o", "out.png")
    assert message == "fastconv: there is not enough memory for this image\n"


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
