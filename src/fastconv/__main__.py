"""The command line: `python -m fastconv demo`, `python -m fastconv filter` and `python -m fastconv info`.

What cannot be done ends in one line on stderr and exit status 2, with nothing half-written.
"""

from __future__ import annotations

import argparse
import io
import math
import secrets
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import fastconv as fc
from fastconv import _stack, storage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from PIL.Image import Image as Photo
    from PIL.ImageFile import ImageFile

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Panel = tuple[str, Floats, dict[str, Any], Floats | None]  # title, picture, how imshow is to draw it, kernel

SAME: dict[str, Any] = {"padding": "same", "padding_mode": "reflect"}
DEMO_PIXELS = 640  # longest side of the demo's image: with more, NumPy would take minutes
STACKS = (".npy", ".tif", ".tiff")  # endings of results that are written block by block
DEMO_ENDINGS = (".jpg", ".pdf", ".png", ".svg")
MEMORY = 2**24  # bytes that blocks take of a picture that is in memory
LARGE = 2**26  # bytes of pixels from which on a TIFF is read block by block
EXTRAS = {"matplotlib": "demo", "PIL": "demo", "tifffile": "storage", "zarr": "storage", "tqdm": "storage"}
CHUNK = 2**20  # samples scaled at a time
PAGED = ("DCX", "MPO", "PDF", "TIFF")  # formats of pages, each of its own size and mode; others hold frames
ONE_PICTURE = ("MPO", "PSD")  # formats whose first picture is complete; the others are its previews, views or layers
TOLERANCE = 1e-5  # largest difference from NumPy, relative to the strongest possible response of a kernel
CANVAS, INK, FAINT = "#0d1117", "#e6edf3", "#9198a1"
NEGATIVE_TO_POSITIVE = ["#c6f0ff", "#2f8fd8", "#0a2a52", "#000004", "#5c1d08", "#e8702a", "#ffe3b8"]
JPEG: dict[str, Any] = {"pil_kwargs": {"quality": 70, "optimize": True, "progressive": True}}
NONE_TO_STRONG = ["#000004", "#3b1c70", "#a02c8c", "#f2605c", "#febb81", "#fcfdbf"]


class Refused(Exception):
    """An error to be reported in one line on stderr."""


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
    except MemoryError as error:
        is_ours = str(error).startswith("memory_limit")
        print(f"fastconv: {error if is_ours else 'there is not enough memory for this image'}", file=sys.stderr)
        return 2
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        print(f'fastconv: {package} is not installed: pip install "fastconv[{EXTRAS[package]}]"', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("fastconv: stopped; nothing is written", file=sys.stderr)
        return 130
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
        description="Filter each colour of an image file by a named kernel; borders are reflected. Answers of a kernel "
        "that sums to 1 (blur, sharpen, emboss) are clipped to 0..255. Other kernels detect something: of their "
        "answers the magnitude is drawn, from black for none to white for a quarter of the strongest possible, and "
        "more; sobel, prewitt and scharr draw that of the gradient. Alpha stays as it is and tells how much a pixel "
        "counts: kernels without negative weights take the mean of what is visible; others see a pixel's own colour "
        "where its neighbours are transparent, so that the outline of a shape is no edge. All frames of an animation "
        "(to GIF, PNG, WebP) and all pages of a document (to PDF, TIFF) are filtered. Results have 8 bits a channel, and the size, resolution (DPI) and colour profile of the "
        "input. Large TIFFs, stacks of pages among them, are read from the file and written to another TIFF block by "
        "block, as are arrays (.npy) of pages (..., H, W), or of colours (..., H, W, 3 or 4). To a .npy file go the "
        "answers themselves, neither scaled nor clipped, in the dtype of the computation.",
        epilog=f"kernels: {', '.join(fc.filters.NAMED)}",
    )
    filter_.add_argument("photo", metavar="PHOTO", type=Path)
    filter_.add_argument("-k", "--kernel", metavar="NAME", required=True, help="one of those listed below")
    filter_.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="its ending tells the format")
    filter_.add_argument(
        "--memory-limit", metavar="MB", type=int, default=256, help="of blocks of a large file; default: %(default)s"
    )
    filter_.add_argument(
        "--progress", action="store_true", help="show how much of a large file is done; default: in a terminal"
    )
    filter_.set_defaults(run=run_filter)

    info = commands.add_parser("info", help="print the versions and choices that results and timings depend on")
    info.set_defaults(run=lambda _: fc.show_config())
    return top


