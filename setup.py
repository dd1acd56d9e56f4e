"""Builds fastconv._core, the one extension module; the metadata is in pyproject.toml.

Cython writes its C into build/, so that src/ holds only what people wrote.
"""

import sys
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

# One wheel for every Python from 3.11. Not worth it: a call with four memoryviews takes 0.2 us (30 to 40 %) longer.
STABLE_ABI = False

MACROS: list[tuple[str, str | None]] = [
    ("CYTHON_CCOMPLEX", "0"),  # NumPy's plain complex product, without the C library's repairs of NaN and infinity
]
if STABLE_ABI:
    MACROS.append(("Py_LIMITED_API", "0x030B0000"))

# -ffp-contract=off: whether a product and a sum are fused is for the source to say, not for the compiler.
# -falign-functions: how fast a loop runs shall not depend on how long the functions before it happen to be.
UNIX_FLAGS = ["-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden", "-falign-functions=64"]
FLAGS = ["/O2"] if sys.platform == "win32" else UNIX_FLAGS
LINK_FLAGS = ["-Wl,-s"] if sys.platform == "linux" else []  # names of static functions would be 2 % of a wheel

core = Extension(
    "fastconv._core",
    sources=["src/fastconv/_core.pyx", *sorted(glob("src/fastconv/kernels/*.c"))],
    depends=sorted(glob("src/fastconv/kernels/*.h") + glob("src/fastconv/core/*.px?")),
    include_dirs=["src/fastconv"],
    define_macros=MACROS,
    extra_compile_args=FLAGS,
    extra_link_args=LINK_FLAGS,
    py_limited_api=STABLE_ABI,
)

setup(
    ext_modules=cythonize([core], build_dir="build"),
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
