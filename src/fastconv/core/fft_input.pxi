# Convolution by Fourier transforms: from an image or a kernel to spectra. Part of _core.pyx.
#
# A transform's rounding errors are proportional to the largest numbers of a pair of blocks, and spread over all of it.
# So the blocks are cut into cells, and where some of them are much darker than others, a pair is transformed in double
# precision, or not at all. A cell of a group of channels is as bright as its largest magnitude.
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, border.pxi, blank.pxi, fft_job.pxi.


cdef void transform_blocks(real *to, fc_fft_load *load, real *points, const FftJob *job) noexcept nogil:
    """Transform two blocks to (rows / lanes, columns, lanes)."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, point = 2 * lanes, rows = job.y.length, columns = job.x.length
    cdef Py_ssize_t at, row, n
    cdef const real *fold = <const real *>job.fold
    cdef const void *one = points
    load.length = rows
    load.rows = max(load.block[0].rows, load.block[1].rows)
    for n in range(columns // lanes):
        at = n * lanes
        if at < load.block[0].columns or at < load.block[1].columns:
            job.ukernels.fft_load(load, points, at)
            job.ukernels.fft_forward(&job.y, points)
            if job.is_line:
                job.ukernels.fft_multiply(points, &one, <const void **>&fold, 1, 0, rows, False)
                fold += rows * point
            job.ukernels.fft_turn(to + at * point, columns, points, lanes, rows // lanes)
        else:
            for row in range(rows // lanes):
                memset(to + (row * columns + at) * point, 0, lanes * point * sizeof(real))
    for row in range(rows // lanes):
        job.ukernels.fft_forward(&job.x, to + row * columns * point)


cdef void kernel_spectrum_unit(real *workspace, const FftJob *job, Py_ssize_t index) noexcept nogil:
    """Transform a kernel (kh, kw); as an imaginary part, so that parts of the spectrum's conjugates change places."""
    cdef const Axis *y = &job.window.axis[1]
    cdef const Axis *x = &job.window.axis[2]
    cdef real *strip = workspace + job.at.sums
    cdef const real *weight = <const real *>job.arrays.weight + index * y.taps * x.taps
    cdef Py_ssize_t i, j, numbers = y.span * x.span, columns = x.span
    cdef fc_fft_block[2] blocks
    cdef fc_fft_load load
    memset(strip, 0, numbers * sizeof(real))
    for i in range(y.taps):
        for j in range(x.taps):
            strip[i * y.dilation * columns + j * x.dilation] = weight[i * x.taps + j]
    load.block[0].rows = load.block[0].columns = load.block[0].last_columns = 0
    load.block[0].source, load.block[0].row_step = strip, 0
    load.block[0].bright = load.block[1].bright = NULL
    load.band_rows, load.bright_step = job.y.length, 0
    describe_strip(&load.block[1], job, strip, y.span, columns, columns)
    transform_blocks(<real *>job.spectra + index * spectrum_numbers(job), &load, workspace + job.at.points, job)


cdef void describe_strip(fc_fft_block *block, const FftJob *job, const real *strip, Py_ssize_t rows, Py_ssize_t columns,
                         Py_ssize_t row_step) noexcept nogil:
    """Describe rows of numbers; a line is folded."""
    if job.is_line:
        rows, row_step = ceil_div(columns, job.x.length), job.x.length
        block.last_columns = columns - (rows - 1) * row_step
        columns = row_step
    else:
        block.last_columns = columns
    block.source, block.row_step, block.rows, block.columns = strip, row_step, rows, columns


