# Outputs that read only zeros: their sum is exactly 0, but transforms leave rounding errors of their neighbours there.
# Units of Winograd's algorithm and of the FFT find and clear their own. Part of _core.pyx.
#
# A pixel is blank if it is zero in every channel of a group; so is the padding with zeros. A window is blank if all its
# taps read blank pixels: `taps` of them side by side in each of `taps` lines. Every window has a line whose number is a
# multiple of the taps, so most images need no more than a look at every taps-th line, at few of its channels.
#
# Uses: geometry.pxd, buffers.pxd, memory.pxi.


cdef enum:
    SEGMENT = 128  # neighbouring pixels whose channels are read until none of them is blank
    WORD = 8       # bytes, of flags that are combined at a time


cdef struct OutputPlane:
    # Some outputs of one plane, and what they read of a group's channels; steps count numbers.
    const void *pixels         # of the first channel; NULL for a plane of the padding
    const Py_ssize_t *step     # from one channel, depth and row to the next
    const Py_ssize_t *size     # of an image
    const Axis *axis
    int padding_mode
    Py_ssize_t channels
    Py_ssize_t phase           # of the rows by the dilation: row o of these is row o * dilation + phase of the map
    Range rows, columns
    int *run                   # room: the blank lines up to this one, for every output of a row (columns,)
    unsigned char *blank       # room: flags of every column that is read, and WORD more


cdef Py_ssize_t columns_seen(const OutputPlane *plane) noexcept nogil:
    """Return how many columns lie from the first one that the outputs read to the last."""
    cdef const Axis *axis = &plane.axis[2]
    return (plane.columns.last - plane.columns.first - 1) * axis.stride + axis.span


cdef const real *input_line(const OutputPlane *plane, Py_ssize_t line, real _) noexcept nogil:
    """Return the row of the image that is this line, NULL for zeros: tap i of row o reads line o * stride + i."""
    cdef const Axis *axis = &plane.axis[1]
    cdef Py_ssize_t y = image_index(line * axis.dilation + plane.phase * axis.stride - axis.pad, plane.size[1],
                                    plane.padding_mode)
    return NULL if y < 0 or plane.pixels == NULL else <const real *>plane.pixels + y * plane.step[2]


cdef bint flag_blank_pixels(unsigned char *blank, const real *pixels, Py_ssize_t count,
                            const OutputPlane *plane) noexcept nogil:
    """Flag those of some neighbouring pixels that are zero in every channel; return whether any is."""
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


cdef bint flag_blank_columns(const OutputPlane *plane, const real *line) noexcept nogil:
    """Flag the outputs of a row that read only blank pixels in a line; return whether any does."""
    cdef const Axis *axis = &plane.axis[2]
    cdef Py_ssize_t start = plane.columns.first * axis.stride - axis.pad, columns = columns_seen(plane), column, x
    cdef Py_ssize_t first = min(max(0, -start), columns), last = max(first, min(columns, plane.size[2] - start))
    cdef Py_ssize_t taps = 1
    cdef unsigned char *blank = plane.blank
    cdef int64_t one, other
    cdef int some = False
    if line == NULL:
        memset(blank, True, columns)
        return True
    column = first
    while column < last:
        some |= flag_blank_pixels(blank + column, line + start + column, min(SEGMENT, last - column), plane)
        column += SEGMENT
    if not some and columns - (last - first) < (axis.span if axis.dilation == 1 else axis.taps):
        return False  # the padding is too narrow for a window
    for column in range(columns):
        if not first <= column < last:
            x = image_index(start + column, plane.size[2], plane.padding_mode)
            blank[column] = True
            if x >= 0:
                flag_blank_pixels(blank + column, line + x, 1, plane)
    while taps < axis.taps:  # flags of runs of `taps` blank pixels become those of longer runs, up to twice as long
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


