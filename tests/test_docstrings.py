"""The examples of the docstrings, of the README and of pages in docs/, run against the installed package."""

import doctest
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastconv as fc

ROOT = Path(__file__).parents[1]
MODULES = [
    importlib.import_module(f"fastconv.{module.name}")
    for module in pkgutil.iter_modules(fc.__path__)
    if module.name != "__main__" and (module.name != "dask" or importlib.util.find_spec("dask"))
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


PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))


def python_blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


# internals.md shows part of a program; the calls of porting.md have tests of their own
@pytest.mark.parametrize("name", sorted({"README.md", *PAGES} - {"docs/internals.md", "docs/porting.md"}))
def test_python_blocks_of_a_page_run(name: str, tmp_path: Path) -> None:
    blocks = python_blocks(name)
    if not blocks:
        pytest.skip("no Python on this page")
    code = "\n".join(blocks)
    packages = sorted(set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)))
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        pytest.skip(f"needs {missing}")
    if name == "README.md":
        write_files_of_the_recipes(tmp_path)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def write_files_of_the_recipes(folder: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(folder / "photo.jpg")
    field = rng.random((40, 60))
    field[10:13, 20:24] = np.nan
    np.save(folder / "temperature.npy", field)
    np.save(folder / "large.npy", rng.random((100, 200), np.float32))
    np.save(folder / "eeg.npy", rng.standard_normal((64, 1000)))
    shapes = {"0.weight": (8, 3, 3, 3), "0.bias": (8,), "2.weight": (16, 8, 3, 3), "2.bias": (16,)}
    np.savez(folder / "weights.npz", **{name: rng.random(shape, np.float32) for name, shape in shapes.items()})


def test_pages_with_python_are_found() -> None:
    if not (ROOT / "docs").exists():
        pytest.skip("source packages lack docs/")
    assert {"docs/large.md", "docs/training.md", "docs/start.md"} <= {name for name in PAGES if python_blocks(name)}


def test_the_reference_lists_every_public_name() -> None:
    page = ROOT / "docs" / "api" / "index.rst"
    if not page.exists():
        pytest.skip("source packages lack docs/")
    listed = re.findall(r"^   (\w+)$", page.read_text("utf-8"), re.MULTILINE)
    modules = {module.__name__.partition(".")[2] for module in MODULES if hasattr(module, "__all__")}
    public = {*fc.__all__, *(name for name in modules if not name.startswith("_"))}
    reexported = {"bank", "conv", "transpose"}  # modules whose names fastconv has itself
    assert public - set(listed) - reexported == set()
