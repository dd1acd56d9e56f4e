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


@pytest.mark.parametrize("name", ["py.typed", "_core.pyi"])
def test_types_are_shipped(name: str) -> None:
    assert files("fastconv").joinpath(name).is_file()
