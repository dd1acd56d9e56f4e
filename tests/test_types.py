"""Types of the public functions: what a type checker passes and refuses, and that they name what is taken at run time."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import fastconv as fc
from fastconv import _check, _core, _ndimage, _polyphase, _signal, _types

ROOT, PACKAGE = Path(__file__).parents[1], Path(fc.__file__).parent
HEAD = """
import numpy as np
from numpy.typing import NDArray
import fastconv as fc
from fastconv import grad, ndimage, signal
single, double = np.ones((8, 8), np.float32), np.ones((8, 8), np.float64)
integers = np.ones((8, 8), np.int8)
bank = fc.FilterBank(np.ones((2, 1, 3, 3), np.float32))
kept: NDArray[np.float32]
wide: NDArray[np.float64]
""".strip()
GOOD = [
    'fc.conv2d(single, single, padding="same")',
    'fc.conv2d(single, single, padding=("same_upper", (1, 1)))',
    "fc.conv2d([[1, 2]], [[1]], padding=((1, 2), (0, 1)))",
    'fc.conv1d(single, single[0], None, 1, "causal", padding_mode="edge")',
    'fc.conv2d(single, single, padding_mode=("zeros", "wrap"))',
    'fc.conv2d(single, single, activation="relu", algorithm="direct", precision="highest")',
    'fc.conv2d(single, single, activation=("clip", 0, 6), nan="ignore", renormalize="abs")',
    'fc.FilterBank(np.ones((2, 1, 3, 3)), activation=("prelu", [0.1, 0.2]))',
    'fc.FilterBank.from_kernels([single], padding="same", activation=("elu", 2.0))',
    'bank(single, nan="ignore")',
    'fc.conv_transpose2d(single, single, padding="same_lower", activation="tanh")',
    'fc.explain((8, 8), single, algorithm="fft")',
    'grad.conv2d_bias(single[None]); grad.conv2d_input((8, 8), single, double, precision="highest")',
    'ndimage.gaussian_filter(single, 1, mode=["mirror", "grid-wrap"])',
    'signal.convolve2d(single, single, "same", boundary="symm")',
    'fc.filters.sobel("z", ndim=3)',
    "c = fc.conv2d(single, single); kept = c",
    "kept = fc.conv1d(single, single[0], single[0], padding=1, out=single)",
    "wide = fc.conv3d(double, double)",
    "wide = fc.conv2d(single, double)",  # of any dtype, as far as types know
    "wide = fc.conv2d(single, single, out=double)",
    "maps, weights = fc.conv2d(single, single, return_weight=True)",
    "kept = fc.filters.gaussian(sigma=2)",
]
BAD = [
    'fc.conv2d(single, single, padding="SAME")',
    'fc.conv2d(single, single, padding=("same", "mirror"))',
    'fc.conv2d(single, single, padding_mode="mirror")',
    'fc.conv1d(single, single[0], padding_mode="nearest")',
    'fc.conv3d(single, single, padding_mode=("zeros", "mirror", "zeros"))',
    'fc.conv2d(single, single, activation="ReLU")',
    'fc.conv2d(single, single, activation="clip")',
    'fc.conv2d(single, single, activation=("relu", 0.1))',
    'fc.conv2d(single, single, algorithm="strassen")',
    'fc.conv2d(single, single, precision="high")',
    'fc.conv2d(single, single, nan="omit")',
    'fc.conv2d(single, single, renormalize="yes")',
    'fc.FilterBank(np.ones((2, 1, 3, 3)), padding_mode="nearest")',
    'fc.FilterBank.from_kernels([single], padding_mode="nearest")',
    "fc.FilterBank.from_kernels([single], paddin=1)",
    'bank(single, nan="omit")',
    'fc.conv_transpose2d(single, single, padding="SAME_LOWER")',
    'fc.TransposedFilterBank(np.ones((2, 1, 3, 3)), padding_mode="mirror")',
    'fc.explain((8, 8), single, algorithm="gemm")',
    'grad.conv2d_input((8, 8), single, double, padding_mode="mirror")',
    'ndimage.gaussian_filter(single, 1, mode="edge")',
    'signal.convolve2d(single, single, "middle")',
    'fc.filters.sobel("w")',
    "a = fc.conv2d(single, single); wide = a",
    "b = fc.conv2d(double, double, out=double); kept = b",
    "kept = fc.filters.box(3, ndim=2.0)",
]


@pytest.fixture(scope="module")
def errors(tmp_path_factory):
    """What mypy says of each line, by line."""
    pytest.importorskip("mypy")
    lines = [*HEAD.splitlines(), *GOOD, *BAD]
    path = tmp_path_factory.mktemp("types") / "lines.py"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    environment = dict(os.environ)
    if "site-packages" not in PACKAGE.parts:
        environment["MYPYPATH"] = str(PACKAGE.parent)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(path)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr  # 2: it could not check
    found = re.findall(r"^.*lines\.py:(\d+): error: (.*)$", run.stdout, re.MULTILINE)
    assert found, run.stdout
    return {lines[int(number) - 1]: message for number, message in found}


@pytest.mark.parametrize("line", GOOD)
def test_a_type_checker_passes_right_calls(errors, line):
    assert line not in errors, errors[line]


@pytest.mark.parametrize("line", BAD)
def test_a_type_checker_catches_wrong_calls(errors, line):
    assert line in errors


def test_the_lines_before_are_right(errors):
    assert not errors.keys() & {*HEAD.splitlines()}


@pytest.mark.parametrize(
    ("alias", "taken"),
    [
        (_types.PaddingName, _check.PADDINGS),
        (_types.PaddingModeName, _check.PADDING_MODES),
        (
            _types.ActivationName,
            _core.ACTIVATIONS.keys() - {None, "clip", "prelu"},
        ),  # these are nothing without numbers
        (_types.Algorithm, _check.ALGORITHMS),
        (_types.Precision, _check.PRECISIONS),
        (_types.NdimageMode, _ndimage.MODES),
        (_types.SignalBoundary, _signal.BOUNDARIES),
        (_types.UpfirdnMode, _polyphase.EXTENSIONS),
    ],
)
def test_types_name_what_is_taken_at_run_time(alias, taken):
    assert {*get_args(alias)} == {*taken}
