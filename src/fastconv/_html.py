"""How banks, stacks and explanations show themselves in notebooks: tables of plain HTML, kernels as small PNG images.

Nothing but NumPy draws them. Colours of text and ground are the notebook's own, light or dark.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

MOST_FILTERS, MOST_PLANES = 16, 8  # of a bank, and of a filter, that are drawn
FEW_FILTERS, FEW_PLANES = 6, 3  # the same for each bank of a stack
SIDE, LONGEST, LOWEST = 27, 128, 10  # pixels of a kernel's longer side, about and at most; of its height, at least
NEGATIVE, ZERO, POSITIVE = (5, 48, 97), (247, 247, 247), (103, 0, 31)  # blue, white, red, as in plot.filter_bank
BETWEEN = (67, 147, 195), (214, 96, 77)  # halfway to either
GAP = 128  # gray of the lines between kernels
CELL = "text-align:left;vertical-align:middle;padding:2px 10px 2px 0;border:none;background:transparent"
IMAGE = "display:inline-block;margin:2px 4px 2px 0;max-width:none;vertical-align:middle;outline:1px solid #808080"


def bank(bank: Any) -> str:
    """Return a bank's shapes and counts, and pictures of its first kernels."""
    facts = [
        ("weight", f"{bank.weight.shape}, {bank.weight.dtype}"),
        ("bias", "none" if bank.bias is None else f"{bank.bias.shape}, {bank.bias.dtype}"),
        ("parameters", f"{bank.num_parameters:,}"),
        ("receptive field", _by(bank.receptive_field)),
        ("kernels", Raw(pictures(bank, MOST_FILTERS, MOST_PLANES))),
    ]
    return f"<div>{_code(bank)}{_table(facts)}</div>"


def stack(stack: Any) -> str:
    """Return a row for each bank of a stack, with the receptive field of the stack up to there."""
    rows: list[Sequence[str]] = [("", "bank", "parameters", "receptive field", "kernels")]
    banks = stack._row
    for position, one in enumerate(banks):
        field = type(stack)(*banks[: position + 1]).receptive_field
        few = pictures(one, FEW_FILTERS, FEW_PLANES)
        rows.append((str(position), Raw(_code(one)), f"{one.num_parameters:,}", _by(field), Raw(few)))
    rows.append(("", "all", f"{stack.num_parameters:,}", _by(stack.receptive_field), ""))
    head = f"{type(stack).__name__}, {stack.in_channels} -> {stack.out_channels}"
    return f"<div><b>{escape(head)}</b>{_table(rows, has_head=True)}</div>"


def explanation(problem: str, runs: str, rows: Iterable[Sequence[str]]) -> str:
    """Return the table of an explanation; `runs`: the algorithm that does, whose row is bold."""
    marked = [[Raw(f"<b>{escape(cell)}</b>") if row[0] == runs else cell for cell in row] for row in rows]
    return f"<div><b>{escape(problem)}</b>{_table(marked, has_head=True)}</div>"


def pictures(bank: Any, filters: int, planes: int) -> str:
    """Return images of a bank's first filters, each of its kernels for the first channels, and what is left out."""
    weight = by_filter(bank)  # (K, planes, kh, kw)
    total, depth = weight.shape[:2]
    some = weight[:filters, :planes]
    if not some.size:
        return ""
    values = np.abs(some) if some.dtype.kind == "c" else some
    with np.errstate(all="ignore"):
        numbers = values.astype(np.float64)
    largest = float(np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)) or 1.0
    images = "".join(_image(f"filter {k}", one / largest) for k, one in enumerate(numbers))
    notes = ["magnitudes"] if some.dtype.kind == "c" else []
    notes += [f"{filters} of {total} filters"] if total > filters else []
    notes += [f"{planes} of {depth} {'slices' if bank.weight.ndim == 5 else 'channels'}"] if depth > planes else []
    return images + (f"<span>{', '.join(notes)}</span>" if notes else "")


def by_filter(bank: Any) -> NDArray[Any]:
    """Return a bank's kernels (K, planes, kh, kw): a plane for each channel, and in volumes for each depth."""
    weight = bank.weight
    if bank.IS_TRANSPOSED:  # (C, K / groups, ...)
        grouped = weight.reshape(bank.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
        weight = grouped.reshape(-1, *grouped.shape[2:])
    spatial = weight.shape[2:]
    kh, kw = (1, *spatial)[-2:]
    planes: NDArray[Any] = weight.reshape(len(weight), weight[0].size // (kh * kw), kh, kw)
    return planes


def _image(title: str, kernels: NDArray[np.float64]) -> str:
    """Return an image of kernels (planes, kh, kw) of -1..1 side by side."""
    step = -(-max(kernels.shape[1:]) // LONGEST)
    kernels = kernels[:, ::step, ::step]
    scale = max(1, SIDE // max(kernels.shape[1:]))
    down = max(scale, LOWEST // kernels.shape[1])  # of signals, whose kernels are one row
    large = colours(kernels).repeat(down, axis=1).repeat(scale, axis=2)  # (planes, h, w, 3)
    lined = np.pad(large, ((0, 0), (0, 0), (1, 0), (0, 0)), constant_values=GAP)
    row = np.concatenate([*lined], axis=1)[:, 1:]
    data = b64encode(png(row)).decode("ascii")
    return f'<img alt="{title}" title="{title}" style="{IMAGE}" src="data:image/png;base64,{data}">'


def colours(values: NDArray[np.float64]) -> Pixels:
    """Return RGB of values of -1..1, on a last axis of its own; gray for those that are not finite."""
    table = np.array([NEGATIVE, BETWEEN[0], ZERO, BETWEEN[1], POSITIVE], np.float64)
    finite = np.where(np.isfinite(values), values, 0.0)
    rgb = np.stack([np.interp(finite, np.linspace(-1, 1, len(table)), channel) for channel in table.T], axis=-1)
    rgb[~np.isfinite(values)] = GAP
    pixels: Pixels = np.rint(rgb).astype(np.uint8)
    return pixels


def png(pixels: Pixels) -> bytes:
    """Return a PNG file of pixels (H, W, 3)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))  # each begins with its filter, none
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


class Raw(str):
    """HTML that is to stay as it is."""

    __slots__ = ()


def _table(rows: Iterable[Sequence[str]], has_head: bool = False) -> str:
    return f'<table style="border:none;background:transparent;color:inherit">{"".join(_rows(rows, has_head))}</table>'


def _rows(rows: Iterable[Sequence[str]], has_head: bool) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield '<tr style="background:transparent">'
        for place, cell in enumerate(row):
            tag = "th" if (has_head and number == 0) or (not has_head and place == 0) else "td"
            yield f'<{tag} style="{CELL}">{cell if isinstance(cell, Raw) else escape(cell)}</{tag}>'
        yield "</tr>"


def _code(value: object) -> str:
    return f'<code style="background:transparent;color:inherit">{escape(repr(value))}</code>'


def _by(lengths: Iterable[int]) -> str:
    return " x ".join(map(str, lengths))