cdef bint find_blanks(unsigned char *mask, Py_ssize_t mask_step, const OutputPlane *plane, real _) noexcept nogil:
    """Flag in mask (rows, columns) the outputs that read only blank pixels; if none does, return False and no mask."""
    cdef const Axis *axis = &plane.axis[1]
    cdef Py_ssize_t columns = plane.columns.last - plane.columns.first, line = plane.rows.first * axis.stride
    cdef Py_ssize_t last = (plane.rows.last - 1) * axis.stride + axis.taps - 1, lines, row, o
    cdef unsigned char *blank
    cdef bint cleared = False
    cdef int found = False
    while line + axis.taps - 1 <= last:
        lines = axis.taps
        while lines and flag_blank_columns(plane, input_line(plane, line + lines - 1, <real>0)):
            lines -= 1
        if lines:  # no window that contains this line is blank
            line += lines
            continue
        if not cleared:
            for row in range(plane.rows.last - plane.rows.first):
                memset(mask + row * mask_step, 0, columns)
            cleared = True
        memset(plane.run, 0, columns * sizeof(int))
        while line <= last and flag_blank_columns(plane, input_line(plane, line, <real>0)):
            for o in range(columns):
                plane.run[o] = (plane.run[o] + 1) & -<int>plane.blank[o]
            row = line - axis.taps + 1
            if row >= plane.rows.first * axis.stride and row % axis.stride == 0:
                blank = mask + (row // axis.stride - plane.rows.first) * mask_step
                for o in range(columns):
                    blank[o] = plane.run[o] >= axis.taps
                    found |= blank[o]
            line += 1
        line += 1
    return found


def blank_windows(image, pads, kernel, stride, dilation, outputs):
    """Return which outputs (groups, D', H', W') of an image (groups, C / groups, D, H, W) read only zeros, or None.

    There are so many zeros before each axis, and as many as need be behind it. Columns lie side by side.
    """
    cdef View view = view_of(image, 5, False), masks, finds
    cdef Axis[3] axes
    cdef Py_ssize_t axis, depth, phases, rows = outputs[1], columns = outputs[2]
    cdef OutputPlane plane
    for axis in range(3):
        axes[axis] = make_axis(kernel[axis], stride[axis], dilation[axis])
        axes[axis].pad = pads[axis]
    plane.step, plane.size, plane.axis, plane.padding_mode = &view.step[1], &view.shape[2], axes, ZEROS
    plane.channels, plane.columns = view.shape[1], Range(0, columns)
    phases = min(rows, axes[1].dilation)
    depth = (<Py_ssize_t>outputs[0] - 1) * axes[0].stride + axes[0].span
    mask = empty((view.shape[0], depth, rows, columns), np.dtype(np.uint8))
    found = np.zeros((view.shape[0], depth, phases), np.uint8)
    room = empty((columns + ceil_div(columns_seen(&plane) + WORD, sizeof(int)),), np.dtype(np.intc))
    plane.run = <int *>view_of(room, 1, False).start
    plane.blank = <unsigned char *>(plane.run + columns)
    masks, finds = view_of(mask, 4, False), view_of(found, 3, False)
    with nogil:
        if view.itemsize == sizeof(float):
            find_blank_planes(&masks, &finds, &view, &plane, <float>0)
        else:
            find_blank_planes(&masks, &finds, &view, &plane, <double>0)
    if not found.any():
        return None
    for group, z, phase in np.argwhere(found == 0):
        mask[group, z, phase :: axes[1].dilation] = False
    last = (<Py_ssize_t>outputs[0] - 1) * axes[0].stride + 1
    return np.logical_and.reduce([mask[:, axes[0].dilation * tap :][:, : last : axes[0].stride]
                                  for tap in range(axes[0].taps)])


cdef void find_blank_planes(const View *masks, const View *finds, const View *image, OutputPlane *plane,
                            real _) noexcept nogil:
    """Flag blank windows in masks (groups, depths, rows, columns); finds (groups, depths, phases) tells if any is."""
    cdef Py_ssize_t group, z, phase, dilation = plane.axis[1].dilation, columns = masks.shape[3]
    cdef unsigned char *mask
    for group in range(masks.shape[0]):
        for z in range(masks.shape[1]):
            plane.pixels = NULL
            if 0 <= z - plane.axis[0].pad < image.shape[2]:
                plane.pixels = (<const real *>image.start + group * image.step[0]
                                + (z - plane.axis[0].pad) * image.step[2])
            mask = <unsigned char *>masks.start + group * masks.step[0] + z * masks.step[1]
            for phase in range(finds.shape[2]):
                plane.phase, plane.rows = phase, Range(0, ceil_div(masks.shape[2] - phase, dilation))
                (<unsigned char *>finds.start)[group * finds.step[0] + z * finds.step[1] + phase] = find_blanks(
                    mask + phase * columns, dilation * columns, plane, <real>0)