def run_filter(arguments: argparse.Namespace) -> None:
    if arguments.kernel not in fc.filters.NAMED:
        raise Refused(f"unknown kernel {arguments.kernel!r}; known are {', '.join(fc.filters.NAMED)}")
    kernel = fc.filters.NAMED[arguments.kernel]()
    kernels = kernel.reshape(-1, *kernel.shape[-2:])
    if is_stack(arguments.photo, arguments.output):
        filter_stack(arguments, kernels)
    else:
        filter_pictures(arguments.photo, arguments.output, kernels)


def filter_pictures(photo: Path, output: Path, kernels: Floats) -> None:
    """Filter all frames or pages of an image file that fits memory."""
    from PIL import Image

    formats = {ending: name for ending, name in Image.registered_extensions().items() if name in Image.SAVE}
    check_output(output, formats)
    format_ = formats[output.suffix.lower()]
    pages = read_pages(photo, output, formats)
    for i, page in enumerate(pages):
        pixels = np.asarray(page)
        filtered = filter_pixels(np.atleast_3d(pixels), kernels, has_alpha=page.mode.endswith("A"))
        pages[i] = Image.fromarray(filtered.reshape(pixels.shape))
        pages[i].info = page.info
    try:
        content = encode(pages, format_)
    except MemoryError:
        raise
    except Exception as error:  # encoders raise all sorts of things on what their format cannot hold
        raise Refused(f"cannot write {output}: {reason(error)}") from error
    write(output, content)


def is_stack(photo: Path, output: Path) -> bool:
    """Return whether a file is to be filtered block by block: an array, or a TIFF, if it is large."""
    if ".npy" in (photo.suffix.lower(), output.suffix.lower()):
        return True
    with blaming("read", photo):
        if output.suffix.lower() not in STACKS or not _stack.is_tiff(photo):
            return False
        if find_spec("tifffile") is None:
            return photo.stat().st_size >= LARGE
        try:
            with _stack.opened(photo) as stack:
                return math.prod(stack.shape) * stack.dtype.itemsize >= LARGE
        except ValueError:  # what only Pillow can read, if anybody can
            return False


def filter_stack(arguments: argparse.Namespace, kernels: Floats) -> None:
    """Filter a file of pages, page by page and block by block."""
    output, raw = arguments.output, arguments.output.suffix.lower() == ".npy"
    check_output(output, STACKS)
    if arguments.memory_limit < 1:
        raise Refused(f"--memory-limit must be at least 1 MB; got {arguments.memory_limit}")
    if arguments.progress:
        import tqdm  # noqa: F401  or be told how to get it
    progress = arguments.progress or (sys.stderr.isatty() and find_spec("tqdm") is not None)
    with replacing(output) as part, blaming("read", arguments.photo), _stack.opened(arguments.photo) as stack:
        if math.prod(stack.shape) == 0:
            raise ValueError(f"it holds no pixels: its shape is {stack.all_shape}")
        source = Planes(stack, stack.alpha and not raw, raw, arguments.photo)
        bank = bank_for(stack.shape[1], kernels)
        dtype = bank(np.zeros((stack.shape[1], 1, 1), stack.dtype)).dtype if raw else np.dtype(np.uint8)
        with blaming("write", output), _stack.created(part, stack, dtype, not raw) as rows:
            target = Answers(rows, source, kernels, dtype if raw else np.dtype(np.float32))
            storage.convolve(bank, source, target, memory_limit=arguments.memory_limit * 2**20, progress=progress)


