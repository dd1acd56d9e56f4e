"""Other languages than Python, run as programs on the arrays of the porting guide: Octave and R."""

import io
import shutil
import subprocess
from typing import Any

import numpy as np

PROGRAMS = {"octave": ("octave-cli", "--quiet", "--eval"), "r": ("Rscript", "--vanilla", "-e")}
PRINT = {
    "octave": "printf('%d %d\\n', size(result)); printf('%.17g\\n', result);",  # by columns, as R does
    "r": "result <- as.matrix(result); cat(dim(result), '\\n'); cat(sprintf('%.17g', result), sep='\\n')",
}


def found(language: str) -> bool:
    return shutil.which(PROGRAMS[language][0]) is not None


def run(language: str, code: str, arrays: dict[str, Any]) -> np.ndarray:
    """Return what an expression of another language is, of the arrays that it names."""
    *before, last = code.strip().splitlines()
    made = [assignment(language, name, array) for name, array in arrays.items() if name in code]
    program = "\n".join([*made, *before, f"result = {last};", PRINT[language]])
    done = subprocess.run([*PROGRAMS[language], program], capture_output=True, text=True, check=True)
    sizes, numbers = done.stdout.split("\n", 1)
    shape = tuple(int(size) for size in sizes.split())
    matrix = np.loadtxt(io.StringIO(numbers.replace("NA", "nan")), ndmin=1).reshape(shape, order="F")
    return matrix.ravel() if 1 in shape else matrix


def assignment(language: str, name: str, value: Any) -> str:
    array = np.atleast_1d(value)
    numbers = ", ".join(repr(float(number)) for number in array.ravel(order="F"))
    if array.ndim == 1:
        return f"{name} = [{numbers}];" if language == "octave" else f"{name} <- c({numbers})"
    size = ", ".join(str(length) for length in array.shape)
    if language == "octave":
        return f"{name} = reshape([{numbers}], {size});"
    return f"{name} <- matrix(c({numbers}), {size})"
