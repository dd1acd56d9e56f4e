"""Sets of arguments drawn at random, most of them valid, and what their convolution is by definition.

A set is drawn from a seed and an index alone. Arrays are small, but come in every dtype, layout and kind of object, and options
in every way they can be written; one set in five has one argument that must be refused.
"""

import array
import contextlib
import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from reference import ACTIVATIONS, padding_pairs, places
from strategies import COMPLEX, FLOATS, INTEGERS, PADDING_MODES, PADDING_NAMES

import fastconv as fc

KINDS = ["conv"] * 6 + ["bank"] * 3 + ["sequential", "explain"]
ALIASES = {"zeros": "constant", "replicate": "edge", "circular": "wrap"}
DEFAULTS = {
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "padding_mode": "zeros",
    "flip": False,
    "activation": None,
    "algorithm": "auto",
    "precision": "default",
}
MOST_PRODUCTS = 3e5  # of an ordinary set; one in thirty may have a hundred times as many
MOST_OUTPUTS = 10**7
HUGE = [
    2**15,
    2**16 + 1,
    10**6,
    2**31 - 2,
    2**31 - 1,
    2**31,
    2**32 + 1,
    2**48,
    2**62,
    2**63 - 1,
    2**63,
    2**64 + 1,
    10**30,
]


@dataclass
class Axis:
    size: int
    taps: int
    stride: int
    dilation: int
    pads: tuple[int, int]

    @property
    def span(self) -> int:
        return (self.taps - 1) * self.dilation + 1

    @property
    def outputs(self) -> int:
        """0 or less if the kernel does not fit into the padded image."""
        return (self.size + sum(self.pads) - self.span) // self.stride + 1


@dataclass
class Drawn:
    """One call: what is given, and the same as plain arrays with all options written out."""

    kind: str  # of call: conv, bank, sequential or explain
    axes: list[Axis]
    groups: int
    given: dict[str, Any]  # input, weight, bias, options, out, threads
    plain: dict[str, Any]  # input, weight and bias as contiguous arrays of native byte order
    mode: str
    is_huge: bool = False  # so that it may be refused, too
    room: Any = None  # the array that holds out
    overlaps: bool = False  # out and input, in memory
    broken: str | None = None  # the argument that must be refused

    @property
    def options(self) -> dict[str, Any]:
        return {name: self.given[name] for name in DEFAULTS if name in self.given}

    @property
    def weight_rank(self) -> int:
        """Axes of the weight beyond those of a kernel."""
        return self.plain["weight"].ndim - len(self.axes)

    @property
    def taps(self) -> int:
        """Products that an output adds up."""
        weight = self.plain["weight"].shape
        return math.prod(weight[1:] if self.weight_rank == 2 else weight)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        image, axes = self.plain["input"].shape, len(self.axes)
        batch = image[:-axes] if self.weight_rank == 0 or len(image) == axes else image[: -axes - 1]
        maps = (self.plain["weight"].shape[0],) if self.weight_rank == 2 else ()
        return (*batch, *maps, *(axis.outputs for axis in self.axes))

    def option(self, name: str) -> Any:
        return self.given.get(name, DEFAULTS[name])

    def __str__(self) -> str:
        parts = [f"{name}={describe(value)}" for name, value in self.given.items()]
        return f"{self.kind}{len(self.axes)}d({', '.join(parts)})"


def describe(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)) and value.size > 8:
        strides = "" if value.flags.c_contiguous else f" strides {value.strides}"
        flags = "".join(
            f" {word}"
            for word, shown in (
                ("swapped", not value.dtype.isnative),
                ("unaligned", not value.flags.aligned),
                ("read-only", not value.flags.writeable),
            )
            if shown
        )
        return f"<{value.dtype.name} {value.shape}{strides}{flags}>"
    text = f"<{type(value).__name__} of {len(value)}>" if isinstance(value, list) and len(str(value)) > 60 else None
    with contextlib.suppress(Exception):
        text = text or repr(value)
    text = text or f"<{type(value).__name__}>"
    return text if len(text) <= 100 else f"{text[:97]}..."


# The definition


@dataclass
class Definition:
    """What a valid set has to give: arrays of the result's shape, of float64, complex128 or integers without a bound."""

    values: Any
    sums: Any  # before the activation
    pixels: Any  # the sum of the magnitudes of those that are seen, finite ones
    products: Any  # and likewise
    scale: Any  # and of the bias
    dtype: Any  # of the result
    accumulator: Any


