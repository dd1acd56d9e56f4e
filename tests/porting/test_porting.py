"""What the porting guide claims: each call of fastconv equals the other library's, and the page says what the data says."""

import re

import numpy as np
import page
import pytest
import rows

import fastconv as fc

LIBRARIES = rows.libraries()
CASES = [case for library in LIBRARIES for case in rows.cases(library)]
CLASSES = {
    "A": {"padding": "same"},
    "B": {"padding": "same_lower"},
    "C": {"padding": "same", "flip": True},
    "D": {"padding": "same_lower", "flip": True},
}
ALL_ROWS = [pytest.param(row, id=f"{library.slug} {row.function}") for library in LIBRARIES for row in library.rows]
OF_A_CLASS = [
    each for each in ALL_ROWS if each.values[0].even in CLASSES and re.match(r"fc\.conv\dd\(", each.values[0].ours)
]


@pytest.mark.filterwarnings("ignore")  # the peers' own
@pytest.mark.parametrize("case", CASES, ids=str)
def test_both_sides_of_a_row_are_equal(case: rows.Case) -> None:
    if missing := case.library.missing(case.row):
        pytest.skip(f"needs {missing}")
    case.check()


@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_even_kernels_give_the_numbers_of_the_page(name: str) -> None:
    result = fc.conv1d(page.CLASS_IMAGE, page.CLASS_KERNEL, **CLASSES[name])
    np.testing.assert_array_equal(result, page.CLASS_OUTPUTS[name])


@pytest.mark.parametrize("row", OF_A_CLASS)
def test_the_class_of_a_row_is_that_of_its_call(row: rows.Row) -> None:
    named = CLASSES[row.even]
    code = row.first(row.ours, 1)
    assert f'padding="{named["padding"]}"' in code
    assert ("flip=True" in code) == ("flip" in named) == (row.flips == "yes")


@pytest.mark.parametrize("row", ALL_ROWS)
def test_calls_of_fastconv_can_be_pasted(row: rows.Row) -> None:
    """Also where the other side cannot be run here, ours can."""
    if "import dask" in row.ours:
        pytest.importorskip("dask")
    rows.evaluate(row.first(row.ours, 1), {**rows.arrays(row.kernels[0], row.single), "np": np, "fc": fc})


@pytest.mark.parametrize("path", page.written(LIBRARIES), ids=lambda path: path.name)
def test_pages_are_up_to_date(path: page.Path) -> None:
    if not path.parent.exists():
        pytest.skip("source packages lack docs/")
    assert path.read_text("utf-8") == page.written(LIBRARIES)[path], "python tests/porting/page.py --write"
