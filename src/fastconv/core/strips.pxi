# The first steps of a convolution by register tiles, image -> padded strip -> im2col panel; tile_job.pxi shows them
# all, tiles.pxi loops over them. Part of _core.pyx.
#
# Uses: job.pxi, rows.pxi, tile_job.pxi.


cdef void fill_strip(real *strip, const TileJob *job, const TileUnit *unit) noexcept nogil:
    """Copy what a unit reads into a strip (images, C * kd, row phases, rows, column phases, pitch)."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Window *window = &job.window
    cdef const Axis *axis = &window.axis[1]
    cdef const real *image = (<const real *>arrays.images
                              + image_at(arrays, unit.strip.n, unit.group * window.channels))
    cdef const real *channel
    cdef const real *plane
    cdef real *start = strip
    cdef Py_ssize_t n, i, phase, z
    cdef Py_ssize_t first = unit.strip.first_row * job.strip.down
    cdef Py_ssize_t rows = (unit.strip.rows - 1) * job.strip.down + 1 + axis.reach
    cdef PaddedRow shape
    if arrays.pixel_step != 1:
        split_strip(strip, job, unit, image, Range(first, first + rows))
        return
    shape.ukernels, shape.axis, shape.padding_mode = job.ukernels, window.axis[2], window.padding_mode
    shape.pitch, shape.columns = job.strip.pitch, arrays.image_size[2]
    shape.source_step = axis.stride * arrays.image_step[3]
    for n in range(unit.images * window.channels):
        channel = image + n // window.channels * arrays.image_step[0] + n % window.channels * arrays.image_step[1]
        for i in range(window.axis[0].taps):
            z = depth_at(window, arrays, unit.strip.depth, i)
            plane = NULL if z < 0 else channel + z * arrays.image_step[2]
            for phase in range(axis.phases):
                fill_plane(strip, plane, &shape, axis, phase, first, rows, arrays)
                strip += job.strip.plane_step
    if job.flip:
        flip_bits(<uint32_t *>start, strip - start, job.flip)


cdef void flip_bits(uint32_t *numbers, Py_ssize_t count, unsigned bits) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        numbers[i] ^= bits


cdef void split_strip(real *strip, const TileJob *job, const TileUnit *unit, const real *image,
                      Range rows) noexcept nogil:
    """Fill a strip from images whose channels come last, and whose columns have no stride: split them row by row."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Window *window = &job.window
    cdef const Axis *axis = &window.axis[1]
    cdef Py_ssize_t n, i, phase, index, z, y, planes = window.axis[0].taps * axis.phases
    cdef const real *row
    for n in range(unit.images):
        for i in range(window.axis[0].taps):
            z = depth_at(window, arrays, unit.strip.depth, i)
            for phase in range(axis.phases):
                for index in range(rows.first, rows.last):
                    y = image_index(phase_position(axis, phase, index), arrays.image_size[1], window.padding_mode)
                    row = image + n * arrays.image_step[0] + z * arrays.image_step[2] + y * arrays.image_step[3]
                    split_row(strip + (index - rows.first) * job.strip.pitch, planes * job.strip.plane_step,
                              NULL if z < 0 or y < 0 else row, job)
                strip += job.strip.plane_step
        strip += (window.channels - 1) * planes * job.strip.plane_step


cdef void split_row(real *to, Py_ssize_t channel_step, const real *row, const TileJob *job) noexcept nogil:
    """Split a padded row of pixels into rows of its channels; they are zeros if it is NULL."""
    cdef const Axis *axis = &job.window.axis[2]
    cdef Py_ssize_t c, index = 0, x, pitch = job.strip.pitch, columns = job.arrays.image_size[2]
    cdef Py_ssize_t channels = job.window.channels, step = job.arrays.pixel_step
    cdef Range inside = phase_inside(axis, 0, 0, pitch, columns)
    if row == NULL:
        for c in range(channels):
            memset(to + c * channel_step, 0, pitch * sizeof(real))
        return
    job.ukernels.transpose(to + inside.first, channel_step, row + (inside.first - axis.pad) * step, step,
                           inside.last - inside.first, channels)
    while index < pitch:
        if inside.first <= index < inside.last:
            index = inside.last
            continue
        x = image_index(index - axis.pad, columns, job.window.padding_mode)
        for c in range(channels):
            to[c * channel_step + index] = row[x * step + c] if x >= 0 else 0
        index += 1


cdef inline Py_ssize_t panel_step(const TileJob *job) noexcept nogil:
    """Return the numbers from one panel to the next."""
    return job.chunk * job.width + SLACK


cdef void fill_panel(real *panel, const TileJob *job, const TileUnit *unit, Range pixels, Range taps) noexcept nogil:
    """Copy what some taps read from the pixels of a register tile into a panel (taps, width): im2col."""
    cdef Py_ssize_t[TILE_MAX_VECTORS * 16] start, input, length  # of runs of pixels in one row: one pixel at least
    cdef Py_ssize_t pixel = pixels.first, columns = job.arrays.map_size[2], run = 0
    cdef fc_im2col request
    pixels.last = min(pixels.last, unit.strip.pixels)
    while pixel < pixels.last:
        start[run] = pixel - pixels.first
        input[run] = pixel // columns * job.strip.row_step + pixel % columns
        length[run] = min(columns - pixel % columns, pixels.last - pixel)
        pixel += length[run]
        run += 1
    request.panel, request.width, request.image = panel, job.width, unit.input
    request.offset, request.taps = job.offset + taps.first, taps.last - taps.first
    request.runs, request.start, request.seen, request.length = run, start, input, length
    job.ukernels.im2col(&request)
