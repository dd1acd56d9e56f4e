"""The house itself: which module may import which, how large rooms may grow, and how many Python calls a hot call takes.

The rules are read from the source with `ast`, never by importing: imports inside functions count, those for type checkers do not.
"""

import ast
import gc
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastconv as fc
from fastconv import ndimage, signal

SOURCE = Path(__file__).parent.parent / "src" / "fastconv"
INTERNALS = Path(__file__).parent.parent / "docs" / "internals.md"
PACKAGE = "fastconv"  # its own name as an import: __init__.py and the public names in it

# What each module may import of fastconv; a row sees nothing but rows above it, except where the package's front door is meant.
MAY_IMPORT = {
    # floor 1: no data, no decisions
    "_core": "",
    "_cache": "",
    "_threads": "",
    "_types": "",
    "filters": "",
    "_html": "",
    "_stack": "",
    "_arrays": "_core",
    "_border": "_arrays _core",
    "_problem": "_border _core",
    "_activations": "_arrays _core _problem",
    # floor 2: arrays on their way to the core, and arguments on their way to a problem
    "_blocks": "_arrays _core _problem",
    "_weights": "_arrays _core _problem",
    "_remembered": "_core _problem _weights",
    "_check": "_core _problem",
    "_check_transposed": "_check _problem",
    "_views": "_check _problem",
    "_fold": "_check _problem _weights",
    # floor 3: algorithms know each other and what is below, not the plan
    "_axis": "_core _problem",
    "algorithms": "_arrays _core _problem",
    "algorithms.winograd_forms": "",
    "algorithms.direct": "_core _problem _weights algorithms",
    "algorithms.sweep": "_core _problem _weights algorithms algorithms.direct",
    "algorithms.tiles": "_core _problem _weights algorithms algorithms.direct algorithms.sweep",
    "algorithms.byte_tiles": "_arrays _core _problem _weights algorithms algorithms.direct algorithms.tiles",
    "algorithms.by_position": "_core _problem _weights algorithms algorithms.direct algorithms.tiles",
    "algorithms.winograd": "_core _problem _weights algorithms algorithms.winograd_forms",
    "algorithms.transposed": "_core _problem _weights algorithms algorithms.direct",
    "algorithms.transposed_interleaved": "_core _problem _weights algorithms algorithms.direct algorithms.tiles",
    "algorithms.transposed_tiles": "_arrays _core _problem _weights algorithms algorithms.direct algorithms.tiles",
    "algorithms.transposed_winograd": "_problem algorithms.winograd algorithms.winograd_forms",
    "algorithms.weight_exchanged": (
        "_blocks _core _problem algorithms algorithms.direct algorithms.sweep algorithms.tiles"
    ),
    "algorithms.weight_direct": "_arrays _core _problem algorithms algorithms.direct",
    "algorithms.weight_dot": "_core _problem algorithms algorithms.direct algorithms.weight_direct",
    "algorithms.weight_winograd": "_core _problem algorithms algorithms.winograd algorithms.winograd_forms",
    "algorithms.separable": "_blocks _arrays _core _problem _threads _weights algorithms algorithms.sweep",
    "algorithms.fft": "_blocks _arrays _core _problem _weights algorithms algorithms.direct algorithms.sweep algorithms.tiles",
    "algorithms.real_parts": (
        "_blocks _arrays _problem _weights algorithms algorithms.direct algorithms.fft algorithms.sweep algorithms.tiles algorithms.winograd"
    ),
    # floor 4: plans
    "_plan": "_blocks _check _core _fold _problem _remembered _weights algorithms algorithms.*",
    "_fuse": "_arrays _core _plan _problem _weights algorithms",
    "_gradient": (
        "_blocks _arrays _border _check _check_transposed _core _plan _problem algorithms algorithms.weight_direct"
        " algorithms.weight_dot"
        " algorithms.weight_exchanged algorithms.weight_winograd"
    ),
    "_ready": "_cache _core _plan _problem",
    "_passes": "_axis _blocks _arrays _check _core _plan _problem algorithms algorithms.separable",
    "_missing": "_blocks _arrays _border _cache _check _core _plan _problem",
    "_exact": "_check _core _problem algorithms.byte_tiles",
    "_quantized": "_arrays _cache _check _core _exact _plan _problem algorithms.byte_tiles",
    "_lengths": "_check _exact _fold _plan _problem _weights",
    "_sections": "_check _passes _plan _problem",
    "_spectra": "_problem",
    "_signal": "_blocks _cache _passes _plan _problem _ready _sections _spectra _weights",
    "_along": "_check _problem _sections _signal _spectra _weights",
    "_polyphase": "_arrays _passes _plan _problem _sections _signal",
    "_parts": "_arrays _blocks _border _check _core _plan _problem _weights algorithms",
    "_bank": "_activations _cache _check _html _parts _plan _problem _views _weights",
    # floor 5: what users call
    "config": f"_check _core _remembered _threads {PACKAGE}",
    "explanation": "_bank _blocks _check _exact _fuse _html _lengths _plan _problem _types _views algorithms config",
    "_ndimage": "_cache _check _core _exact _passes _problem _ready",
    "ndimage": "_ndimage _problem _types config",
    "conv": "_cache _check _exact _lengths _missing _plan _problem _types _views config dask storage",
    "signal": "_along _check _core _polyphase _problem _ready _sections _signal _types config",
    "transpose": "_bank _cache _check _check_transposed _gradient _parts _plan _problem _types _views _weights config dask explanation storage",
    "grad": "_bank _cache _check _check_transposed _gradient _plan _problem _types _weights config",
    "bank": "_bank _cache _check _exact _fuse _gradient _html _lengths _missing _parts _plan _problem _types _views config conv dask explanation plot storage stream transpose",
    "plot": "bank",
    "storage": "_arrays _check _parts _problem bank config",
    "stream": "_arrays _check _parts _plan _problem algorithms config",
    "dask": "_arrays _check _parts _plan _problem bank transpose",
    PACKAGE: "_check config conv",
    "integrations": "",
    "integrations.keras": "_problem _remembered bank conv transpose",
    "quantized": "_bank _check _problem _quantized _types algorithms.byte_tiles config",
    "__main__": f"_stack storage {PACKAGE}",
}
STANDS_FOR = {"dask": {"dask"}}  # what a module is of no use without
ALLOWED = {name: set(row.split()) for name, row in MAY_IMPORT.items()}
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    .removesuffix(".__init__")
    .replace("__init__", PACKAGE): path
    for path in SOURCE.rglob("*.py")
}
MODULES = {*FILES, "_core"}
MAX_LINES = {"_plan.py": 220, **{f"core/{path.name}": 449 for path in (SOURCE / "core").glob("*.px?")}}

