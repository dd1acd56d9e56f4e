# What transforms make worse than direct sums, part of _core.pyx: which outputs see nothing but zeros, whose sum is
# exactly 0 but for rounding errors of their neighbours, and how much darker than others parts of an image are.
# Winograd's units (winograd.pxi) search and clear their own outputs; _fft.py asks for every block that it transforms.
#
# A pixel is blank if it is zero in every channel of a group; so is the padding with zeros. A window is blank if all its
# taps see blank pixels: `taps` of them side by side in each of `taps` rows. One of these is a multiple of the taps, so
# most images need no more than a look at every taps-th row, and at few of its channels.


cdef enum:
    SEGMENT = 128  # pixels whose channels are read until none of them is blank
    WORD = 8       # bytes
    FOLD = 64      # pixels to which cells of a row without neighbours are folded, and then to
    FOLDED = 8


cdef struct Plane:
    # Some outputs of one plane of a group's channels, and what they see.
    const void *pixels         # of the first channel; NULL for a plane of the padding
    const Py_ssize_t *step     # from one channel, depth and row to the next
    const Py_ssize_t *size     # of an image
    const Axis *axis
    int mode
    Py_ssize_t channels
    Py_ssize_t phase           # of the rows by the dilation: row o of these is row o * dilation + phase of the map
    Range rows, columns
    int *down                  # room for a number for every output of a row,
    unsigned char *blank       # and for every column that it sees, and WORD more


cdef Py_ssize_t seen_columns(const Plane *plane) noexcept nogil:
    """Return how many columns the outputs see from the first to the last."""
    cdef const Axis *axis = &plane.axis[2]
    return (plane.columns.last - plane.columns.first - 1) * axis.stride + axis.span


cdef const real *seen_row(const Plane *plane, Py_ssize_t line, real _) noexcept nogil:
    """Return the row of the image that a tap sees: tap i of output row o sees line o * stride + i; NULL for zeros."""
    cdef const Axis *axis = &plane.axis[1]
    cdef Py_ssize_t y = image_index(line * axis.dilation + plane.phase * axis.stride - axis.pad, plane.size[1],
                                    plane.mode)
    return NULL if y < 0 or plane.pixels == NULL else <const real *>plane.pixels + y * plane.step[2]


cdef bint find_blank_pixels(unsigned char *blank, const real *pixels, Py_ssize_t count,
                            const Plane *plane) noexcept nogil:
    """Note which of some neighbouring pixels are zero in every channel; tell whether any is."""
    cdef Py_ssize_t c, i
    cdef int some = False
    for i in range(count):
        some |= pixels[i] == 0
    if not some:
        memset(blank, 0, count)
        return False
    for i in range(count):
        blank[i] = pixels[i] == 0
    for c in range(1, plane.channels):
        pixels += plane.step[0]
        some = False
        for i in range(count):
            blank[i] &= pixels[i] == 0
            some |= blank[i]
        if not some:
            break
    return some


cdef bint see_blanks(const Plane *plane, const real *row) noexcept nogil:
    """Note which outputs see only blank pixels in a row; tell whether any does."""
    cdef const Axis *axis = &plane.axis[2]
    cdef Py_ssize_t start = plane.columns.first * axis.stride - axis.pad, columns = seen_columns(plane), column, x
    cdef Py_ssize_t first = min(max(0, -start), columns), last = max(first, min(columns, plane.size[2] - start))
    cdef Py_ssize_t taps = 1
    cdef unsigned char *blank = plane.blank
    cdef int64_t one, other
    cdef int some = False
    if row == NULL:
        memset(blank, True, columns)
        return True
    column = first
    while column < last:
        some |= find_blank_pixels(blank + column, row + start + column, min(SEGMENT, last - column), plane)
        column += SEGMENT
    if not some and columns - (last - first) < (axis.span if axis.dilation == 1 else axis.taps):
        return False  # no window lies in the padding, beside the image or astride of it
    for column in range(columns):
        if not first <= column < last:
            x = image_index(start + column, plane.size[2], plane.mode)
            blank[column] = True
            if x >= 0:
                find_blank_pixels(blank + column, row + x, 1, plane)
    while taps < axis.taps:  # runs of so many blank pixels, and those that begin within them, make longer ones
        x = min(taps, axis.taps - taps) * axis.dilation
        taps += min(taps, axis.taps - taps)
        column = 0
        while column < columns - (taps - 1) * axis.dilation:
            memcpy(&one, blank + column, WORD)
            memcpy(&other, blank + column + x, WORD)
            one &= other
            memcpy(blank + column, &one, WORD)
            column += WORD
    columns = plane.columns.last - plane.columns.first
    if axis.stride > 1:
        for column in range(columns):
            blank[column] = blank[column * axis.stride]
    return memchr(blank, True, columns) != NULL


