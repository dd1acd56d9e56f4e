"""The installed package as a whole: its version, its public names, what importing it costs, and the files it ships."""

import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files

import pytest

import fastconv as fc


def test_version_is_that_of_the_metadata() -> None:
    assert fc.__version__ == version("fastconv")


def test_public_names_exist() -> None:
    assert [name for name in fc.__all__ if not hasattr(fc, name)] == []


def test_public_names_are_listed_once() -> None:
    assert len(fc.__all__) == len(set(fc.__all__))


def test_import_needs_numpy_alone() -> None:
    program = "import fastconv, sys; print(*{'PIL', 'matplotlib', 'ml_dtypes', 'scipy'} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


def test_import_loads_no_more_than_it_needs() -> None:
    program = "import numpy, sys; before = set(sys.modules); import fastconv; print(*sys.modules.keys() - before)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    late = {"fastconv.bank", "fastconv.filters", "fastconv.plot", "fastconv.__main__"}
    slow = {"argparse", "dataclasses", "importlib.metadata", "inspect", "numpy.ma", "pathlib", "re", "subprocess"}
    slow |= {"urllib.parse"}
    assert set(loaded) & (late | slow) == set()


@pytest.mark.parametrize("name", fc.__all__)
def test_public_names_are_there_when_they_are_first_used(name: str) -> None:
    program = f"import fastconv as fc; print({name!r} in dir(fc), fc.{name} is fc.{name})"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["True", "True"]


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'fastconv' has no attribute 'filter'"):
        fc.filter  # noqa: B018


@pytest.mark.parametrize("name", ["py.typed", "_core.pyi"])
def test_types_are_shipped(name: str) -> None:
    assert files("fastconv").joinpath(name).is_file()