core_files = pytest.mark.parametrize("name", sorted(path.name for path in (SOURCE / "core").glob("*.pxi")))
python_files = pytest.mark.parametrize("name", sorted(FILES))


class Import(NamedTuple):
    target: str  # of fastconv: a module's name as in MAY_IMPORT; of other packages: the whole name
    line: int
    is_lazy: bool  # inside a function
    is_ours: bool  # of fastconv, not a module of another package that has the same name, such as signal


def imports(name: str) -> Iterator[Import]:
    yield from _imports(ast.parse(FILES[name].read_text("utf-8")).body, is_lazy=False)


def _imports(body: list[ast.stmt], is_lazy: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (_import(alias.name, node.lineno, is_lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are absolute"
            for alias in node.names:
                inner = _import(f"{node.module}.{alias.name}", node.lineno, is_lazy)
                yield inner if inner.is_ours else _import(str(node.module), node.lineno, is_lazy)
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            deeper = is_lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            for block in ("body", "orelse", "finalbody"):
                yield from _imports(getattr(node, block, []), deeper)
            for handler in getattr(node, "handlers", []):
                yield from _imports(handler.body, deeper)


def _import(name: str, line: int, is_lazy: bool) -> Import:
    target = name if name == PACKAGE else name.removeprefix(f"{PACKAGE}.")
    return Import(target, line, is_lazy, name.partition(".")[0] == PACKAGE and target in MODULES)


def may_import(name: str, target: str) -> bool:
    return bool({target, f"{target.rpartition('.')[0]}.*"} & ALLOWED[name])


# Who may import whom


def test_every_module_has_a_row_in_the_table_of_imports() -> None:
    assert MODULES - ALLOWED.keys() == set(), "modules without a row"
    assert ALLOWED.keys() - MODULES == set(), "rows without a module"
    named = {target for row in ALLOWED.values() for target in row if not target.endswith("*")}
    assert named - MODULES == set(), "rows that allow what is no module"


@python_files
def test_modules_import_only_what_the_table_allows(name: str) -> None:
    refused = [i for i in imports(name) if i.is_ours and not may_import(name, i.target)]
    assert refused == [], "\n" + "\n".join(
        f"{FILES[name].name}:{i.line} imports {i.target}; {name} may import: {MAY_IMPORT[name] or 'nothing of fastconv'}"
        for i in refused
    )


@python_files
def test_the_table_allows_no_more_than_is_imported(name: str) -> None:
    used = {i.target for i in imports(name) if i.is_ours}
    unused = [
        t for t in ALLOWED[name] if t not in used and not (t.endswith(".*") and any(u.startswith(t[:-1]) for u in used))
    ]
    assert unused == [], f"{name} does not import these; take them out of its row"


@pytest.mark.parametrize(
    "name", sorted(name for name in ALLOWED if name.startswith(("_", "algorithms")) and name != "__main__")
)
def test_private_modules_import_no_public_one(name: str) -> None:
    public = [target for target in ALLOWED[name] if not target.startswith(("_", "algorithms"))]
    assert public == []


def test_imports_go_downward() -> None:
    """The rows of the table are in such an order that each imports only from rows above it when it is loaded."""
    place = {name: number for number, name in enumerate(MAY_IMPORT)}
    upward = [
        f"{FILES[name].name}:{i.line} {name} -> {i.target}"
        for name in FILES
        for i in imports(name)
        if i.is_ours and not i.is_lazy and place[i.target] >= place[name]
    ]
    assert upward == []


@python_files
def test_other_packages_than_numpy_are_imported_inside_functions(name: str) -> None:
    outside = [
        f"{FILES[name].name}:{i.line} {i.target}"
        for i in imports(name)
        if not i.is_lazy
        and not i.is_ours
        and i.target.partition(".")[0] not in {*sys.stdlib_module_names, "numpy", *STANDS_FOR.get(name, ())}
    ]
    assert outside == []


# How rooms are built


@python_files
def test_nobody_asks_of_which_class_a_layout_is(name: str) -> None:
    calls = [node for node in ast.walk(ast.parse(FILES[name].read_text("utf-8"))) if isinstance(node, ast.Call)]
    asking = [
        f"{FILES[name].name}:{call.lineno} {ast.unparse(call)}"
        for call in calls
        if ast.unparse(call.func) in ("isinstance", "issubclass") and "Layout" in ast.unparse(call.args[1])
    ]
    assert asking == [], "a layout's attributes tell what it can do"


@pytest.mark.parametrize("name", sorted(MAX_LINES))
def test_rooms_stay_small(name: str) -> None:
    assert len((SOURCE / name).read_text("utf-8").splitlines()) <= MAX_LINES[name]


def included() -> list[str]:
    return re.findall(r'^include "core/(\w+\.pxi)"$', (SOURCE / "_core.pyx").read_text("utf-8"), re.MULTILINE)


def head(name: str) -> str:
    """The comment at the top of a file of core/, as one line."""
    text = (SOURCE / "core" / name).read_text("utf-8")
    return " ".join(line.lstrip("# ") for line in re.match(r"(#.*\n)*", text)[0].splitlines())


def test_every_file_of_the_core_is_included_once() -> None:
    assert sorted(included()) == sorted(path.name for path in (SOURCE / "core").glob("*.pxi"))


def declared_uses(name: str) -> set[str]:
    uses = re.search(r"Uses: ((?:\w+\.px[id](?:, )?)+)\.", head(name))
    assert uses, f"the head of core/{name} must say 'Uses: a.pxi, b.pxd.': which other files of core/ it relies on"
    return set(uses[1].split(", "))


def code_of(name: str) -> str:
    text = (SOURCE / "core" / name).read_text("utf-8")
    return re.sub(r'"""[\s\S]*?"""|#.*', "", text)


def names_made_in(name: str) -> set[str]:
    """The functions, with what follows them where they are used, and the types and constants that a file of core/ makes."""
    code = code_of(name)
    functions = re.findall(r"^(?:def |cdef .*?\b)(\w+)\(", code, re.MULTILINE)
    types = re.findall(r"^cdef (?:struct|enum|class) (\w+)", code, re.MULTILINE)
    enums = re.findall(r"^cdef enum.*:\n((?:[ \t]+.*\n|\n)*)", code, re.MULTILINE)
    constants = [constant for body in enums for constant in re.findall(r"\b([A-Z][A-Z_]+)\b", body)]
    return {rf"{function}[(\[]" for function in functions} | {rf"{other}\b" for other in (*types, *constants)}


@core_files
def test_files_of_the_core_use_only_what_is_included_before_them(name: str) -> None:
    before = included()[: included().index(name)]
    late = declared_uses(name) - {*before, *(path.name for path in (SOURCE / "core").glob("*.pxd"))}
    assert late == set(), f"core/{name} uses files that _core.pyx includes later, or that are not there"


@core_files
def test_heads_of_the_core_name_the_files_that_are_used(name: str) -> None:
    code, own = code_of(name), names_made_in(name)
    used = {
        other: [found[0] for made in names_made_in(other) - own if (found := re.search(rf"(?<![.\w]){made}", code))]
        for other in included()
        if other != name
    }
    uses = {other for other, found in used.items() if found}
    declared = {other for other in declared_uses(name) if other.endswith(".pxi")}
    assert uses - declared == set(), f"core/{name} uses { ({other: used[other][:3] for other in uses - declared}) }"
    assert declared - uses == set(), f"core/{name} uses nothing of these"


# How many Python functions a hot call enters


def python_calls(call: Callable[[], Any]) -> list[str]:
    """Return the Python functions that a call enters the third time, the given one not among them."""
    call()
    call()
    entered = []

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call":
            entered.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}")

    before, collects = sys.getprofile(), gc.isenabled()
    gc.disable()  # others have callbacks for it, which are no part of the call
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
        if collects:
            gc.enable()
    return entered[1:]


def test_a_hot_call_of_conv2d_enters_few_python_functions() -> None:
    image, weight, bias = np.ones((3, 32, 32), np.float32), np.ones((8, 3, 3, 3), np.float32), np.ones(8, np.float32)
    out = np.empty((8, 32, 32), np.float32)
    for call in (
        lambda: fc.conv2d(image[0], weight[0, 0]),
        lambda: fc.conv2d(image, weight),
        lambda: fc.conv2d(image, weight, bias, padding=1, activation="relu", out=out, threads=1),
    ):
        assert len(entered := python_calls(call)) <= 4, entered


def test_a_hot_call_of_a_bank_enters_few_python_functions() -> None:
    image = np.ones((3, 32, 32), np.float32)
    bank = fc.FilterBank(np.ones((8, 3, 3, 3), np.float32), np.ones(8, np.float32))
    out = bank(image)
    for call in (lambda: bank(image), lambda: bank(image, out=out, threads=1)):
        assert len(entered := python_calls(call)) <= 3, entered


def test_a_hot_call_by_winograd_enters_few_python_functions() -> None:
    image, bank = np.ones((64, 28, 28), np.float32), fc.FilterBank(np.ones((64, 64, 3, 3), np.float32), padding=1)
    assert fc.explain(image.shape, bank.weight, padding=1).algorithm == "winograd"
    assert len(entered := python_calls(lambda: bank(image))) <= 10, entered


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i8", "c16"])
def test_hot_calls_of_scipy_s_names_enter_few_python_functions(dtype: str) -> None:
    image, kernel = np.ones((5, 5), dtype), np.ones((3, 3))
    for call in (
        lambda: ndimage.correlate(image, kernel),
        lambda: ndimage.convolve(image, kernel, mode="constant", cval=1.0),
        lambda: ndimage.uniform_filter(image, 3),
        lambda: ndimage.gaussian_filter(image, 1),
        lambda: signal.convolve2d(image, kernel, fillvalue=1),
        lambda: signal.convolve(image, kernel),
    ):
        assert len(entered := python_calls(call)) <= 4, entered


# What docs/internals.md says is where


def places() -> list[tuple[str, str]]:
    """The files that the page names in `code`, each with the name that it says is in there, if any."""
    page = INTERNALS.read_text("utf-8") if INTERNALS.exists() else ""  # which source packages lack
    inline = re.findall(r"`([\w./]+\.(?:py|pyx|pxi|pxd|h|c))(?::(\w+))?`", page)
    drawn = re.findall(r"([\w/]+\.(?:py|pxi|c|h)):(\w+):", page)
    return sorted({*inline, *drawn})


@pytest.mark.parametrize(("file", "name"), places())
def test_the_walk_through_names_what_is_there(file: str, name: str) -> None:
    path = next((root / file for root in (SOURCE, SOURCE.parent.parent) if (root / file).exists()), None)
    assert path, f"docs/internals.md names {file}, which does not exist"
    assert re.search(rf"\b{name}\b", path.read_text("utf-8")), f"docs/internals.md looks for {name} in {file}"
