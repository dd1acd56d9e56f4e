"""The command line: `python -m fastconv demo`, `python -m fastconv filter` and `python -m fastconv info`.

What cannot be done ends in one line on stderr and exit status 2, with nothing half-written.
"""

from __future__ import annotations

import argparse
import io
import math
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import fastconv as fc

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image as Photo

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Panel = tuple[str, Floats, dict[str, Any]]  # title, picture and how imshow is to draw it

SAME: dict[str, Any] = {"padding": "same", "padding_mode": "reflect"}
DEMO_PIXELS = 640  # longest side in the demo, so that NumPy's share takes seconds, not minutes
DEMO_ENDINGS = (".jpg", ".pdf", ".png", ".svg")
TOLERANCE = 1e-5  # largest difference from NumPy, as a part of the strongest answer that a kernel can give
CANVAS, INK, FAINT = "#0d1117", "#e6edf3", "#9198a1"
FALLING_TO_RISING = ["#c6f0ff", "#2f8fd8", "#0a2a52", "#000004", "#5c1d08", "#e8702a", "#ffe3b8"]


class Refused(Exception):
    """Something that cannot be done, in one line for stderr."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, or 2 after one line on stderr."""
    try:
        arguments = parser().parse_args(argv)
        arguments.run(arguments)
    except Refused as refused:
        print(f"fastconv: {refused}", file=sys.stderr)
        return 2
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("matplotlib", "PIL"):
            raise
        print(f'fastconv: {package} is not installed: pip install "fastconv[demo]"', file=sys.stderr)
        return 2
    return 0


def parser() -> Parser:
    top = Parser(prog="python -m fastconv", description="Multi-channel convolution and filter banks on NumPy arrays.")
    top.add_argument("--version", action="version", version=f"fastconv {fc.__version__}")
    commands = top.add_subparsers(title="commands", dest="command", required=True)

    demo = commands.add_parser(
        "demo",
        help="run filters and a stack of two filter banks on a photograph, time them, draw the feature maps",
        description="Blur, edges, diagonals and a stack of two filter banks on a photograph, reduced to "
        f"{DEMO_PIXELS} pixels, timed against NumPy and drawn as one picture.",
    )
    demo.add_argument("photo", metavar="PHOTO", nargs="?", type=Path, help="default: one that comes with matplotlib")
    demo.add_argument(
        "-o", "--output", metavar="OUT", type=Path, default=Path("fastconv-demo.png"), help="default: %(default)s"
    )
    demo.set_defaults(run=run_demo)

    filter_ = commands.add_parser(
        "filter",
        help="filter an image file by a named kernel",
        description="Filter each channel of an image file by a named kernel. Size and alpha channel stay as they are; "
        "borders are reflected. Answers of a kernel that sums to 1 (blur, sharpen, emboss) are clipped to 0..255. "
        "Other kernels detect something: of their answers the magnitude is drawn, from black for none to white for a "
        "quarter of the strongest possible, and more.",
        epilog=f"kernels: {', '.join(fc.filters.NAMED)}",
    )
    filter_.add_argument("photo", metavar="PHOTO", type=Path)
    filter_.add_argument("-k", "--kernel", metavar="NAME", required=True, help="one of those listed below")
    filter_.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="its ending tells the format")
    filter_.set_defaults(run=run_filter)

    info = commands.add_parser("info", help="print the versions and choices that results and timings depend on")
    info.set_defaults(run=lambda _: fc.show_config())
    return top


def run_filter(arguments: argparse.Namespace) -> None:
    from PIL import Image

    if arguments.kernel not in fc.filters.NAMED:
        raise Refused(f"unknown kernel {arguments.kernel!r}; known are {', '.join(fc.filters.NAMED)}")
    formats = {ending: name for ending, name in Image.registered_extensions().items() if name in Image.SAVE}
    check_output(arguments.output, formats)

    photo = read(arguments.photo)
    planes = np.moveaxis(np.atleast_3d(np.asarray(photo)), -1, 0)  # (C, H, W), alpha last
    colours = len(planes) - photo.mode.endswith("A")
    filtered = filter_planes(planes[:colours], fc.filters.NAMED[arguments.kernel]())
    result = Image.merge(photo.mode, [Image.fromarray(plane) for plane in (*filtered, *planes[colours:])])

    content = io.BytesIO()
    try:
        result.save(content, format=formats[arguments.output.suffix.lower()])
    except (OSError, ValueError) as error:
        raise Refused(f"cannot write {arguments.output}: {error}") from error
    write(arguments.output, content.getvalue())