cdef void load_block(fc_fft_block *to, real *strip, char *row_of_floats, const FftJob *job, const FftUnit *unit,
                     const FftBlock *block, Py_ssize_t channel, Py_ssize_t depth) noexcept nogil:
    """Find what a block reads of a channel, in the image or as a copy."""
    cdef const Arrays *arrays = &job.arrays
    cdef int mode = job.window.padding_mode
    cdef Py_ssize_t row, y, itemsize = sizeof(float) if job.narrows else sizeof(real)
    cdef Py_ssize_t plane = (image_at(arrays, unit.n, unit.group * job.window.channels + channel)
                             + depth * arrays.image_step[2])
    cdef real zero = 0
    cdef char *target
    cdef const char *pixels
    if is_empty(block):
        to.source, to.rows, to.columns, to.last_columns, to.row_step = strip, 0, 0, 0, 0
        return
    if block.inside and not job.narrows:
        plane += block.first_row * arrays.image_step[3] + block.first_column
        describe_strip(to, job, <const real *>arrays.images + plane, block.input_rows, block.input_columns,
                       arrays.image_step[3])
        return
    for row in range(block.input_rows):
        y = image_index(block.first_row + row, arrays.image_size[1], mode)
        target = <char *>(strip + row * block.input_columns)
        if y < 0:
            memset(target, 0, block.input_columns * sizeof(real))
            continue
        pixels = <const char *>arrays.images + (plane + y * arrays.image_step[3]) * itemsize
        fill_section_row(row_of_floats if job.narrows else target, pixels, <const char *>&zero, block.input_columns,
                         arrays.image_size[2], block.first_column, mode, itemsize, 1)
        if job.narrows:
            job.ukernels.widen(target, row_of_floats, block.input_columns, FC_FLOAT32)
    describe_strip(to, job, strip, block.input_rows, block.input_columns, block.input_columns)


cdef void transform_pair(real *workspace, const FftJob *job, const FftUnit *unit, Py_ssize_t pair,
                         const FftBlock *blocks) noexcept nogil:
    """Transform all depths and channels that a pair reads, and note how bright its blocks are."""
    cdef Py_ssize_t slot, c, depth, part
    cdef real *strip
    cdef real *bright
    cdef fc_fft_load load
    load.band_rows, load.bright_step = job.cell[1], job.x.length
    memset(workspace + job.at.bright, 0, 2 * bright_numbers(job) * sizeof(real))
    for slot in range(job.slots):
        if not is_slot_read(job, unit, slot):
            continue
        depth = slot_depth(job, unit, slot)
        for c in range(job.window.channels):
            for part in range(2):
                strip = workspace + job.at.sums + part * job.points
                bright = workspace + job.at.bright + part * bright_numbers(job)
                load_block(&load.block[part], strip, <char *>(workspace + job.at.plane), job, unit, &blocks[part], c,
                           depth)
                load.block[part].bright = bright + slot // job.cell[0] * count_bands(job) * job.x.length
            transform_blocks(workspace + slot_place(job, pair - unit.pairs.first, slot) + c * spectrum_numbers(job),
                             &load, workspace + job.at.points, job)


cdef struct Brightness:
    Py_ssize_t cells
    double total, least        # of all cells; of the darkest one that is not 0
    bint has_zeros             # some cells are 0


cdef Range padded_inside(const FftJob *job, Py_ssize_t first, Py_ssize_t count, int axis) noexcept nogil:
    """Return which of some positions of a padded axis hold pixels, counted from the first one."""
    cdef Py_ssize_t start
    if job.window.padding_mode != ZEROS:
        return Range(0, count)
    start = min(max(0, -first), count)
    return Range(start, max(start, min(count, job.arrays.image_size[axis] - first)))


cdef void measure_block(Brightness *found, const real *bright, const FftJob *job, const FftUnit *unit,
                        const FftBlock *block) noexcept nogil:
    """Measure the cells of a block that hold pixels; only one that lies in the image as a whole can be the darkest."""
    cdef Range rows = padded_inside(job, block.first_row, block.input_rows, 1)
    cdef Range columns = padded_inside(job, block.first_column, block.input_columns, 2)
    cdef Py_ssize_t length = job.x.length, deep, band, slot, line, wide = ceil_div(length, job.cell[2]), x, n
    cdef Range down, across
    cdef bint whole, is_deep
    cdef real largest
    if is_empty(block):
        return
    for deep in range(ceil_div(job.slots, job.cell[0])):
        is_deep = (deep + 1) * job.cell[0] <= job.slots
        for slot in range(deep * job.cell[0], min((deep + 1) * job.cell[0], job.slots)):
            is_deep &= is_slot_read(job, unit, slot)
        for band in range(count_bands(job)):
            down = Range(band * job.cell[1], (band + 1) * job.cell[1])
            for n in range(wide):
                across = Range(n * job.cell[2], min((n + 1) * job.cell[2], length))
                whole = is_deep and across.last - across.first == job.cell[2]
                if job.is_line:  # from the first number of the first row to the last one of the last
                    line = across.first
                    across = Range(down.first * length + across.first, (down.last - 1) * length + across.last)
                    if across.first >= columns.last or across.last <= columns.first:
                        continue
                else:
                    line = across.first
                    if (down.first >= rows.last or down.last <= rows.first or across.first >= columns.last
                            or across.last <= columns.first):
                        continue
                    whole &= down.first >= rows.first and down.last <= rows.last
                whole &= across.first >= columns.first and across.last <= columns.last
                largest = bright[line]
                for x in range(line + 1, min(line + job.cell[2], length)):
                    largest = max(largest, bright[x])
                found.total += largest
                found.cells += 1
                if whole and largest == 0:
                    found.has_zeros = True
                elif whole and largest < found.least:
                    found.least = largest
            bright += length