def filter_pixels(pixels: Bytes, kernels: Floats, has_alpha: bool) -> Bytes:
    """Filter pixels (H, W, C), each colour for itself, as `filter --help` says, block by block to save memory."""
    result = np.empty((1, *pixels.shape), np.uint8)
    stack = _stack.Stack(lambda: pixels, pixels.shape, pixels.dtype, -1, has_alpha)
    source = Planes(stack, has_alpha)
    target = Answers(result, source, kernels, np.dtype(np.float32))
    storage.convolve(bank_for(pixels.shape[2], kernels), source, target, memory_limit=MEMORY)
    filtered: Bytes = result[0]
    return filtered


def bank_for(channels: int, kernels: Floats) -> fc.FilterBank:
    """A bank that filters each channel for itself by all kernels (n, kh, kw); borders are reflected."""
    weight = np.tile(kernels[:, np.newaxis], (channels, 1, 1, 1))
    return fc.FilterBank(weight, groups=channels, **SAME)


@dataclass(frozen=True)
class Planes:
    """What the kernel sees of a stack: bytes of each channel, or, before colours are weighed by alpha, numbers; or raw.

    With alpha a and colours c that is a c and a, so that sums weigh colours by how much is visible.
    """

    stack: _stack.Stack
    has_alpha: bool
    raw: bool = False
    path: Path = Path()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.stack.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.stack.dtype if self.raw else np.dtype(np.float32 if self.has_alpha else np.uint8)

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        pixels = self.pixels(index)
        if not self.has_alpha:
            return pixels
        alpha = pixels[-1:] / np.float32(255)
        return np.concatenate([pixels[:-1] * alpha, alpha])

    def pixels(self, index: tuple[Any, ...]) -> NDArray[Any]:
        """Pixels (C, h, w) as they are, or as bytes; index: (page, channels, rows, columns)."""
        with blaming("read", self.path):
            pixels = self.stack[index]
            if self.raw or pixels.dtype == np.uint8:
                return pixels
            if pixels.dtype.kind not in "ui" or pixels.dtype.itemsize != 2:
                raise ValueError(f"its pixels are {pixels.dtype}; 8 or 16 bits would be right, or .npy as output")
            if pixels.dtype.kind == "u" and len(pixels) > 1:
                return (pixels >> 8).astype(np.uint8)  # as Pillow takes colours
            bounds = np.iinfo(pixels.dtype)
            return scaled(pixels, bounds.min, bounds.max)


@dataclass(frozen=True)
class Answers:
    """Where the answers to a kernel go: to pixels (N, H, W, C), or rows of a file, drawn in bytes if `source` is not raw."""

    target: Bytes | _stack.Rows
    source: Planes
    kernels: Floats  # (n, kh, kw): one, or both of a gradient
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, channels, height, width = self.source.shape
        return count, channels * len(self.kernels), height, width

    def __getitem__(self, index: Any) -> NoReturn:
        raise TypeError("answers are only written")

    def __setitem__(self, index: tuple[Any, ...], answers: NDArray[Any]) -> None:
        page, _, rows, columns = index
        by_channel = answers.reshape(-1, len(self.kernels), *answers.shape[1:])  # (C, n, h, w)
        pixels = magnitude(by_channel) if self.source.raw else self.drawn(index, by_channel)
        self.target[page, rows, columns] = np.moveaxis(pixels, 0, -1)

    def drawn(self, index: tuple[Any, ...], answers: Floats) -> Bytes:
        """Bytes (C, h, w) that answers (C, n, h, w) become, and alpha as it was."""
        own = self.source.pixels(index) if self.source.has_alpha else None
        if own is not None:
            each = zip(answers.swapaxes(0, 1), self.kernels, strict=True)
            answers = np.stack([of_visible(some, own[:-1], kernel) for some, kernel in each], axis=1)
        colours = magnitude(answers)
        if not math.isclose(self.kernels.sum(), 1.0, abs_tol=1e-3):
            strongest = max(self.kernels[0].clip(min=0).sum(), -self.kernels[0].clip(max=0).sum())  # to values of 0..1
            colours = np.abs(colours, out=colours)
            colours *= 4 / strongest
        drawn = np.rint(colours, out=colours).clip(0, 255, out=colours).astype(np.uint8)
        return drawn if own is None else np.concatenate([drawn, own[-1:]])