def define(drawn: Drawn) -> Definition:
    """Compute what a valid set has to give, by gathering for every output what its taps see."""
    image, weight, bias = (drawn.plain[name] for name in ("input", "weight", "bias"))
    rank, groups = len(drawn.axes), drawn.groups
    if drawn.weight_rank == 0 or image.ndim == rank:
        image = np.expand_dims(image, -rank - 1)
    filters = weight.shape[0] if drawn.weight_rank == 2 else 1
    work = working_dtype(image, weight, bias)
    around = [(0, 0), (0, 0), *[(0, 1)] * rank]  # a zero behind the last pixel
    seen = np.pad(image.reshape(math.prod(image.shape[: -rank - 1]), *image.shape[-rank - 1 :]).astype(work), around)
    for number, axis in enumerate(drawn.axes):
        where = places(axis.size, axis.taps, axis.stride, axis.dilation, axis.pads, drawn.mode)
        seen = seen.take(where, axis=2 + 2 * number)  # in the end (N, C, H', kh, W', kw)
    seen = seen.transpose(0, *range(2, 2 + 2 * rank, 2), 1, *range(3, 3 + 2 * rank, 2))  # (N, H', W', C, kh, kw)
    pixels = math.prod(axis.outputs for axis in drawn.axes)
    seen = seen.reshape(len(seen), pixels, groups, drawn.taps).swapaxes(1, 2)
    bank = weight[(..., *[slice(None, None, -1)] * rank)] if drawn.option("flip") else weight
    bank = bank.astype(work).reshape(groups, filters // groups, drawn.taps).swapaxes(1, 2)
    offsets = np.zeros(filters, work) if bias is None else bias.reshape(-1).astype(work)
    offsets = offsets.reshape(groups, 1, filters // groups)
    with np.errstate(all="ignore"):
        sums = seen @ bank + offsets  # (N, groups, H' W', K / groups)
        products = abs(finite(seen)) @ abs(finite(bank)) if work in (float, complex) else 0 * sums
        values = ACTIVATIONS[drawn.option("activation")](sums)
    pixels = np.broadcast_to(abs(finite(seen)).astype(float).sum(axis=3, keepdims=True), sums.shape)
    parts = (values, sums, pixels, products, products + abs(finite(offsets)))
    return Definition(*(part.swapaxes(2, 3).reshape(drawn.shape) for part in parts), *result_dtypes(drawn))


def working_dtype(*arrays: Any) -> Any:
    """Return in which dtype to compute what these arrays give, exactly if they hold integers."""
    arrays = tuple(array for array in arrays if array is not None)
    if all(array.dtype.kind in "biu" for array in arrays):
        largest = math.prod(max(1, abs(int(array.max(initial=0))), abs(int(array.min(initial=0)))) for array in arrays)
        return np.int64 if largest * arrays[1].size < 2**62 else object
    return complex if any(array.dtype.kind == "c" for array in arrays) else float


def finite(numbers: Any) -> Any:
    return np.where(np.isfinite(numbers), numbers, 0) if numbers.dtype != object else numbers


def result_dtypes(drawn: Drawn) -> tuple[Any, Any]:
    """Return the dtype of the result, and the one of sums."""
    arrays = [array for array in (drawn.plain[name] for name in ("input", "weight", "bias")) if array is not None]
    if all(array.dtype.kind in "biu" for array in arrays):
        eight_bit = all(array.dtype.itemsize == 1 for array in arrays)
        largest = drawn.taps * math.prod(largest_of(array.dtype) for array in arrays[:2])
        largest += sum(largest_of(array.dtype) for array in arrays[2:])
        dtype = np.dtype(np.int32 if eight_bit and largest < 2**31 else np.int64)
        return dtype, dtype
    bias = drawn.given.get("bias")
    parts = [*arrays[:2], bias] if isinstance(bias, (int, float, complex)) else arrays  # a number of Python's adapts
    others = [part for part in parts if getattr(part, "dtype", None) != ml_dtypes.bfloat16]
    if len(others) == len(parts):
        dtype = np.result_type(*parts)
    elif any(isinstance(part, np.ndarray) and part.dtype.kind in "fc" for part in others):
        dtype = np.result_type(np.float32, *others)
    else:  # integers adapt to bfloat16
        dtype = np.dtype(ml_dtypes.bfloat16)
    return dtype, np.dtype(np.float32) if dtype.itemsize == 2 else dtype


def largest_of(dtype: Any) -> int:
    return 1 if dtype.kind == "b" else max(-int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def refusal(drawn: Drawn) -> str | None:
    """Return why the core must refuse a set that is not broken, None if it must not."""
    if any(axis.outputs < 1 for axis in drawn.axes):
        return "the kernel does not fit"
    if (
        drawn.mode != "zeros"
        and any(axis.size == 0 for axis in drawn.axes)
        and any(any(axis.pads) for axis in drawn.axes)
    ):
        return "there are no pixels to repeat"
    dtype, _ = result_dtypes(drawn)
    activation = drawn.option("activation")
    if activation and (dtype.kind == "c" or (dtype.kind == "i" and activation not in ("relu", "relu6"))):
        return "no such activation for this dtype"
    return None


# Drawing


class Dice(random.Random):
    """What a set is drawn with."""

    def __init__(self, *seeds: int) -> None:
        super().__init__(":".join(map(str, seeds)))
        self.numbers = np.random.default_rng(seeds)

    def chance(self, probability: float) -> bool:
        return self.random() < probability


def draw(seed: int, index: int) -> Drawn:
    dice = Dice(seed, index)
    kind = dice.choice(KINDS)
    rank = dice.choice([1, 2, 2, 3])
    most = MOST_PRODUCTS * (100 if dice.chance(1 / 30) else 1)
    for attempt in itertools.count():
        style = dice.choice(list(STYLES)) if attempt < 20 else "small"
        axes, padding = draw_axes(dice, rank, style)
        shapes = draw_shapes(dice, kind, axes, style, large=most > MOST_PRODUCTS)
        outputs = math.prod(max(axis.outputs, 0) for axis in axes)
        outputs = math.prod(max(axis.outputs, 0) for axis in axes)
        products = math.prod(shapes[0][:-rank]) * outputs * math.prod(shapes[1])
        if products <= most and math.prod(shapes[0]) <= most:
            break
        if style == "huge" and outputs > 2**32:  # beyond memory
            break
    drawn = draw_arguments(dice, kind, axes, padding, shapes)
    drawn.is_huge = style == "huge"
    if dice.chance(0.2):
        break_one(dice, drawn)
    return drawn


def small(dice: Dice) -> Axis:
    return Axis(
        dice.randint(1, dice.choice([3, 12, 40])), dice.randint(1, 5), dice.randint(1, 3), dice.randint(1, 3), (0, 0)
    )


def plain_window(dice: Dice) -> Axis:
    taps = dice.choice([1, 3, 3, 5, 7, 11])
    return Axis(dice.randint(taps, 60), taps, dice.choice([1, 1, 1, 2]), 1, (0, 0))


def tiny_map(dice: Dice) -> Axis:
    size = dice.randint(1, dice.choice([8, 40, 120]))
    return Axis(
        size,
        dice.choice([1, 2, 3, 3, 5, 7]),
        dice.choice([size, size + 1, max(1, size - 1), max(1, size // 2), 3 * size]),
        1,
        (0, 0),
    )


def large_kernel(dice: Dice) -> Axis:
    taps = dice.randint(1, 40)
    axis = Axis(dice.randint(1, 9), taps, dice.randint(1, 3), dice.choice([1, 1, 2, 9]), (0, 0))
    least = max(0, axis.span - axis.size)
    before = dice.randint(0, least)
    axis.pads = (before, least - before + dice.randint(0, 3))
    return axis


def wide(dice: Dice) -> Axis:
    return Axis(dice.randint(1, 400), dice.randint(1, 33), dice.randint(1, 3), dice.choice([1, 1, 2, 5]), (0, 0))


def zero(dice: Dice) -> Axis:
    axis = small(dice)
    axis.size = dice.choice([0, 0, axis.size])
    return axis


def huge(dice: Dice) -> Axis:
    axis = small(dice)
    what = dice.choice(["stride", "dilation", "pads", "dilation and pads", "none"])
    if what == "stride":
        axis.stride = dice.choice(HUGE)
    if what.startswith("dilation"):
        axis.dilation = max(1, dice.choice(HUGE) - dice.randint(0, 2))
    if what == "dilation and pads":
        axis.taps, before = dice.randint(1, 3), dice.choice([0, 1, 2]) * axis.dilation
        axis.pads = (before, max(0, axis.span - axis.size - before + dice.randint(0, 2)))
    if what == "pads":
        axis.pads = (dice.choice([0, 1, *HUGE]), dice.choice([0, 1, *HUGE]))
        axis.stride = max(1, sum(axis.pads) // dice.randint(1, 9)) if dice.chance(0.5) else 1
    return axis


STYLES: dict[str, Callable[[Dice], Axis]] = {
    "small": small,
    "plain": plain_window,
    "plain as well": plain_window,
    "tiny map": tiny_map,
    "large kernel": large_kernel,
    "wide": wide,
    "zero": zero,
    "huge": huge,
}


def draw_axes(dice: Dice, rank: int, style: str) -> tuple[list[Axis], Any]:
    """Return the axes, and the padding as it is given."""
    axes = [STYLES[style](dice) if dice.chance(0.8) else small(dice) for _ in range(rank)]
    if style == "wide":
        axes[:-1] = [small(dice) for _ in axes[:-1]]
    if not any(any(axis.pads) for axis in axes):
        way = dice.choice(["none", "one", "each", "pairs", "name", "name"])
        if way == "name":
            name = dice.choice(PADDING_NAMES)
            parts = zip(*((a.size, a.taps, a.stride, a.dilation) for a in axes), strict=True)
            for axis, pads in zip(axes, padding_pairs(name, *map(list, parts)), strict=True):
                axis.pads = pads
            return [fitting(dice, axis, pads_move=True) for axis in axes], name
        most = dice.choice([1, 4, 20])
        one = dice.randint(0, most)
        for axis in axes:
            before, after = dice.randint(0, most), dice.randint(0, most)
            axis.pads = {"none": (0, 0), "one": (one, one), "each": (before, before), "pairs": (before, after)}[way]
    axes = [fitting(dice, axis) for axis in axes]
    pairs = [axis.pads for axis in axes]
    if all(before == after for before, after in pairs) and dice.chance(0.7):
        return axes, per_axis(dice, [before for before, _ in pairs])
    return axes, dice.choice([tuple, list])(pairs)


def fitting(dice: Dice, axis: Axis, *, pads_move: bool = False) -> Axis:
    """Make the axis of most sets long enough for the kernel."""
    missing = axis.span - axis.size - sum(axis.pads)
    if 0 < missing < 1000 and axis.size and dice.chance(0.97) and not (pads_move and any(axis.pads)):
        axis.size += missing + dice.randint(0, 9)
    return axis


def per_axis(dice: Dice, numbers: list[int]) -> Any:
    """Write one number for every axis in one of the ways that are allowed."""
    if len(set(numbers)) == 1 and dice.chance(0.7):
        return np.int64(numbers[0]) if dice.chance(0.1) and numbers[0] < 2**63 else numbers[0]
    if dice.chance(0.1) and max(numbers) < 2**63:
        return np.array(numbers)
    return list(numbers) if dice.chance(0.2) else tuple(numbers)


def draw_shapes(dice: Dice, kind: str, axes: list[Axis], style: str, *, large: bool) -> tuple[Any, Any, int]:
    """Return the shapes of input and weight, and the number of groups."""
    form = "bank" if kind != "conv" else dice.choice(["bank", "bank", "bank", "filter", "kernel"])
    group_channels = dice.choice([1, 1, 2, 3, dice.randint(4, 70 if large else 20)])
    filters = dice.choice([1, 2, 4, dice.randint(1, 70 if large else 20)])
    groups = dice.choice([1, 1, 1, 2, 3, 5, 17]) if form == "bank" else 1
    if groups > 3:
        group_channels, filters = dice.choice([(1, 1), (1, 2), (2, 1)])
    if form == "kernel":
        group_channels = 1
    size = [axis.size for axis in axes]
    kernel = [axis.taps for axis in axes]
    lead = [dice.randint(0 if style == "zero" else 1, 3) for _ in range(dice.choice([0, 0, 1, 1, 2]))]
    channels = groups * group_channels
    no_channel_axis = form == "kernel" or (channels == 1 and not lead and dice.chance(0.3))
    weight = {"bank": (groups * filters, group_channels), "filter": (group_channels,), "kernel": ()}[form]
    return (*lead, *([] if no_channel_axis else [channels]), *size), (*weight, *kernel), groups


def draw_arguments(dice: Dice, kind: str, axes: list[Axis], padding: Any, shapes: tuple[Any, Any, int]) -> Drawn:
    input_shape, weight_shape, groups = shapes
    extra = len(weight_shape) - len(axes)
    bias_shape = (weight_shape[0],) if extra == 2 else dice.choice([(), (1,)])
    dtypes = draw_dtypes(dice)
    plain: dict[str, Any] = {}
    for name, shape, dtype in zip(
        ("input", "weight", "bias"), (input_shape, weight_shape, bias_shape), dtypes, strict=True
    ):
        plain[name] = np.asarray(draw_values(dice, shape, dtype))
    if dice.chance(0.1) and len(axes) > 1:  # kernels of rank 1
        weight = plain["weight"]
        with np.errstate(all="ignore"):
            plain["weight"] = (weight[..., :1] * weight[..., :1, :]).astype(weight.dtype)
    if dice.chance(0.5) or kind == "explain":
        plain["bias"] = None
    mode = dice.choice(PADDING_MODES)
    kinds = {array.dtype.kind for array in plain.values() if array is not None}
    activations = [None] if "c" in kinds else [None, "relu", "relu6"] if kinds <= set("biu") else list(ACTIVATIONS)
    written = {
        "stride": per_axis(dice, [axis.stride for axis in axes]),
        "padding": padding,
        "dilation": per_axis(dice, [axis.dilation for axis in axes]),
        "groups": groups,
        "padding_mode": ALIASES.get(mode, mode) if dice.chance(0.2) else mode,
        "flip": dice.choice([False, True]),
        "activation": dice.choice(activations) if dice.chance(0.98) else dice.choice(list(ACTIVATIONS)),
        "algorithm": dice.choice(["auto", "auto", "auto", "direct", "winograd", "fft"]),
        "precision": dice.choice(["default", "default", "highest"]),
    }
    options = {name: value for name, value in written.items() if not is_default(name, value) or dice.chance(0.1)}
    given = {name: present(dice, value) for name, value in plain.items() if value is not None}
    plain |= {name: np.ascontiguousarray(as_plain(given[name])).reshape(plain[name].shape) for name in given}
    drawn = Drawn(kind, axes, groups, given | options, plain, mode)
    if dice.chance(0.3):
        drawn.given["threads"] = dice.choice([None, 1, 2, 3])
    if kind in ("conv", "bank") and dice.chance(0.4) and refusal(drawn) is None:
        draw_out(dice, drawn)
    return drawn


def is_default(name: str, value: Any) -> bool:
    return isinstance(value, (int, str, type(None))) and value == DEFAULTS[name]


def draw_dtypes(dice: Dice) -> list[Any]:
    """Return dtypes for input, weight and bias."""
    way = dice.choice(["float32"] * 4 + ["float", "float", "integer", "integer", "complex", "mixed", "bytes"])
    one = dice.choice([*FLOATS, np.float64])
    return {
        "float32": lambda: [np.float32] * 3,
        "float": lambda: [one] * 3,
        "integer": lambda: dice.choices(INTEGERS, k=3),
        "bytes": lambda: [np.uint8, dice.choice([np.int8, np.uint8, np.bool_]), np.int8],
        "complex": lambda: [dice.choice(COMPLEX)] * 2 + [dice.choice([np.float32, np.complex64])],
        "mixed": lambda: dice.choices(FLOATS + INTEGERS + COMPLEX, k=3),
    }[way]()


def draw_values(dice: Dice, shape: tuple[int, ...], dtype: Any) -> Any:
    dtype, rng = np.dtype(dtype), dice.numbers
    if dtype.kind in "biu":
        limits = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
        most = 2**63 if dice.chance(0.05) else dice.choice([4, 2**20])
        low, high = max(limits[0], -most), min(limits[1], most)
        return rng.integers(low, high, shape, np.uint64 if high > 2**63 - 1 else np.int64, endpoint=True).astype(dtype)
    with np.errstate(all="ignore"):
        values = draw_reals(dice, shape)
        return (
            (values + 1j * draw_reals(dice, shape)).astype(dtype)
            if dtype.kind == "c"
            else np.asarray(values).astype(dtype)
        )


def draw_reals(dice: Dice, shape: tuple[int, ...]) -> Any:
    rng, way = dice.numbers, dice.choice(list(REALS) + ["normal"] * len(REALS))
    return REALS[way](rng, shape)


def sparse(rng: Any, shape: Any, values: Any, share: float) -> Any:
    return np.where(rng.random(shape) < share, rng.choice(values, shape), rng.standard_normal(shape))


REALS: dict[str, Callable[[Any, Any], Any]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.random(shape) + 5,
    "whole": lambda rng, shape: rng.integers(-3, 4, shape).astype(float),
    "zeros": lambda rng, shape: np.zeros(shape) * rng.choice([1, -1]),
    "mostly zeros": lambda rng, shape: np.where(rng.random(shape) < 0.03, rng.standard_normal(shape), 0),
    "tiny": lambda rng, shape: rng.standard_normal(shape) * 1e-25,
    "subnormal": lambda rng, shape: rng.standard_normal(shape) * 1e-41,
    "huge": lambda rng, shape: rng.standard_normal(shape) * 1e25,
    "hot pixels": lambda rng, shape: sparse(rng, shape, [1e9], 0.01),
    "of any size": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.uniform(-8, 8, shape),
    "not finite": lambda rng, shape: sparse(rng, shape, [np.nan, np.inf, -np.inf], 0.02),
    "infinite": lambda rng, shape: sparse(rng, shape, [np.inf], 0.02),
}


# Layouts and objects


def present(dice: Dice, values: Any) -> Any:
    """Give an array in some layout, or as some object that stands for it."""
    if dice.chance(0.08):
        return dice.choice(OBJECTS)(values)
    return lay_out(dice, values) if dice.chance(0.5) else values


def lay_out(dice: Dice, values: Any) -> Any:
    """A copy of an array that lies in memory in another way."""
    return dice.choice([strided, reordered, swapped, unaligned, read_only, repeated, shifted])(dice, values)


def strided(dice: Dice, values: Any) -> Any:
    """Every other pixel of a larger array, some axes running backwards, what lies between them NaN."""
    steps = [dice.choice([1, 1, 2, 3]) for _ in values.shape]
    room = np.empty([n * step + dice.randint(0, 2) for n, step in zip(values.shape, steps, strict=True)], values.dtype)
    room.reshape(-1).view(np.uint8).fill(0xFF)
    index = [slice(0, n * step, step) for n, step in zip(values.shape, steps, strict=True)]
    view = room[(*index, ...)][(*[slice(None, None, dice.choice([1, 1, -1])) for _ in steps], ...)]
    view[...] = values
    return view


def reordered(dice: Dice, values: Any) -> Any:
    axes = list(range(values.ndim))
    dice.shuffle(axes)
    return (
        np.ascontiguousarray(values.transpose(axes))
        .reshape([values.shape[n] for n in axes])
        .transpose(np.argsort(axes))
    )


def swapped(dice: Dice, values: Any) -> Any:
    return values.astype(values.dtype.newbyteorder("S")) if values.dtype.kind != "V" else values.copy()


def unaligned(dice: Dice, values: Any) -> Any:
    return at_offset(values, dice.randint(1, 7))


def shifted(dice: Dice, values: Any) -> Any:
    return at_offset(values, dice.randint(1, 15) * values.itemsize)


def at_offset(values: Any, offset: int) -> Any:
    view = np.ndarray(values.shape, values.dtype, np.zeros(values.nbytes + offset, np.uint8), offset)
    view[...] = values
    return view


def read_only(dice: Dice, values: Any) -> Any:
    copy = values.copy()
    copy.flags.writeable = False
    return copy


def repeated(dice: Dice, values: Any) -> Any:
    """The first entry along an axis, for all of them: a stride of zero."""
    if not values.ndim or not values.size:
        return values.copy()
    axis = dice.randrange(values.ndim)
    return np.broadcast_to(values.take([0], axis), values.shape)


class Wrapped:
    """An object that stands for an array."""

    def __init__(self, values: Any) -> None:
        self.values = values


class ByArray(Wrapped):
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values if dtype is None else self.values.astype(dtype)


class ByInterface(Wrapped):
    @property
    def __array_interface__(self) -> Any:
        return self.values.__array_interface__


class ByDLPack(Wrapped):
    def __dlpack__(self, **options: Any) -> Any:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


class Derived(np.ndarray):
    pass


def as_list(values: Any) -> Any:
    return values.astype(np.float64).tolist() if values.dtype.kind == "V" else values.tolist()


def as_tuples(values: Any) -> Any:
    def tupled(entry: Any) -> Any:
        return tuple(map(tupled, entry)) if isinstance(entry, list) else entry

    return tupled(as_list(values))


def if_standard(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Make an object that only standard dtypes have."""
    return lambda values: make(values) if values.dtype.kind in "iuf" and values.ndim and values.size else values


OBJECTS: list[Callable[[Any], Any]] = [
    lambda values: as_list(values) if values.size else values,  # whose shape would be lost
    lambda values: as_tuples(values) if values.size else values,
    if_standard(memoryview),
    if_standard(ByInterface),
    if_standard(ByDLPack),
    if_standard(lambda values: array.array("d", values.tolist()) if values.ndim == 1 else values),
    lambda values: ByArray(values),
    lambda values: values.view(Derived),
    lambda values: values.item() if values.ndim == 0 and values.dtype.kind in "if" else values,
]


def as_plain(value: Any) -> Any:
    """Return the array that an object stands for, in native byte order."""
    value = value.values if isinstance(value, Wrapped) else np.asarray(value)
    return value.astype(value.dtype.newbyteorder("=")) if value.dtype.kind != "V" else value


# Where the result is written


def draw_out(dice: Dice, drawn: Drawn) -> None:
    dtype, _ = result_dtypes(drawn)
    if math.prod(drawn.shape) > MOST_OUTPUTS:
        return
    wanted = dice.choice([dtype, dtype, *(np.dtype(other) for other in out_dtypes(dtype))])
    empty = np.zeros(drawn.shape, wanted)
    if dice.chance(0.15) and isinstance(drawn.given["input"], np.ndarray) and drawn.plain["input"].dtype.isnative:
        drawn.given["input"], drawn.given["out"] = overlapping(dice, drawn.plain["input"], empty)
        drawn.overlaps = True
        return
    out = empty if dice.chance(0.4) else dice.choice([strided, reordered, swapped, unaligned, shifted])(dice, empty)
    drawn.given["out"] = out
    if out.base is not None:
        drawn.room = out.base


def out_dtypes(dtype: Any) -> list[Any]:
    if dtype.kind == "i":
        return [np.int64, np.float64, np.int32]
    return [np.complex128] if dtype.kind == "c" else [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]


def overlapping(dice: Dice, values: Any, out: Any) -> tuple[Any, Any]:
    offset = dice.randint(0, max(values.nbytes // out.itemsize, 0)) * out.itemsize
    room = np.zeros(max(values.nbytes, offset + out.nbytes) + 1, np.uint8)
    first = np.ndarray(values.shape, values.dtype, room, 0)
    first[...] = values
    return first, np.ndarray(out.shape, out.dtype, room, offset)


# Breaking


class Raising:
    """Not an array, as it turns out."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise self.error


class Endless:
    """An iterable that is no sequence of numbers."""

    def __iter__(self) -> Iterator[int]:
        return itertools.count()


def nested_in_itself() -> Any:
    values: list[Any] = []
    values.append(values)
    return values


def deep() -> Any:
    values: Any = 1.0
    for _ in range(10**5):
        values = [values]
    return values


NO_ARRAYS: list[Callable[[], Any]] = [
    lambda: None,
    lambda: "text",
    lambda: b"bytes",
    dict,
    lambda: {1.0, 2.0},
    lambda: (n for n in range(5)),
    object,
    Endless,
    nested_in_itself,
    deep,
    lambda: [[1.0, 2.0], [3.0]],
    lambda: np.array(["a", "b"]),
    lambda: np.array([None, 1]),
    lambda: np.zeros((3, 3), "M8[s]"),
    lambda: np.zeros((3, 3), [("x", "f4")]),
    lambda: np.zeros((3, 3), np.longdouble),
    lambda: np.zeros((3, 3), np.clongdouble),
    lambda: np.zeros((3, 3), ml_dtypes.float8_e5m2),
    lambda: np.zeros((3, 3), ml_dtypes.int4),
    lambda: [np.ma.masked_array(np.ones(9), np.ones(9))] * 9,
    *(
        lambda error=error: Raising(error("no"))
        for error in (KeyError, AttributeError, ZeroDivisionError, RuntimeError, ValueError)
    ),
]
NO_INTS = [
    1.5,
    "2",
    None,
    True,
    (),
    (1,) * 5,
    [[[1]]],
    {},
    object(),
    math.nan,
    math.inf,
    b"x",
    [None],
    1j,
    np.float64(2),
    (1, "a"),
    np.bool_(True),
]
NO_NAMES = ["", "FFT", 3, [], ["zeros"], b"zeros", (), np.tanh, {}, 1.5, "ß" * 9, np.array(["auto"])]
BAD: dict[str, list[Any]] = {
    "stride": [*NO_INTS, 0, -1, (1, 0), -(10**30), "same"],
    "dilation": [*NO_INTS, 0, -1, (1, 0), -(10**30), "same"],
    "padding": [*NO_INTS, -1, ((1,),), (((1, 2, 3),) * 3), -(10**30), "SAME", "before", ((0, -1),) * 3],
    "groups": [*NO_INTS, 0, -1, (1,), 10**6 + 3, 10**30],
    "padding_mode": [
        *(name for name in NO_NAMES if name != ["zeros"]),
        None,
        ("zeros",) * 4,
        "mirror",
        "nearest",
        "reflect_101",
    ],
    "flip": [0, 1, None, "yes", [], math.nan, {}, np.array([True, False])],
    "activation": [*NO_NAMES, "RELU", "swish"],
    "algorithm": [*NO_NAMES, None, "separable"],
    "precision": [*NO_NAMES, None, "high"],
    "threads": [*NO_INTS[:2], *NO_INTS[3:], 0, -1, (1,), -(10**30)],
}


def break_one(dice: Dice, drawn: Drawn) -> None:
    """Make one argument one that must be refused."""
    names = ["input", "weight", "bias", *BAD, "out", "shape of weight", "shape of bias"]
    name = dice.choice(names)
    if drawn.kind in ("sequential", "explain") and name in ("out", "threads", "bias", "shape of bias"):
        name = "stride"
    if name in ("input", "weight", "bias"):
        drawn.given[name] = dice.choice(NO_ARRAYS[name == "bias" :])()
    elif name == "out":
        drawn.given["out"] = bad_out(
            dice, drawn.shape if refusal(drawn) is None and math.prod(drawn.shape) < MOST_OUTPUTS else (3, 3)
        )
    elif name == "shape of weight":
        name = "weight"
        drawn.given["weight"] = dice.choice([np.ones(()), np.ones((1,) * 6), np.zeros((2, 3, *[0] * len(drawn.axes)))])
    elif name == "shape of bias":
        name = "bias"
        drawn.given["bias"] = np.ones((drawn.plain["weight"].shape[0] + 1, 2), np.float32)
    else:
        drawn.given[name] = dice.choice(BAD[name])
    if name == "input" and drawn.kind == "explain":
        drawn.given["input"] = dice.choice([5, None, "text", (1, "a"), (-1, 3, 9, 9), object()])
    drawn.room = None
    drawn.broken = name


def bad_out(dice: Dice, shape: tuple[int, ...]) -> Any:
    frozen = np.zeros(shape)
    frozen.flags.writeable = False
    return dice.choice(
        [
            np.zeros((*shape, 2)),
            np.zeros(tuple(n + 1 for n in shape)),
            np.zeros(shape, np.bool_),
            np.zeros(shape, "M8[s]"),
            np.zeros(shape, object),
            np.zeros(shape, "S3"),
            np.zeros(shape, np.longdouble),
            np.ma.zeros(shape),
            np.zeros(shape).tolist(),
            frozen,
            5,
            "text",
            object(),
            np.zeros((2, 2)).view(np.matrix),
            np.broadcast_to(np.zeros(1), (*shape[:-1], shape[-1] + 2)),
        ]
    )


def call(drawn: Drawn, **changes: Any) -> Any:
    """Make the call."""
    given = drawn.given | changes
    options = {name: given[name] for name in DEFAULTS if name in given}
    more = {name: given[name] for name in ("out", "threads") if name in given}
    arrays = given["input"], given["weight"], given.get("bias")
    if drawn.kind == "conv":
        return {1: fc.conv1d, 2: fc.conv2d, 3: fc.conv3d}[len(drawn.axes)](*arrays, **options, **more)
    if drawn.kind == "explain":
        shape = given["input"] if drawn.broken == "input" else drawn.plain["input"].shape
        with contextlib.redirect_stdout(None):
            return fc.explain(shape, arrays[1], **options, dtype=drawn.plain["input"].dtype)
    bank = fc.FilterBank(*arrays[1:], **options)
    if drawn.kind == "bank":
        return bank(arrays[0], **more)
    return fc.Sequential(bank, summing_bank(drawn, bank.out_channels))(arrays[0], **more)


def summing_bank(drawn: Drawn, channels: int) -> fc.FilterBank:
    """The bank that comes second in a sequence."""
    return fc.FilterBank(np.ones((2, channels, *[1] * len(drawn.axes)), np.float32))