cdef bint find_blanks(unsigned char *mask, Py_ssize_t mask_step, const Plane *plane, real _) noexcept nogil:
    """Note in mask (rows, columns) which outputs see only blank pixels; undefined if none does, as is returned."""
    cdef const Axis *axis = &plane.axis[1]
    cdef Py_ssize_t columns = plane.columns.last - plane.columns.first, line = plane.rows.first * axis.stride
    cdef Py_ssize_t last = (plane.rows.last - 1) * axis.stride + axis.taps - 1, seen, row, o
    cdef unsigned char *blank
    cdef bint fresh = False
    cdef int found = False
    while line + axis.taps - 1 <= last:
        seen = axis.taps
        while seen and see_blanks(plane, seen_row(plane, line + seen - 1, <real>0)):
            seen -= 1
        if seen:  # no window that has this line is blank
            line += seen
            continue
        if not fresh:
            for row in range(plane.rows.last - plane.rows.first):
                memset(mask + row * mask_step, 0, columns)
            fresh = True
        memset(plane.down, 0, columns * sizeof(int))
        while line <= last and see_blanks(plane, seen_row(plane, line, <real>0)):
            for o in range(columns):  # lines one below the other
                plane.down[o] = (plane.down[o] + 1) & -<int>plane.blank[o]
            row = line - axis.taps + 1
            if row >= plane.rows.first * axis.stride and row % axis.stride == 0:
                blank = mask + (row // axis.stride - plane.rows.first) * mask_step
                for o in range(columns):
                    blank[o] = plane.down[o] >= axis.taps
                    found |= blank[o]
            line += 1
        line += 1
    return found


def blank_windows(const real[:, :, :, :, :] image, pads, kernel, stride, dilation, outputs):
    """Return which outputs (groups, D', H', W') of an image (groups, C / groups, D, H, W) see only zeros, or None.

    There are so many zeros before each axis, and as many as need be behind it. Columns lie side by side.
    """
    cdef Axis[3] axes
    cdef Py_ssize_t[3] step
    cdef Py_ssize_t axis, group, z, phase, phases, rows = outputs[1], columns = outputs[2]
    cdef Plane plane
    for axis in range(3):
        axes[axis] = make_axis(kernel[axis], stride[axis], dilation[axis])
        axes[axis].pad = pads[axis]
        step[axis] = image.strides[axis + 1] // <Py_ssize_t>sizeof(real)
    plane.step, plane.size, plane.axis, plane.mode = step, &image.shape[2], axes, ZEROS
    plane.channels, plane.columns = image.shape[1], Range(0, columns)
    phases = min(rows, axes[1].dilation)
    depth = (outputs[0] - 1) * axes[0].stride + axes[0].span
    masks = empty((image.shape[0], depth, rows, columns), np.dtype(np.uint8))
    found = np.zeros((*masks.shape[:2], phases), np.uint8)
    cdef unsigned char[:, :, :, ::1] mask = masks
    cdef unsigned char[:, :, ::1] finds = found
    cdef int[::1] room = empty((columns + ceil_div(seen_columns(&plane) + WORD, sizeof(int)),), np.dtype(np.intc))
    plane.down, plane.blank = &room[0], <unsigned char *>&room[columns]
    with nogil:
        for group in range(mask.shape[0]):
            for z in range(mask.shape[1]):
                plane.pixels = NULL
                if 0 <= z - axes[0].pad < image.shape[2]:
                    plane.pixels = &image[group, 0, z - axes[0].pad, 0, 0]
                for phase in range(phases):
                    plane.phase, plane.rows = phase, Range(0, ceil_div(rows - phase, axes[1].dilation))
                    finds[group, z, phase] = find_blanks(
                        &mask[group, z, phase, 0], axes[1].dilation * columns, &plane, <real>0)
    if not found.any():
        return None
    for group, z, phase in np.argwhere(found == 0):
        masks[group, z, phase :: axes[1].dilation] = False
    last = (outputs[0] - 1) * axes[0].stride + 1
    return np.logical_and.reduce([masks[:, axes[0].dilation * tap :][:, : last : axes[0].stride]
                                  for tap in range(axes[0].taps)])


cdef struct Cells:
    # The cells of an image, and what was found of them.
    Py_ssize_t depth, rows, columns, step  # of the image, and from a row to the next
    Py_ssize_t deep, high, wide            # of a cell
    Py_ssize_t rest                        # pixels behind the rows that a single one is folded to
    Py_ssize_t count
    double total, least                    # of the largest magnitude in each; the least one that is not 0
    bint dark                              # some are 0


def dynamic_range(const real[:, :, :, :, :] image, cell):
    """Return how much brighter cells (depth, rows, columns) of images (groups, C / groups, D, H, W) are than the least.

    That is the mean of the largest magnitudes in each, relative to the least one that is not 0, in the group where this
    is greatest; whether some cells hold nothing but zeros; and whether some do in a group that has others, too.
    Columns lie side by side.
    """
    cdef Cells cells
    cdef Py_ssize_t group
    cdef double greatest = 0
    cdef bint has_blank = False, has_dark = False
    cells.depth, cells.rows, cells.columns = image.shape[2], image.shape[3], image.shape[4]
    cells.step, cells.rest = image.strides[3] // <Py_ssize_t>sizeof(real), 0
    cells.deep, cells.high = min(<Py_ssize_t>cell[0], cells.depth), min(<Py_ssize_t>cell[1], cells.rows)
    cells.wide = min(<Py_ssize_t>cell[2], cells.columns)
    if cells.depth * cells.rows == 1 and cells.wide >= FOLD:
        cells.rows, cells.high, cells.rest = cells.columns // FOLD, cells.wide // FOLD, cells.columns % FOLD
        cells.columns = cells.wide = cells.step = FOLD
    cdef real[::1] line = empty((cells.columns,), np.dtype(np.float32 if real is float else np.float64))
    with nogil:
        for group in range(image.shape[0]):
            survey(&cells, &image[group, 0, 0, 0, 0], image.shape[1], image.strides[1] // <Py_ssize_t>sizeof(real),
                   image.strides[2] // <Py_ssize_t>sizeof(real), &line[0])
            greatest = max(greatest, cells.total / (cells.count * cells.least))
            has_blank |= cells.dark
            has_dark |= cells.dark and cells.total > 0
    return greatest, has_blank, has_dark


cdef void survey(Cells *cells, const real *image, Py_ssize_t channels, Py_ssize_t channel_step, Py_ssize_t plane_step,
                 real *line) noexcept nogil:
    """Look at all cells of a group of channels."""
    cdef Py_ssize_t c, z
    cdef const real *pixels
    cdef Range depths, rows
    cells.count, cells.total, cells.least, cells.dark = 0, 0, INFINITY, False
    depths = Range(0, 0)
    while depths.last < cells.depth:
        depths = Range(depths.last, min(depths.last + cells.deep, cells.depth))
        rows = Range(0, 0)
        while rows.last < cells.rows:
            rows = Range(rows.last, min(rows.last + cells.high, cells.rows))
            memset(line, 0, cells.columns * sizeof(real))
            for c in range(channels):
                for z in range(depths.first, depths.last):
                    pixels = image + c * channel_step + z * plane_step
                    fold(line, pixels + rows.first * cells.step, rows.last - rows.first, cells.columns, cells.step)
                    if rows.last == cells.rows:
                        fold(line, pixels + rows.last * cells.step, 1, cells.rest, 0)
            survey_row(cells, line, rows.last - rows.first == cells.high and depths.last - depths.first == cells.deep)


cdef inline real magnitude(real x) noexcept nogil:
    return fabsf(x) if real is float else fabs(x)


cdef void fold(real *line, const real *row, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t step) noexcept nogil:
    """Keep the largest magnitudes of some rows in a line."""
    cdef Py_ssize_t x
    cdef real one, other
    while rows >= 4:
        for x in range(columns):
            one, other = magnitude(row[x]), magnitude(row[step + x])
            one = one if one > other else other
            other = magnitude(row[2 * step + x])
            one = one if one > other else other
            other = magnitude(row[3 * step + x])
            one = one if one > other else other
            line[x] = one if one > line[x] else line[x]
        row += 4 * step
        rows -= 4
    for _ in range(rows):
        for x in range(columns):
            one = magnitude(row[x])
            line[x] = one if one > line[x] else line[x]
        row += step


cdef void survey_row(Cells *cells, real *line, bint whole) noexcept nogil:
    """Look at a row of cells, whose rows were folded to a line; parts of cells at the borders may well be dark."""
    cdef Py_ssize_t columns = cells.columns, wide = cells.wide, first = 0, x
    cdef real largest
    if columns == wide == FOLD:  # not one after the other: each maximum would wait for the one before
        fold(line, line + FOLDED, FOLD // FOLDED - 1, FOLDED, FOLDED)
        columns = wide = FOLDED
    while first < columns:
        largest = 0
        for x in range(first, min(first + wide, columns)):
            largest = line[x] if line[x] > largest else largest
        cells.total += largest
        cells.count += 1
        if whole and first + wide <= columns:
            if largest == 0:
                cells.dark = True
            elif largest < cells.least:
                cells.least = largest
        first += wide