def magnitude(answers: NDArray[Any]) -> NDArray[Any]:
    """Answers (C, h, w) to one kernel, or the magnitude of those to both kernels of a gradient, of (C, n, h, w)."""
    if answers.shape[1] == 1:
        return answers[:, 0]
    lengths: NDArray[Any] = np.hypot(answers[:, 0], answers[:, 1])
    return lengths


def of_visible(answers: Floats, own: Bytes, kernel: Floats) -> Floats:
    """Answers to colours, from those to visible colours and to alpha; own: the pixels' own colours.

    With weights w, alpha a and colours c, a mean is sum(w a c) / sum(w a). Kernels with negative weights, whose
    divisor might vanish, get the pixel's own colour where its neighbours are transparent: sum(w (a c + (1 - a) own)).
    """
    responses, visible = answers[:-1], answers[-1]
    result = own.astype(np.float32)
    if kernel.min() < 0:
        result *= kernel.sum() - visible
        result += responses
    else:
        np.divide(responses, visible, out=result, where=visible > 0)
    return result


def run_demo(arguments: argparse.Namespace) -> None:
    from matplotlib import cbook

    path = arguments.photo or Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    check_output(arguments.output, DEMO_ENDINGS)
    with reading(path) as file:
        photo = read_page(file).convert("RGB")
    photo.thumbnail((DEMO_PIXELS, DEMO_PIXELS))
    image: Floats = np.moveaxis(np.asarray(photo, np.float32), -1, 0) / np.float32(255)  # (3, H, W)

    blur = fc.filters.box(9)
    diagonals = fc.filters.diagonal(5) - fc.filters.diagonal(5, anti=True)
    kernels = {
        "vertical edges": fc.filters.sobel("x"),
        "horizontal edges": fc.filters.sobel("y"),
        "diagonals": diagonals,
    }
    edges = fc.FilterBank.from_kernels(kernels.values(), channels=3, **SAME)
    first, second = directed_edges(), contours()
    stack = fc.Sequential(first, second)
    times: list[tuple[float, float]] = []

    threads = f"up to {fc.get_num_threads()} threads" if fc.get_num_threads() > 1 else "1 thread"
    print(f"{path.name} as {image.dtype} {image.shape}, fastconv {fc.__version__} on {threads}\n")
    print(f"{'':13}{'weight':>12}{'feature maps':>16}{'fastconv':>12}{'NumPy':>13}{'ratio':>8}")
    blurred = compare("box blur", lambda photo: fc.conv2d(photo, blur, **SAME), image, blur, times)
    found = compare("edges", edges, image, edges.weight, times)
    directions = compare("first bank", first, image, first.weight, times, relu=True)
    compare("second bank", second, directions, second.weight, times, relu=True)
    print(
        "\nTimes are medians. NumPy: sliding_window_view and einsum(optimize=True), on as many\n"
        f"threads as its BLAS takes. Both agree to {TOLERANCE:g} of the most that a kernel can answer."
    )
    ours, theirs = (sum(seconds) for seconds in zip(*times, strict=True))
    speed = (
        f"All of this on {image.shape[2]} x {image.shape[1]} pixels, with {threads}: "
        f"fastconv {ours * 1e3:.1f} ms, NumPy {theirs * 1e3:.0f} ms, {theirs / ours:.0f} times as long."
    )
    content = io.BytesIO()
    picture = poster(image, blur, blurred, kernels, found, stack(image), speed)
    ending = arguments.output.suffix.lower()
    picture.savefig(content, format=ending[1:], dpi=100, **(JPEG if ending == ".jpg" else {}))
    write(arguments.output, content.getvalue())
    print(f"Wrote {arguments.output}.")


