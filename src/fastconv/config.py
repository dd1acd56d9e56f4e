"""show_config: what this installation is and what it runs on."""

from __future__ import annotations

import platform
import sys

import numpy as np

from fastconv import _check


def show_config() -> None:
    """Print the versions and choices that a result or a timing depends on.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.show_config()  # doctest: +ELLIPSIS
    fastconv      ...
    numpy         ...
    """
    from fastconv import __version__

    lines = {
        "fastconv": __version__,
        "numpy": np.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{platform.system()} {platform.machine()}, {sys.byteorder}-endian",
        "algorithms": ", ".join(_check.ALGORITHMS[1:]),
        "threads": "1",
    }
    for name, value in lines.items():
        print(f"{name:13} {value}")
