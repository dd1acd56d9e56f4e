"""Builds fastconv._core, the one extension module; the metadata is in pyproject.toml.

Cython writes its C into build/, so that src/ holds only what people wrote; objects stay there too, for the next build. What
may be taken from there is told by digests of all that it was made from, not by times: pip makes each build an environment
of its own, whose files are always new.
"""

import hashlib
import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import Cython
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
    """Translate and compile, in parallel, only those sources of an extension whose text, headers or flags have changed."""

    def finalize_options(self):
        super().finalize_options()
        self.build_temp = f"build/temp.{self.plat_name}-{sys.implementation.cache_tag}"  # of editable builds as well

    def build_extensions(self):
        if self.compiler.compiler_type == "unix":  # others say themselves what they lack
            name = self.compiler.compiler_so[0]
            require(shutil.which(name), f"a C compiler, and there is no {name}")
            has_headers = any(Path(folder, "Python.h").exists() for folder in self.compiler.include_dirs)
            require(has_headers, "Python's headers, and there is no Python.h")
        super().build_extensions()

    def build_extension(self, ext):
        compile_sources, everything = self.compiler.compile, self.force
        self.force = True  # objects, not the module, tell whether they are up to date

        def compile_one(source, **options):
            (target,) = self.compiler.object_filenames([source], output_dir=options["output_dir"])
            headers = [path for path in options["depends"] if path.endswith(".h")]
            with remade(target, digest(self.command(options), [source, *headers]), everything) as needed:
                if needed:
                    compile_sources([source], **options)
            return target

        def compile_all(sources, **options):
            slowest_first = sorted(sources, key=lambda source: "avx512" not in source)
            with ThreadPoolExecutor(1 if sys.platform == "win32" else os.cpu_count()) as pool:
                return list(pool.map(lambda source: compile_one(source, **options), slowest_first))

        self.compiler.compile = compile_all
        ext.sources = [translated(path, ext, everything) if path.endswith(".pyx") else path for path in ext.sources]
        super().build_extension(ext)

    def command(self, options):
        """Return all that an object depends on, but for its sources."""
        compiler = self.compiler
        command = [getattr(compiler, "compiler_so", None), compiler.include_dirs, compiler.macros, options]
        return command + [os.environ.get(name) for name in ("ARCHFLAGS", "MACOSX_DEPLOYMENT_TARGET", "CL", "_CL_")]


def require(found, what):
    """End the build in one line that says what is missing, and where it is to be had, unless it was found."""
    if not found:
        packages = "Debian, Ubuntu: apt install gcc python3-dev; Fedora: dnf install gcc python3-devel"
        raise SystemExit(f"fastconv is built from source with {what} ({packages}; macOS: xcode-select --install)")


def digest(settings, paths):
    """Return a digest of settings and the contents of files."""
    result = hashlib.sha256(repr(settings).encode())
    for path in paths:
        result.update(Path(path).read_bytes())
    return result.hexdigest()


@contextmanager
def remade(target, key, everything):
    """Tell whether a file has to be made anew, since it was made from something else, and note what it was made from."""
    stamp = Path(f"{target}.key")
    needed = everything or not os.path.exists(target) or not stamp.exists() or stamp.read_text() != key
    if needed:
        stamp.unlink(missing_ok=True)
    yield needed
    stamp.write_text(key)


def translated(source, ext, everything):
    """Return the path of the C that Cython makes of a source."""
    target = Path("build", source).with_suffix(".c")
    files = [path for path in (source, __file__, *ext.depends) if not path.endswith(".h")]
    with remade(target, digest(Cython.__version__, files), everything) as needed:
        if needed:
            directives = {"emit_code_comments": False}  # half of the text, a tenth of the time
            cythonize([Extension(ext.name, [source])], build_dir="build", force=True, compiler_directives=directives)
            mark_small(target)
    return str(target)


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
setup(ext_modules=[core], cmdclass={"build_ext": BuildObjects})