def directed_edges() -> fc.FilterBank:
    """The first bank, (8, 3, 7, 7): map k responds where the photograph gets brighter towards k / 8 of a turn."""
    turns = 2 * math.pi * np.arange(8) / 8
    kernels = [fc.filters.gabor(7, wavelength=6.0, theta=turn, psi=-math.pi / 2) for turn in turns]
    strongest = 3 * kernels[0].clip(min=0).sum()  # in three channels, where black turns white
    return fc.FilterBank.from_kernels([kernel / strongest for kernel in kernels], channels=3, activation="relu", **SAME)


def contours() -> fc.FilterBank:
    """The second bank, (5, 8, 9, 9): contours in four orientations, and all of them, out of the maps of `directed_edges`.

    A contour has an orientation, whichever of its sides is brighter: maps of the two opposite directions are added,
    those at right angles subtracted. The last map is the mean of all directions, in a neighbourhood.
    """
    weight = np.zeros((5, 8, 9, 9), np.float32)
    weight[4] = fc.filters.gaussian(9, 2.0)
    for k, filter_ in enumerate(weight[:4]):
        filter_[[k, k + 4]] = fc.filters.gaussian(9, 1.2)
        filter_[[(k + 2) % 8, (k + 6) % 8]] = -fc.filters.gaussian(9, 1.2)
    return fc.FilterBank(weight, activation="relu", **SAME)


def compare(
    name: str,
    bank: Callable[[Floats], Floats],
    image: Floats,
    weight: Floats,
    times: list[tuple[float, float]],
    relu: bool = False,
) -> Floats:
    """Time the bank and NumPy on the image, check that they agree, print a line of the table, return the maps.

    times: gets the seconds of both.
    """
    ours, seconds = median_of(5, lambda: bank(image))
    theirs, numpy_seconds = median_of(3, lambda: by_numpy(image, weight, relu))
    strongest = np.abs(image).max() * np.abs(weight).sum(axis=(-2, -1)).max()
    if not np.abs(ours - theirs).max() <= TOLERANCE * strongest:
        raise AssertionError(f"{name}: fastconv and NumPy disagree")
    print(
        f"{name:13}{weight.shape!s:>12}{ours.shape!s:>16}"
        f"{seconds * 1e3:>9.2f} ms{numpy_seconds * 1e3:>10.1f} ms{numpy_seconds / seconds:>7.1f}x"
    )
    times.append((seconds, numpy_seconds))
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


