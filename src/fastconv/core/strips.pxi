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
    cdef Py_ssize_t n, i, phase, z
    cdef Py_ssize_t first = unit.strip.first_row * job.strip.down
    cdef Py_ssize_t rows = (unit.strip.rows - 1) * job.strip.down + 1 + axis.reach
    cdef PaddedRow shape
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
