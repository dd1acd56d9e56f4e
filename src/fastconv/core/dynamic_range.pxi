# How much darker than others parts of an image are: what the FFT may lose there to rounding. Part of _core.pyx.
#
# An image is cut into cells; that of a group of channels is as bright as its largest magnitude.
#
# Uses: buffers.pxd, entry.pxi.


cdef enum:
    FOLD = 64  # pixels to which a cell of a single row is folded: maxima of so many are taken side by side,
    FOLDED = 8  # and then of so many


cdef struct Cells:
    # The cells of an image, and what was found of them.
    Py_ssize_t depth, rows, columns, row_step  # of the image, in numbers
    Py_ssize_t cell_depth, cell_rows, cell_columns
    Py_ssize_t rest            # pixels behind the rows that a single one is folded to
    Py_ssize_t count
    double total, least        # brightness of all cells; of the darkest one that is not 0
    bint has_zeros             # some cells are 0


def dynamic_range(image, cell):
    """Return how much cells (depth, rows, columns) of an image (groups, C / groups, D, H, W) differ in brightness.

    That is their mean brightness relative to that of the darkest cell that is not 0, in the group where this is
    greatest; whether some cells hold nothing but zeros; and whether some do in a group that has others, too.
    Columns lie side by side.
    """
    cdef View view = view_of(image, 5, False)
    cdef Cells cells
    cdef Py_ssize_t group
    cdef double greatest = 0
    cdef bint has_blank = False, has_dark = False
    cdef void *line
    cells.depth, cells.rows, cells.columns, cells.row_step = view.shape[2], view.shape[3], view.shape[4], view.step[3]
    cells.cell_depth, cells.cell_rows = min(<Py_ssize_t>cell[0], cells.depth), min(<Py_ssize_t>cell[1], cells.rows)
    cells.cell_columns, cells.rest = min(<Py_ssize_t>cell[2], cells.columns), 0
    if cells.depth * cells.rows == 1 and cells.cell_columns >= FOLD:
        cells.rows, cells.rest = cells.columns // FOLD, cells.columns % FOLD
        cells.cell_rows = cells.cell_columns // FOLD
        cells.columns = cells.cell_columns = cells.row_step = FOLD
    room = empty((cells.columns,), image.dtype)
    line = view_of(room, 1, False).start
    with nogil:
        for group in range(view.shape[0]):
            if view.itemsize == sizeof(float):
                measure_cells(&cells, <const float *>view.start + group * view.step[0], &view, <float *>line)
            else:
                measure_cells(&cells, <const double *>view.start + group * view.step[0], &view, <double *>line)
            greatest = max(greatest, cells.total / (cells.count * cells.least))
            has_blank |= cells.has_zeros
            has_dark |= cells.has_zeros and cells.total > 0
    return greatest, has_blank, has_dark


cdef void measure_cells(Cells *cells, const real *image, const View *view, real *line) noexcept nogil:
    """Measure all cells of one group's channels (C / groups, D, H, W); line has room for a row."""
    cdef Py_ssize_t c, z
    cdef const real *pixels
    cdef Range depths = Range(0, 0), rows
    cells.count, cells.total, cells.least, cells.has_zeros = 0, 0, INFINITY, False
    while depths.last < cells.depth:
        depths = Range(depths.last, min(depths.last + cells.cell_depth, cells.depth))
        rows = Range(0, 0)
        while rows.last < cells.rows:
            rows = Range(rows.last, min(rows.last + cells.cell_rows, cells.rows))
            memset(line, 0, cells.columns * sizeof(real))
            for c in range(view.shape[1]):
                for z in range(depths.first, depths.last):
                    pixels = image + c * view.step[1] + z * view.step[2]
                    max_magnitudes(line, pixels + rows.first * cells.row_step, rows.last - rows.first, cells.columns,
                                   cells.row_step)
                    if rows.last == cells.rows:
                        max_magnitudes(line, pixels + rows.last * cells.row_step, 1, cells.rest, 0)
            measure_row(cells, line, rows.last - rows.first == cells.cell_rows
                        and depths.last - depths.first == cells.cell_depth)


cdef inline real magnitude(real x) noexcept nogil:
    return fabsf(x) if real is float else fabs(x)


cdef void max_magnitudes(real *line, const real *row, Py_ssize_t rows, Py_ssize_t columns,
                         Py_ssize_t row_step) noexcept nogil:
    """Take the largest magnitudes of some rows, column by column, into a line."""
    cdef Py_ssize_t x
    cdef real one, other
    while rows >= 4:
        for x in range(columns):
            one, other = magnitude(row[x]), magnitude(row[row_step + x])
            one = one if one > other else other
            other = magnitude(row[2 * row_step + x])
            one = one if one > other else other
            other = magnitude(row[3 * row_step + x])
            one = one if one > other else other
            line[x] = one if one > line[x] else line[x]
        row += 4 * row_step
        rows -= 4
    for _ in range(rows):
        for x in range(columns):
            one = magnitude(row[x])
            line[x] = one if one > line[x] else line[x]
        row += row_step


cdef void measure_row(Cells *cells, real *line, bint whole) noexcept nogil:
    """Measure a row of cells by the largest magnitudes of their columns; only a whole cell can be the darkest."""
    cdef Py_ssize_t columns = cells.columns, width = cells.cell_columns, first = 0, x
    cdef real largest
    if columns == width == FOLD:  # not one after the other: each maximum would wait for the one before
        max_magnitudes(line, line + FOLDED, FOLD // FOLDED - 1, FOLDED, FOLDED)
        columns = width = FOLDED
    while first < columns:
        largest = 0
        for x in range(first, min(first + width, columns)):
            largest = line[x] if line[x] > largest else largest
        cells.total += largest
        cells.count += 1
        if whole and first + width <= columns:
            if largest == 0:
                cells.has_zeros = True
            elif largest < cells.least:
                cells.least = largest
        first += width