def poster(
    image: Floats,
    blur: Floats,
    blurred: Floats,
    kernels: dict[str, Floats],
    edges: Floats,
    maps: Floats,
    speed: str,
) -> Figure:
    """The picture of the demo: what filters make of the input, above the feature maps of two banks in a row.

    kernels: those of the edges, by name; speed: the line below.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    signed = LinearSegmentedColormap.from_list("signed", NEGATIVE_TO_POSITIVE)
    strong = LinearSegmentedColormap.from_list("strong", NONE_TO_STRONG)
    above: list[Panel] = [
        (title, np.moveaxis(stack, 0, -1).clip(0, 1), {}, kernel)
        for title, stack, kernel in (("input", image, None), ("box blur", blurred, blur))
    ]
    for (title, kernel), plane in zip(kernels.items(), edges, strict=True):
        limit = float(np.quantile(np.abs(plane), 0.99)) or 1.0
        above.append((title, plane, {"cmap": signed, "vmin": -limit, "vmax": limit}, kernel))
    below: list[Panel] = []
    titles = [*(f"contours  {way}" for way in "|/\u2014\\"), "all directions, blurred"]
    for title, plane in zip(titles, maps, strict=True):
        dark, bright = map(float, np.quantile(plane, (0.75, 0.99)))  # most of a photograph is no edge
        norm = PowerNorm(0.6, dark, bright if bright > dark else dark + 1.0)
        below.append((title, plane, {"cmap": strong, "norm": norm}, None))
    rows = {
        "Filters on the photograph": above,
        "Second of two banks in a row: contours, out of the edges in 8 directions that the first one finds": below,
    }
    return page(rows, image.shape[1] / image.shape[2], signed, speed)


def page(rows: dict[str, list[Panel]], aspect: float, signed: Colormap, footer: str) -> Figure:
    """A dark figure of headed rows of panels, every row as wide as the page; a legend of signed colours, and a footer."""
    from matplotlib.figure import Figure

    wide, gap, heading, over = 13.0, 0.1, 0.48, 0.28  # inches; over: for the title over each panel
    aspect = min(max(aspect, 0.25), 2.5)
    widths = [(wide - gap) / len(panels) - gap for panels in rows.values()]
    high = sum(heading + over + width * aspect for width in widths) + heading
    figure = Figure(figsize=(wide, high), facecolor=CANVAS)
    figure.text(gap / wide, 0.4 * heading / high, footer, color=INK, fontsize=12)
    add_legend(figure, signed, (wide - gap - 0.06, high - 0.6 * heading))
    y = high
    for (text, panels), width in zip(rows.items(), widths, strict=True):
        figure.text(gap / wide, (y - 0.85 * heading) / high, text, color=INK, fontsize=15, weight="bold")
        y -= heading + over + width * aspect
        for k, (title, plane, options, kernel) in enumerate(panels):
            x = gap + k * (width + gap)
            axes = figure.add_axes((x / wide, y / high, width / wide, width * aspect / high))
            axes.imshow(plane, **options)
            axes.set_axis_off()
            axes.set_title(title, fontsize=12, color=FAINT, loc="left", pad=4)
            if kernel is not None:
                add_kernel(axes, kernel, signed)
    return figure


def add_kernel(axes: Axes, kernel: Floats, signed: Colormap) -> None:
    """Draw a kernel in the upper right corner of a panel, its zeros black."""
    height, width = kernel.shape
    strongest = np.abs(kernel).max()
    corner = axes.inset_axes((0.71, 0.71, 0.27, 0.27), anchor="NE")
    corner.imshow(kernel, cmap=signed, vmin=-strongest, vmax=strongest)
    corner.set_xticks(np.arange(width + 1) - 0.5, labels=[])
    corner.set_yticks(np.arange(height + 1) - 0.5, labels=[])
    corner.tick_params(length=0)
    corner.grid(color=FAINT, linewidth=0.6)
    for spine in corner.spines.values():
        spine.set_color(INK)


def add_legend(figure: Figure, signed: Colormap, corner: tuple[float, float]) -> None:
    """Draw what signed colours mean, to the left of a point in inches from the lower left corner."""
    (wide, high), (x, y) = figure.get_size_inches(), corner
    bar = figure.add_axes(((x - 2.7) / wide, (y - 0.08) / high, 2.0 / wide, 0.16 / high))
    bar.imshow(np.linspace(-1, 1, 256)[np.newaxis], cmap=signed, aspect="auto")
    bar.set_axis_off()
    style: dict[str, Any] = {"color": FAINT, "fontsize": 12, "va": "center_baseline"}
    figure.text((x - 2.78) / wide, y / high, "kernels and responses:   negative", ha="right", **style)
    figure.text((x - 0.62) / wide, y / high, "positive", ha="left", **style)


@contextmanager
def reading(path: Path) -> Iterator[ImageFile]:
    """Open an image file; raise Refused if it cannot be read."""
    from PIL import Image, UnidentifiedImageError

    with blaming("read", path), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # what Pillow does not refuse can be done
        try:
            with Image.open(path) as file:
                yield file
        except UnidentifiedImageError as error:
            raise Refused(f"cannot read {path}: it is not an image that Pillow knows") from error


def reason(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def read_pages(path: Path, output: Path, formats: Mapping[str, str]) -> list[Photo]:
    """All frames or pages of an image file; refused if the output cannot hold them or they have too many pixels."""
    from PIL import Image

    most = 2 * (Image.MAX_IMAGE_PIXELS or math.inf)
    pages: list[Photo] = []
    with reading(path) as file:
        count = 1 if file.format in ONE_PICTURE else getattr(file, "n_frames", 1)
        what, fit = ("pages", PAGED) if file.format in PAGED else ("frames", tuple(Image.SAVE_ALL))
        if count > 1 and formats[output.suffix.lower()] not in fit:
            keep = ", ".join(end for end in (".gif", ".pdf", ".png", ".tif", ".webp") if formats.get(end) in fit)
            raise Refused(f"cannot write {output}: {path} holds {count} {what}; {keep} would keep them")
        pixels = 0
        for i in range(count):
            if i:
                file.seek(i)
            pixels += file.width * file.height
            if pixels > most:
                raise ValueError(f"its {count} {what} have more than {most} pixels in all")
            pages.append(read_page(file))
    return pages


def read_page(file: ImageFile) -> Photo:
    """A page, upright, as gray or RGB of 8 bits a channel, with alpha where it has any, and the metadata to be kept."""
    from PIL import ImageOps

    photo = ImageOps.exif_transpose(file)
    if photo.mode[0] in "IF":
        page = eight_bits(photo, *sample_range(file))
    else:
        mode = "L" if photo.mode in ("1", "L", "LA", "La") else "RGB"
        mode += "A" if photo.has_transparency_data else ""
        page = photo if photo.mode == mode else photo.convert(mode)
    page.info = kept(file, photo.info, page.mode)
    return page


def sample_range(file: ImageFile) -> tuple[int, int]:
    """The range of samples of a gray image whose mode in Pillow has 16 or 32 bits."""
    tags = getattr(file, "tag_v2", {})  # of a TIFF
    bits = tags.get(258, (16,))[0]
    if file.mode.startswith("I;16"):
        return 0, 2**bits - 1
    if file.mode == "I" and file.format in ("PNG", "PPM"):
        return 0, 2**16 - 1
    if file.mode == "I" and file.format == "TIFF" and bits == 16:
        return -(2**15), 2**15 - 1
    raise ValueError("its pixels have 32 bits; 8 or 16 would be right")


def eight_bits(photo: Photo, least: int, greatest: int) -> Photo:
    """Scale a gray image from least..greatest to 0..255, with alpha if one of its values means transparent."""
    from PIL import Image

    samples = np.asarray(photo)
    page = Image.fromarray(scaled(samples, least, greatest))
    if (transparent := photo.info.get("transparency")) is not None:
        page.putalpha(Image.fromarray(np.uint8(255) * (samples != transparent)))
    return page


def scaled(samples: NDArray[Any], least: int, greatest: int) -> Bytes:
    """Scale samples from least..greatest to 0..255."""
    result = np.empty(samples.shape, np.uint8)
    for start in range(0, samples.size, CHUNK):
        some = samples.flat[start : start + CHUNK].astype(np.float64)
        result.flat[start : start + CHUNK] = np.rint((some - least) * (255 / (greatest - least))).clip(0, 255)
    return result


def kept(file: ImageFile, info: dict[Any, Any], mode: str) -> dict[Any, Any]:
    """The metadata of a page that its filtered version of this mode keeps.

    GIF stores how often an animation is repeated, other formats, and `plays` here, how often it is played; 0: for ever.
    """
    found = {"duration": info.get("duration", 0), "plays": info.get("loop", 0)}
    if file.format == "GIF":
        found["plays"] = 1 if "loop" not in info else info["loop"] and info["loop"] + 1
    found["is_default_image"] = bool(info.get("default_image")) and file.tell() == 0
    dpi = info.get("dpi")
    if isinstance(dpi, tuple) and len(dpi) == 2 and all(0 < dots < 2**16 for dots in dpi):
        found["dpi"] = float(dpi[0]), float(dpi[1])
    profile = info.get("icc_profile")
    if profile and profile[16:20] == (b"RGB " if mode.startswith("RGB") else b"GRAY"):
        found["icc_profile"] = profile
    return found


def encode(pages: list[Photo], format_: str) -> bytes:
    """A file of all pages."""
    options: dict[str, Any] = {}
    for key in ("dpi", "icc_profile"):
        of_pages = {page.info.get(key) for page in pages}
        if len(of_pages) == 1 and None not in of_pages:
            options[key] = of_pages.pop()
    if format_ not in PAGED:
        pages = frames(pages, format_)
        if len(pages) > 1:
            options |= timing(pages, format_)
    if len(pages) > 1:
        options |= {"save_all": True, "append_images": pages[1:]}
    content = io.BytesIO()
    pages[0].save(content, format=format_, **options)
    return content.getvalue()


def frames(pages: list[Photo], format_: str) -> list[Photo]:
    """Pages of one mode; the still picture that replaces an animated PNG in simple viewers stays in PNG alone."""
    if pages[0].info["is_default_image"] and format_ != "PNG":
        pages = pages[1:]
    mode = "RGB" if any(page.mode.startswith("RGB") for page in pages) else "L"
    if any(page.mode.endswith("A") for page in pages):
        mode = "RGBA" if format_ == "GIF" else mode + "A"  # Pillow writes LA as L
    return [page if page.mode == mode else page.convert(mode) for page in pages]


def timing(pages: list[Photo], format_: str) -> dict[str, Any]:
    """How an animation is to be shown."""
    info = pages[0].info
    shown = [page for page in pages if not page.info["is_default_image"]]
    options: dict[str, Any] = {"duration": [page.info["duration"] for page in shown]}
    if format_ == "PNG":
        options["default_image"] = info["is_default_image"]
    if format_ == "GIF" and pages[0].mode == "RGBA":
        options["disposal"] = 2  # clear each frame before the next, through whose transparent pixels it would show
    if format_ != "GIF":
        options["loop"] = min(info["plays"], 2**16 - 1)
    elif info["plays"] != 1:
        options["loop"] = max(0, info["plays"] - 1)
    return options


def check_output(path: Path, endings: Collection[str]) -> None:
    """Raise Refused, before work begins, if a file could not be written."""
    if path.suffix.lower() not in endings:
        known = ", ".join(ending for ending in (".png", ".jpg", ".tif", ".webp", ".pdf", ".svg") if ending in endings)
        raise Refused(f"cannot write {path}: the ending of its name should tell the format, such as {known}")
    if not path.parent.is_dir():
        raise Refused(f"cannot write {path}: there is no directory {path.parent}")


def write(path: Path, content: bytes) -> None:
    """Write a file whole, or not at all."""
    with blaming("write", path), replacing(path) as part:
        part.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Make a new file, which in the end takes a name if all went well, and else goes."""
    part = path.with_name(f".fastconv-{secrets.token_hex(8)}.part")
    try:
        with blaming("write", path):
            part.open("xb").close()  # a new file, never one or a link that lies there
        yield part
        with blaming("write", path):
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def blaming(verb: str, path: Path) -> Iterator[None]:
    """Raise Refused, which names a file, for whatever is raised while it is read or written."""
    try:
        yield
    except (Refused, MemoryError, ImportError):
        raise
    except Exception as error:  # decoders and encoders raise all sorts of things
        raise Refused(f"cannot {verb} {path}: {reason(error)}") from error


def stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)  # which otherwise would leave files that are half written
    sys.exit(main())
