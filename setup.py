"""Builds fastconv._core, the one extension module; the metadata is in pyproject.toml.

Cython writes its C into build/, so that src/ holds only what people wrote; objects stay there too, for the next build.
"""

import hashlib
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# CYTHON_CCOMPLEX: NumPy's plain complex product, without the C library's repairs of NaN and infinity.
MACROS = [("CYTHON_CCOMPLEX", "0")]
# -ffp-contract=off: whether a product and a sum are fused is for the source to say, not for the compiler.
# -falign-functions: how fast a loop runs shall not depend on how long the functions before it happen to be.
# Nothing throws: tables to unwind the stack would be 3 % of a wheel. -O3 makes micro-kernels no faster, and 5 % larger.
UNIX_FLAGS = ["-O2", "-g0", "-ffp-contract=off", "-fvisibility=hidden", "-falign-functions=64"]
UNIX_FLAGS += ["-fno-asynchronous-unwind-tables"]
LINK_FLAGS = ["-Wl,-s"] if sys.platform == "linux" else []  # names of static functions would be 2 % of a wheel


class BuildObjects(build_ext):
    """Compile the sources of an extension in parallel, and only those whose text, headers or flags have changed."""

    def finalize_options(self):
        super().finalize_options()
        self.build_temp = f"build/temp.{self.plat_name}-{sys.implementation.cache_tag}"  # of editable builds as well

    def build_extension(self, ext):
        compile_sources, everything = self.compiler.compile, self.force
        self.force = True  # objects, not the module, tell whether they are up to date

        def compile_one(source, **options):
            (target,) = self.compiler.object_filenames([source], output_dir=options["output_dir"])
            key, stamp = self.key(source, options), Path(target + ".key")
            if everything or not os.path.exists(target) or not stamp.exists() or stamp.read_text() != key:
                stamp.unlink(missing_ok=True)
                compile_sources([source], **options)
                stamp.write_text(key)
            return target

        def compile_all(sources, **options):
            slowest_first = sorted(sources, key=lambda source: "avx512" not in source)
            with ThreadPoolExecutor(1 if sys.platform == "win32" else os.cpu_count()) as pool:
                return list(pool.map(lambda source: compile_one(source, **options), slowest_first))

        self.compiler.compile = compile_all
        super().build_extension(ext)

    def key(self, source, options):
        """Return a digest of all that an object depends on."""
        compiler = self.compiler
        command = [getattr(compiler, "compiler_so", None), compiler.include_dirs, compiler.macros, options]
        command += [os.environ.get(name) for name in ("ARCHFLAGS", "MACOSX_DEPLOYMENT_TARGET", "CL", "_CL_")]
        digest = hashlib.sha256(repr(command).encode())
        for path in [source, *(path for path in options["depends"] if path.endswith(".h"))]:
            digest.update(Path(path).read_bytes())
        return digest.hexdigest()


core = Extension(
    "fastconv._core",
    sources=["src/fastconv/_core.pyx", *sorted(glob("src/fastconv/kernels/*.c"))],
    depends=sorted(glob("src/fastconv/kernels/*.h") + glob("src/fastconv/core/*.px?")),
    include_dirs=["src/fastconv"],
    define_macros=MACROS,
    extra_compile_args=["/O2"] if sys.platform == "win32" else UNIX_FLAGS,
    extra_link_args=LINK_FLAGS,
)


def mark_small(path):
    """Mark the C functions of the core that serve Python: FC_SMALL, in _core.pyx, lets them be compiled to be small."""
    text = path.read_text("utf-8")
    loops = r"static (?!PyObject)[^;]*__pyx_f_8fastconv_"  # those without Python objects: the rest of the core's own
    marked = re.sub(
        rf"^(?=static (?!CYTHON_INLINE)[^;]*;\s*/\*proto\*/$)(?!{loops})", "FC_SMALL ", text, flags=re.MULTILINE
    )
    if marked != text:
        path.write_text(marked, "utf-8")


Options.docstrings = False  # of a private module
modules = cythonize([core], build_dir="build")
mark_small(Path("build/src/fastconv/_core.c"))
setup(ext_modules=modules, cmdclass={"build_ext": BuildObjects})
