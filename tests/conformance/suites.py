"""Which tests of which libraries run against which functions of ours, and what is left out, with the reason."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Suite(NamedTuple):
    """Tests of an installed library."""

    ours: str  # a module
    theirs: str  # the module whose functions are replaced
    functions: tuple[str, ...]
    modules: tuple[str, ...]  # that look them up, besides those that the other ones import
    tests: tuple[str, ...]  # modules
    excluded: dict[str, str]  # tests: why
    tolerance: float = 64.0  # of values: times the precision of their dtype, relative to the largest one
    takes: Callable[[str, tuple[Any, ...], dict[str, Any]], bool] = lambda *_: True  # whether a call is for ours


def takes_filter(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Return whether a call is none of an IIR filter: for these there is no function of ours."""
    divisor = args[1] if len(args) > 1 else options.get("a", 1)
    return name != "lfilter" or np.ndim(divisor) != 1 or len(divisor) == 1


SUITES = {
    "scipy.signal": Suite(
        ours="fastconv.signal",
        theirs="scipy.signal",
        functions=(
            "choose_conv_method",
            "convolve",
            "convolve2d",
            "correlate",
            "correlate2d",
            "correlation_lags",
            "fftconvolve",
            "lfilter",
            "oaconvolve",
            "sepfir2d",
            "upfirdn",
        ),
        modules=("scipy.signal", "scipy.signal._signaltools", "scipy.signal._upfirdn", "scipy.signal._savitzky_golay"),
        tests=(
            "scipy.signal.tests.test_signaltools",
            "scipy.signal.tests.test_upfirdn",
            "scipy.signal.tests.test_result_type",
            "scipy.signal.tests.test_bsplines",
            "scipy.signal.tests.test_savitzky_golay",
            "scipy.signal.tests.test_fir_filter_design",
        ),
        takes=takes_filter,
        excluded={
            "test_signaltools::TestFFTConvolve::test_fft_nan": (
                "a NaN reaches only the outputs that read it, where SciPy's transforms spread it over all of them"
            ),
            "test_signaltools::TestConvolve::test_convolve_method": (
                "by Fourier transforms, rounding noise makes SciPy's False True: bool is exact here"
            ),
        },
    ),
    "scipy.ndimage": Suite(
        ours="fastconv.ndimage",
        theirs="scipy.ndimage",
        functions=(
            "convolve",
            "convolve1d",
            "correlate",
            "correlate1d",
            "gaussian_filter",
            "gaussian_filter1d",
            "gaussian_gradient_magnitude",
            "gaussian_laplace",
            "generic_gradient_magnitude",
            "generic_laplace",
            "laplace",
            "prewitt",
            "sobel",
            "uniform_filter",
            "uniform_filter1d",
        ),
        modules=("scipy.ndimage", "scipy.ndimage._filters", "scipy.ndimage._ndimage_api"),
        tests=("scipy.ndimage.tests.test_filters", "scipy.ndimage.tests.test_datatypes"),
        excluded={
            "test_filters::test_gaussian_filter_float16": "float16 is taken, where SciPy refuses it",
        },
    ),
}