cdef Brightness measure_pair(const real *workspace, const FftJob *job, const FftUnit *unit,
                             const FftBlock *blocks) noexcept nogil:
    cdef Brightness found
    cdef Py_ssize_t part
    found.cells, found.total, found.least, found.has_zeros = 0, 0, INFINITY, False
    for part in range(2):
        measure_block(&found, workspace + job.at.bright + part * bright_numbers(job), job, unit, &blocks[part])
    return found


cdef Fate fate_of(const Brightness *found, const FftJob *job) noexcept nogil:
    cdef double relative = found.total / found.least / max(1, found.cells)
    if relative > job.max_range[1]:
        return DIRECTLY
    if relative > job.max_range[0] or (found.has_zeros and found.total > 0 and job.max_range[0] < job.max_range[1]):
        return IN_DOUBLE
    return TRANSFORMED


cdef bint find_blank_outputs(unsigned char *masks, real *workspace, const FftJob *job, const FftUnit *unit,
                             const FftBlock *block) noexcept nogil:
    """Flag the outputs of a block that read only zeros in masks (depths, rows, columns); return whether any does."""
    cdef Py_ssize_t count = job.outputs[2], depth, o, z, numbers = mask_bytes(job)
    cdef OutputPlane plane
    cdef unsigned char *other
    cdef bint found = False
    if is_empty(block):
        return False
    plane.run = <int *>(workspace + job.at.blank)
    plane.blank = <unsigned char *>(plane.run + count)
    other = plane.blank + (count - 1) * job.window.axis[2].stride + job.window.axis[2].span + WORD
    plane.step, plane.size, plane.axis = &job.arrays.image_step[1], job.arrays.image_size, job.window.axis
    plane.padding_mode, plane.channels, plane.columns = job.window.padding_mode, job.window.channels, block.columns
    for depth in range(unit.depths.first, unit.depths.last):
        memset(masks, True, numbers)
        for tap in range(job.window.axis[0].taps):
            z = depth_at(&job.window, &job.arrays, depth, tap)
            flag_blank_outputs(other, &plane, z, job, unit, block, <real>0)
            for o in range(numbers):
                masks[o] &= other[o]
        found |= memchr(masks, True, numbers) != NULL
        masks += numbers
    return found


cdef void flag_blank_outputs(unsigned char *mask, OutputPlane *plane, Py_ssize_t z, const FftJob *job,
                             const FftUnit *unit, const FftBlock *block, real _) noexcept nogil:
    """Flag the outputs (rows, columns) of a block that read only zeros at one depth of the image."""
    cdef Py_ssize_t columns = block.columns.last - block.columns.first, dilation = job.window.axis[1].dilation
    cdef Py_ssize_t phase, first = block.rows.first
    cdef Py_ssize_t place = (image_at(&job.arrays, unit.n, unit.group * job.window.channels)
                             + z * job.arrays.image_step[2])
    cdef unsigned char *target
    memset(mask, 0, mask_bytes(job))
    plane.pixels = NULL
    if z >= 0:
        plane.pixels = <const char *>job.arrays.images + place * (sizeof(float) if job.narrows else sizeof(real))
    for phase in range(min(dilation, job.arrays.map_size[1])):
        plane.phase = phase
        plane.rows = Range(ceil_div(max(0, first - phase), dilation),
                           ceil_div(max(0, block.rows.last - phase), dilation))
        if plane.rows.first == plane.rows.last:
            continue
        target = mask + (plane.rows.first * dilation + phase - first) * columns
        find_blanks_of(target, dilation * columns, plane, job, <real>0)


cdef inline bint find_blanks_of(unsigned char *mask, Py_ssize_t step, const OutputPlane *plane, const FftJob *job,
                                real _) noexcept nogil:
    if real is double:
        if job.narrows:
            return find_blanks(mask, step, plane, <float>0)
    return find_blanks(mask, step, plane, <real>0)
