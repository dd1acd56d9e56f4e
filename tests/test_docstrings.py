"""The examples of the docstrings and of the README, run against the installed package."""

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc

README = Path(__file__).parents[1] / "README.md"
MODULES = [
    importlib.import_module(f"fastconv.{module.name}")
    for module in pkgutil.iter_modules(fc.__path__)
    if module.name != "__main__"
]
EXAMPLES = [
    example
    for module in [fc, *MODULES]
    for example in doctest.DocTestFinder().find(module, extraglobs={"np": np, "fc": fc})
    if example.examples
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_prints_what_its_docstring_shows(example: doctest.DocTest) -> None:
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(example, out=report.append).failed == 0, "".join(report)


def test_every_public_function_and_class_has_an_example() -> None:
    shown = {example.name for example in EXAMPLES}
    public = [
        value
        for module in [fc, *MODULES]
        for name, value in inspect.getmembers(module)
        if name in getattr(module, "__all__", ()) and (inspect.isfunction(value) or inspect.isclass(value))
    ]
    without = {f"{value.__module__}.{value.__qualname__}" for value in public} - shown
    assert not without


def test_readme_python_blocks_run() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    subprocess.run([sys.executable, "-c", "\n".join(blocks)], check=True)