def filter_planes(planes: Bytes, kernel: Floats) -> Bytes:
    """Filter planes (C, H, W), each for itself, and bring the answers to 0..255 as `filter --help` says."""
    answers = fc.conv2d(planes, kernel, **SAME)
    if not math.isclose(kernel.sum(), 1.0, abs_tol=1e-3):
        strongest = max(kernel.clip(min=0).sum(), -kernel.clip(max=0).sum())  # to values of 0..1
        answers = np.abs(answers) * (4 / strongest)
    return np.rint(answers).clip(0, 255).astype(np.uint8)


def run_demo(arguments: argparse.Namespace) -> None:
    from matplotlib import cbook

    path = arguments.photo or Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    check_output(arguments.output, DEMO_ENDINGS)
    photo = read(path).convert("RGB")
    photo.thumbnail((DEMO_PIXELS, DEMO_PIXELS))
    image: Floats = np.moveaxis(np.asarray(photo, np.float32), -1, 0) / np.float32(255)  # (3, H, W)

    blur = fc.filters.box(9)
    diagonals = fc.filters.diagonal(5) - fc.filters.diagonal(5, anti=True)
    edges = fc.FilterBank.from_kernels([fc.filters.sobel("x"), fc.filters.sobel("y"), diagonals], channels=3, **SAME)
    first, second = directed_edges(), contours_and_textures()
    stack = fc.Sequential(first, second)

    threads = f"up to {fc.get_num_threads()} threads" if fc.get_num_threads() > 1 else "1 thread"
    print(f"{path.name} as {image.dtype} {image.shape}, fastconv {fc.__version__} on {threads}\n")
    print(f"{'':13}{'weight':>12}{'feature maps':>16}{'fastconv':>12}{'NumPy':>13}{'ratio':>8}")
    blurred = compare("box blur", lambda photo: fc.conv2d(photo, blur, **SAME), image, blur)
    found = compare("edges", edges, image, edges.weight)
    directions = compare("first bank", first, image, first.weight, relu=True)
    compare("second bank", second, directions, second.weight, relu=True)
    print(
        "\nTimes are medians. NumPy: sliding_window_view and einsum(optimize=True), on as many\n"
        f"threads as its BLAS takes. Both agree to {TOLERANCE:g} of the most that a kernel can answer."
    )
    content = io.BytesIO()
    poster(image, blurred, found, stack(image)).savefig(content, format=arguments.output.suffix[1:].lower(), dpi=120)
    write(arguments.output, content.getvalue())
    print(f"Wrote {arguments.output}.")


def directed_edges() -> fc.FilterBank:
    """The first bank, (8, 3, 7, 7): map k answers where the photograph gets brighter towards k / 8 of a turn."""
    turns = 2 * math.pi * np.arange(8) / 8
    kernels = [fc.filters.gabor(7, wavelength=6.0, theta=turn, psi=-math.pi / 2) for turn in turns]
    strongest = 3 * kernels[0].clip(min=0).sum()  # in three channels, where black turns white
    return fc.FilterBank.from_kernels([kernel / strongest for kernel in kernels], channels=3, activation="relu", **SAME)


def contours_and_textures() -> fc.FilterBank:
    """The second bank, (8, 8, 9, 9): four contours and four textures out of the maps of `directed_edges`.

    A contour goes one way, whichever of its sides is brighter: opposite directions count, those across it count
    against it. A texture is many contours in a neighbourhood.
    """
    weight = np.zeros((8, 8, 9, 9), np.float32)
    for spot, filters in ((fc.filters.gaussian(9, 0.8), weight[:4]), (fc.filters.gaussian(9, 3.0), weight[4:])):
        for k, filter_ in enumerate(filters):
            filter_[[k, k + 4]] = spot
            filter_[[(k + 2) % 8, (k + 6) % 8]] = -spot
    return fc.FilterBank(weight, activation="relu", **SAME)


def compare(name: str, bank: Callable[[Floats], Floats], image: Floats, weight: Floats, relu: bool = False) -> Floats:
    """Time the bank and NumPy on the image, check that they agree, print a line of the table, return the maps."""
    ours, seconds = median_of(5, lambda: bank(image))
    theirs, numpy_seconds = median_of(3, lambda: by_numpy(image, weight, relu))
    strongest = np.abs(image).max() * np.abs(weight).sum(axis=(-2, -1)).max()
    if not np.abs(ours - theirs).max() <= TOLERANCE * strongest:
        raise AssertionError(f"{name}: fastconv and NumPy disagree")
    print(
        f"{name:13}{weight.shape!s:>12}{ours.shape!s:>16}"
        f"{seconds * 1e3:>9.2f} ms{numpy_seconds * 1e3:>10.1f} ms{numpy_seconds / seconds:>7.1f}x"
    )
    return ours


