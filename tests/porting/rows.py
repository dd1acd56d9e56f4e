"""The porting guide's data: functions of other libraries, each with the call of fastconv that equals it.

Each *.toml here is a library. A row's `theirs` is evaluated after the library's `setup`, its `ours` with np and fc, both on
the arrays of `arrays()`; `{name}` in them stands for an entry of the table `choices.name`: theirs on the left, ours on the right.
"""

import ast
import importlib.util
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import programs

import fastconv as fc

FOLDER = Path(__file__).parent
SHAPES = {"odd": ((3, 5), 3), "even": ((2, 4), 4)}  # of kernels, and the taps of signals


@dataclass(frozen=True)
class Row:
    function: str
    theirs: str
    ours: str
    drop_in: str = ""  # the same by fastconv.ndimage or .signal, with their arguments
    flips: str = "no"
    even: str = "–"  # noqa: RUF001 - class of even kernels, or where outputs lie
    border: str = "zeros"
    sums: str = ""  # dtypes and rounding
    normalises: str = "no"
    notes: str = ""
    kernels: tuple[str, ...] = ("odd", "even")
    single: bool = False  # float32 arrays
    exact: bool = False  # the same dtype and bits
    tolerance: float | None = None
    needs: tuple[str, ...] = ()
    choices: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("kernels", "needs"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("theirs", "ours", "drop_in"):
            object.__setattr__(self, name, getattr(self, name).strip())

    def first(self, code: str, side: int) -> str:
        """Return code with the first entry of each table of choices."""
        return filled(code, {name: next(iter(table.items())) for name, table in self.choices.items()}, side)


@dataclass(frozen=True)
class Library:
    slug: str
    name: str
    order: int
    checked: str  # version
    intro: str
    rows: tuple[Row, ...]
    modules: tuple[str, ...] = ()  # what is imported
    language: str = "python"
    by_hand: bool = False  # theirs is shown and not run
    setup: str = ""

    def missing(self, row: Row) -> str:
        """Return a module or program that the row needs and that is not there, or nothing."""
        if self.by_hand:
            return "to be checked by hand"
        if self.language != "python":
            return "" if programs.found(self.language) else programs.PROGRAMS[self.language][0]
        return next((name for name in (*self.modules, *row.needs) if importlib.util.find_spec(name) is None), "")


@dataclass(frozen=True)
class Case:
    """A row with one kernel and one entry of each table of choices."""

    library: Library
    row: Row
    kernel: str
    chosen: dict[str, tuple[str, str]]

    def __str__(self) -> str:
        words = [self.library.slug, self.row.function, self.kernel, *(theirs for theirs, _ in self.chosen.values())]
        return " ".join(words)

    def check(self) -> None:
        """Raise AssertionError unless both sides are equal."""
        row = self.row
        theirs = self.evaluate_theirs(filled(row.theirs, self.chosen, 0))
        for code, side in ((row.ours, 1), (row.drop_in, 0)):
            if code:
                names = {**arrays(self.kernel, row.single), "np": np, "fc": fc}
                compare(np.asarray(evaluate(filled(code, self.chosen, side), names)), theirs, row)

    def evaluate_theirs(self, code: str) -> np.ndarray:
        if self.language != "python":
            return programs.run(self.language, code, arrays(self.kernel, self.row.single))
        names = {"np": np}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(self.library.setup, names)  # noqa: S102
            return np.asarray(evaluate(code, {**names, **arrays(self.kernel, self.row.single)}))

    @property
    def language(self) -> str:
        return self.library.language


def arrays(kernel: str, single: bool = False) -> dict[str, Any]:
    """Return the arrays of which rows speak; those of kernels have odd or even lengths, and no symmetry."""
    rng, (shape, n) = np.random.default_rng(20261128), SHAPES[kernel]
    kh, kw = shape

    def floats(*lengths: int) -> np.ndarray:
        numbers = rng.uniform(-1, 1, lengths)
        return numbers.astype(np.float32) if single else numbers

    image = floats(6, 9)
    holes = image.copy()
    holes[1, 2] = holes[3:5, 6] = np.nan
    named = {
        "image": image,  # (H, W)
        "holes": holes,  # with NaN
        "photo": rng.integers(0, 256, (6, 9), np.uint8),
        "rgb": rng.integers(0, 256, (6, 9, 3), np.uint8),
        "colours": floats(6, 9, 3),
        "kernel": floats(*shape),
        "weights": np.abs(floats(*shape)) + image.dtype.type(0.1),  # positive; their sum is not 1
        "whole": rng.integers(-3, 4, shape),
        "square": rng.integers(0, 9, (5, 5)),
        "eighths": rng.integers(-4, 9, shape) / 8,  # sums of bytes by them are exact, and often half-way
        "phases": floats(*shape) + 1j * floats(*shape),
        "samples": floats(7),
        "taps": floats(n),
        "images": floats(2, 4, 6, 9),  # (N, C, H, W)
        "bank": floats(6, 4, *shape),  # (K, C, kh, kw)
        "halves": floats(6, 2, *shape),  # for groups=2
        "spread": floats(4, 6, *shape),  # of transposed convolution: (C, K, kh, kw)
        "bias": floats(6),
        "signals": floats(2, 4, 7),
        "signal_bank": floats(6, 4, n),
        "volumes": floats(2, 4, 4, 5, 6),
        "volume_bank": floats(6, 4, 2, 3, 2),
        "pictures": floats(2, 6, 9, 4),  # (N, H, W, C)
        "hwio": floats(*shape, 4, 6),
        "depthwise": floats(*shape, 4, 2),
        "pointwise": floats(1, 1, 8, 5),
        "bytes": rng.integers(0, 256, (2, 4, 6, 9), np.uint8),
        "byte_bank": rng.integers(-128, 128, (6, 4, *shape), np.int8),
    }
    return {**named, "kh": kh, "kw": kw, "n": n}


def libraries() -> list[Library]:
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        rows = tuple(Row(**row) for row in data.pop("rows"))
        data["modules"] = tuple(data.get("modules", ()))
        found.append(Library(slug=path.stem, rows=rows, **data))
    return sorted(found, key=lambda library: (library.order, library.slug))


def cases(library: Library) -> Iterator[Case]:
    for row in library.rows:
        for kernel, *chosen in product(row.kernels, *(table.items() for table in row.choices.values())):
            yield Case(library, row, kernel, dict(zip(row.choices, chosen, strict=True)))


def filled(code: str, chosen: dict[str, tuple[str, str]], side: int) -> str:
    """Return code with what was chosen in place of {name}; side: 0 for theirs, 1 for ours."""
    for name, pair in chosen.items():
        code = code.replace(f"{{{name}}}", pair[side])
    return code


def evaluate(code: str, names: dict[str, Any]) -> Any:
    """Run statements and return the value of the last one, an expression."""
    *before, last = ast.parse(code).body
    assert isinstance(last, ast.Expr), f"the last statement is no expression: {code}"
    exec(compile(ast.Module(before, []), "<row>", "exec"), names)  # noqa: S102
    return eval(compile(ast.Expression(last.value), "<row>", "eval"), names)


def compare(ours: np.ndarray, theirs: np.ndarray, row: Row) -> None:
    assert ours.shape == theirs.shape, f"shapes {ours.shape} and {theirs.shape}"
    if row.exact:
        assert ours.dtype == theirs.dtype, f"dtypes {ours.dtype} and {theirs.dtype}"
        np.testing.assert_array_equal(ours, theirs)
        return
    is_single = np.result_type(theirs).char in "efF"
    tolerance = row.tolerance or (1e-5 if is_single else 1e-9)
    np.testing.assert_allclose(ours.astype(np.result_type(ours, np.float64)), theirs, tolerance, tolerance)
