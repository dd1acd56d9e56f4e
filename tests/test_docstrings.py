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


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("README.md", ()),
        ("docs/training.md", ()),
        ("docs/large.md", ("dask", "xarray", "zarr")),
        ("docs/keras.md", ("keras",)),
    ],
)
def test_python_blocks_of_a_page_run(name: str, needs: tuple[str, ...], tmp_path: Path) -> None:
    page = ROOT / name
    if missing := [package for package in needs if importlib.util.find_spec(package) is None]:
        pytest.skip(f"needs {missing}")
    if not page.exists():
        pytest.skip("source packages lack docs/")
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    if name == "README.md":
        write_files_of_the_recipes(tmp_path)
    subprocess.run([sys.executable, "-c", "\n".join(blocks)], check=True, cwd=tmp_path)


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
