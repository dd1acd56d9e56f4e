"""A pytest plugin that runs the tests of an installed library with functions of fastconv in place of the library's own.

A function is replaced wherever the library's modules look it up. Every call is repeated by the original: results must
have the same values, shapes and dtypes, and errors the same type. `REPLACED_SUITE` names the suite of suites.py,
`REPLACED_REPORT` a file for what came of it: a line of JSON.
"""

import collections
import copy
import functools
import importlib
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from suites import SUITES, Suite

calls: collections.Counter[str] = collections.Counter()  # by function
failures: dict[str, str] = {}  # by test: the last line of its error
repeating = threading.local()  # has a name while an original runs in a thread: what it calls is not replaced
outcomes: collections.Counter[str] = collections.Counter()


def pytest_configure() -> None:
    suite = SUITES[os.environ["REPLACED_SUITE"]]
    theirs = importlib.import_module(suite.theirs)
    for module in suite.modules:
        importlib.import_module(module)
    ours = importlib.import_module(suite.ours)
    for name in suite.functions:
        replace(suite, name, getattr(ours, name), getattr(theirs, name))


def replace(suite: Suite, name: str, ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    """Put a function in place of another in all modules of its library."""
    originals = [theirs, *unwrapped(theirs)]
    for module in library_modules(suite.theirs.partition(".")[0]):
        found = vars(module).get(name)
        if any(found is original for original in originals):
            setattr(module, name, call := repeated(suite, name, ours, found))
            register(call, found)


def register(call: Callable[..., Any], original: Callable[..., Any]) -> None:
    """Enter a function in SciPy's table of which array libraries each function takes, which its tests look up."""
    table = getattr(sys.modules.get("scipy._lib._array_api"), "xp_capabilities_table", {})
    if original in table:
        table[call] = table[original]


def unwrapped(function: Any) -> Iterator[Any]:
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
        yield function


def library_modules(library: str) -> list[ModuleType]:
    return [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == library and module]


def repeated(suite: Suite, name: str, ours: Callable[..., Any], theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls ours, and compares what it does with what theirs does."""

    @functools.wraps(theirs)
    def call(*args: Any, **options: Any) -> Any:
        if hasattr(repeating, "name") or not suite.takes(name, args, options):
            return theirs(*args, **options)
        calls[name] += 1
        again = copy.deepcopy((args, options))  # for outputs that are given are written to
        repeating.name = name
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = attempt(theirs, *again)
        del repeating.name
        result = attempt(ours, args, options)
        tolerance = suite.tolerance * precision((args, options))
        compare(name, result, expected, tolerance, largest_number(again))
        for one, other in zip(arrays((args, options)), arrays(again), strict=True):
            assert_close(f"{name}: an argument's", one, other, tolerance)
        if isinstance(result, Exception):
            raise result
        return result

    return call


def arrays(values: Any) -> Iterator[Any]:
    """Yield the arrays of numbers among some arguments."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind in "biufc":
            yield values
    elif isinstance(values, (tuple, list, dict)):
        for one in values.values() if isinstance(values, dict) else values:
            yield from arrays(one)


def precision(values: Any) -> float:
    """Return the largest relative rounding error of the dtypes among some arguments, float64's at least."""
    dtypes = {np.dtype(np.float64), *(array.dtype for array in arrays(values) if array.dtype.kind in "fc")}
    return max(float(np.finfo(dtype).eps) for dtype in dtypes)


def attempt(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    try:
        return function(*args, **options)
    except Exception as error:  # noqa: BLE001 - of any kind
        return error


def compare(name: str, result: Any, expected: Any, tolerance: float, largest: float) -> None:
    """Raise AssertionError unless two results are alike."""
    if isinstance(expected, Exception) or isinstance(result, Exception):
        assert isinstance(result, type(expected)), f"{name}: {result!r:.200} instead of {expected!r:.200}"
    elif isinstance(expected, (tuple, list)):
        for one, other in zip(result, expected, strict=True):
            compare(name, one, other, tolerance, largest)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert np.shape(result) == expected.shape, f"{name}: shape {np.shape(result)} instead of {expected.shape}"
        assert result.dtype == expected.dtype, f"{name}: dtype {result.dtype} instead of {expected.dtype}"
        assert_close(name, np.asarray(result), np.asarray(expected), tolerance, largest)


def largest_number(values: Any) -> float:
    """Return the largest magnitude of the finite floating point numbers among some arguments."""
    numbers = [abs(array[np.isfinite(array)]) for array in arrays(values) if array.dtype.kind in "fc"]
    return max((float(one.max()) for one in numbers if one.size), default=0.0)


def assert_close(name: str, result: Any, expected: Any, tolerance: float, largest: float = 0.0) -> None:
    """Raise AssertionError unless values are alike, relative to the largest of them and of the arguments."""
    if expected.dtype.kind not in "fc" or not expected.size:
        np.testing.assert_array_equal(result, expected, f"{name}: values")
        return
    wide = np.clongdouble if expected.dtype.kind == "c" else np.longdouble
    finite = np.isfinite(expected)
    largest = max(largest, float(np.abs(expected[finite]).max()) if finite.any() else 0.0)
    np.testing.assert_allclose(
        result.astype(wide), expected.astype(wide), 0, tolerance * largest, err_msg=f"{name}: values"
    )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = (yield).get_result()
    if report.failed:
        message = str(call.excinfo.value) if call.excinfo else ""
        module = getattr(item, "module", None)
        test = item.nodeid.rpartition(".py::")[2].lstrip(":")
        failures[f"{module.__name__.rpartition('.')[2]}::{test}" if module else test] = " ".join(message.split())[:300]
    if report.when == "call" or report.failed:
        outcomes[report.outcome] += 1


def pytest_sessionfinish() -> None:
    with open(os.environ["REPLACED_REPORT"], "w") as file:
        json.dump({"calls": calls, "outcomes": outcomes, "failures": failures}, file)