def by_numpy(image: Floats, weight: Floats, relu: bool) -> Floats:
    kh, kw = weight.shape[-2:]
    padded = np.pad(image, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)), "reflect")
    windows = sliding_window_view(padded, (kh, kw), axis=(1, 2))  # (C, H, W, kh, kw)
    formula = "chwyx,kcyx->khw" if weight.ndim == 4 else "chwyx,yx->chw"
    maps: Floats = np.einsum(formula, windows, weight, optimize=True)
    return np.maximum(maps, 0) if relu else maps


def median_of(runs: int, call: Callable[[], Floats]) -> tuple[Floats, float]:
    """What the call returns, and the median of its times in seconds."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def poster(image: Floats, blurred: Floats, found: Floats, maps: Floats) -> Figure:
    """The picture of the demo: what filters make of the input, above the feature maps of the second bank."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    signed = LinearSegmentedColormap.from_list("signed", FALLING_TO_RISING)
    above: list[Panel] = [
        (title, np.moveaxis(stack, 0, -1).clip(0, 1), {}) for title, stack in (("input", image), ("box blur", blurred))
    ]
    for title, plane in zip(("vertical edges", "horizontal edges", "diagonals"), found, strict=True):
        limit = float(np.quantile(np.abs(plane), 0.99)) or 1.0
        above.append((title, plane, {"cmap": signed, "vmin": -limit, "vmax": limit}))
    below: list[Panel] = []
    titles = [f"{what}  {way}" for what in ("contours", "textures") for way in "|/\u2014\\"]
    for title, plane in zip(titles, maps, strict=True):
        limit = float(np.quantile(plane, 0.995)) or 1.0
        below.append((title, plane, {"cmap": "magma", "norm": PowerNorm(0.7, 0.0, limit)}))
    aspect = image.shape[1] / image.shape[2]
    return page({"Filters on the photograph": above, "Feature maps of the second bank of a stack": below}, aspect)


def page(rows: dict[str, list[Panel]], aspect: float) -> Figure:
    """A dark figure of headed rows of panels; every row is as wide as the page."""
    from matplotlib.figure import Figure

    wide, gap, heading, over = 13.0, 0.1, 0.48, 0.28  # inches; over: for the title over each panel
    aspect = min(max(aspect, 0.25), 2.5)
    widths = [(wide - gap) / len(panels) - gap for panels in rows.values()]
    high = sum(heading + over + width * aspect for width in widths) + gap
    figure = Figure(figsize=(wide, high), facecolor=CANVAS)
    y = high
    for (text, panels), width in zip(rows.items(), widths, strict=True):
        figure.text(gap / wide, (y - 0.85 * heading) / high, text, color=INK, fontsize=14, weight="bold")
        y -= heading + over + width * aspect
        for k, (title, plane, options) in enumerate(panels):
            x = gap + k * (width + gap)
            axes = figure.add_axes((x / wide, y / high, width / wide, width * aspect / high))
            axes.imshow(plane, **options)
            axes.set_axis_off()
            axes.set_title(title, fontsize=10, color=FAINT, loc="left", pad=4)
    return figure


def read(path: Path) -> Photo:
    """A photograph, upright, as gray or RGB of 8 bits a channel, with alpha where the file has any."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            photo = ImageOps.exif_transpose(file)
            photo.load()
    except UnidentifiedImageError as error:
        raise Refused(f"cannot read {path}: it is not an image that Pillow knows") from error
    except Exception as error:  # decoders raise all sorts of things on damaged files
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Refused(f"cannot read {path}: {reason}") from error

    if photo.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(photo) / 257).astype(np.uint8))
    if photo.mode in ("I", "F"):
        raise Refused(f"cannot read {path}: its pixels have 32 bits; 8 or 16 would be right")
    mode = "L" if photo.mode in ("1", "L", "LA", "La") else "RGB"
    return photo.convert(mode + "A" if photo.has_transparency_data else mode)


def check_output(path: Path, endings: Collection[str]) -> None:
    """Refuse a file that could not be written before work begins."""
    if path.suffix.lower() not in endings:
        known = ", ".join(ending for ending in (".png", ".jpg", ".tif", ".webp", ".pdf", ".svg") if ending in endings)
        raise Refused(f"cannot write {path}: the ending of its name should tell the format, such as {known}")
    if not path.parent.is_dir():
        raise Refused(f"cannot write {path}: there is no directory {path.parent}")


def write(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    part = path.with_name(f".fastconv-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:  # a new file, never one or a link that lies there
            file.write(content)
        part.replace(path)
    except OSError as error:
        raise Refused(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


if __name__ == "__main__":
    sys.exit(main())
