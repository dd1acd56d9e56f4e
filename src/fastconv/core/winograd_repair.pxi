# Winograd convolution: outputs that transforms get wrong. NaN and infinity spread over a tile, and where an output
# reads only zeros, rounding errors of its neighbours are left. Part of _core.pyx.
#
# Uses: geometry.pxd, job.pxi, epilogue.pxi, filters.pxi, blank.pxi, winograd_job.pxi.


cdef void recompute_nonfinite(real *map, const real *out, Py_ssize_t step, const WinogradJob *job, const Block *block,
                              MapRun run) noexcept nogil:
    """Sum outputs directly that are not finite.

    map is the run's first output, and out, `step` apart, are its outputs before bias and activation.
    """
    cdef Py_ssize_t p
    cdef real total
    for p in range(run.count):
        if not isfinite(out[p * step]):
            if job.transposed:
                total = transposed_sum(job, block, &run, run.column + p, <real>0)
            else:
                total = direct_sum(job, block, &run, run.column + p, <real>0)
            map[p] = clip(total, &job.epilogue)


cdef real direct_sum(const WinogradJob *job, const Block *block, const MapRun *run, Py_ssize_t column,
                     real _) noexcept nogil:
    """Return the sum of an output of a run, with its bias."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[0]
    cdef Py_ssize_t c, i, j, x, y, tap, filter = block.group * job.window.filters + run.filter
    cdef const real *image = input_plane(job, block, 0, <real>0)
    cdef const real *weight = <const real *>job.bank.start + filter * job.bank.filter_step
    cdef real total = (<const real *>arrays.bias)[filter]
    for c in range(job.window.channels):
        for i in range(axis[1].taps):
            y = input_index(&axis[1], run.row, i, arrays.image_size[1], job.window.padding_mode)
            for j in range(axis[2].taps):
                x = input_index(&axis[2], column, j, arrays.image_size[2], job.window.padding_mode)
                tap = c * job.bank.step[0] + i * job.bank.step[2] + j * job.bank.step[3]
                if y >= 0 and x >= 0 and block.z >= 0:
                    total += weight[tap] * image[c * arrays.image_step[1] + y * arrays.image_step[3] + x]
                else:
                    total += weight[tap] * 0
    return total


cdef real transposed_sum(const WinogradJob *job, const Block *block, const MapRun *run, Py_ssize_t column,
                         real _) noexcept nogil:
    """Return the sum of an output of a transposed convolution, with its bias; it reads nothing beside the image."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Window *window = &job.window
    cdef Py_ssize_t filter = block.group * window.filters + run.filter, row = run.row + job.y.skipped, c, i, j, tap
    cdef const Phase *y = &job.y.phase[row % job.y.phases]
    cdef const Phase *x = &job.x.phase[(column + job.x.skipped) % job.x.phases]
    cdef Py_ssize_t top = row // job.y.phases - window.axis[1].pad
    cdef Py_ssize_t left = (column + job.x.skipped) // job.x.phases - window.axis[2].pad
    cdef const real *image = input_plane(job, block, 0, <real>0)
    cdef const real *weight = <const real *>job.bank.start + filter * job.bank.filter_step
    cdef real total = (<const real *>arrays.bias)[filter]
    if block.z < 0:
        return total
    for c in range(window.channels):
        for i in range(y.taps):
            for j in range(x.taps):
                if 0 <= top + i < arrays.image_size[1] and 0 <= left + j < arrays.image_size[2]:
                    tap = ((y.first_tap + i * y.tap_step) * job.bank.step[2]
                           + (x.first_tap + j * x.tap_step) * job.bank.step[3])
                    total += weight[tap] * image[(top + i) * arrays.image_step[3] + left + j]
        weight += job.bank.step[0]
        image += arrays.image_step[1]
    return total


cdef void clear_blanks(real *workspace, const WinogradJob *job, const Block *block) noexcept nogil:
    """Set outputs that read only zeros to what the bias alone gives.

    A NaN stays: it comes from weights that are not finite.
    """
    cdef Py_ssize_t row_form, column_form
    for row_form in range(job.y.forms):
        for column_form in range(job.x.forms):
            clear_blank_windows(workspace, job, block, phase_of_form(&job.y, row_form),
                                phase_of_form(&job.x, column_form))


cdef void clear_blank_windows(real *workspace, const WinogradJob *job, const Block *block, const Phase *y,
                              const Phase *x) noexcept nogil:
    """Do this for the outputs whose phases have these forms."""
    cdef Py_ssize_t across = job.x.outputs * job.window.axis[2].dilation, row, row_phase
    cdef int *room = <int *>(workspace + job.at.blank)
    cdef unsigned char *mask = <unsigned char *>(room + job.blank_numbers) - job.blank_rows * job.blank_columns
    cdef const unsigned char *blank
    cdef Range tiles
    cdef Axis[3] axis
    cdef OutputPlane plane
    axis[1] = window_of(job, 1, y)
    axis[2] = window_of(job, 2, x)
    plane.pixels = NULL if block.z < 0 else input_plane(job, block, 0, <real>0)
    plane.step, plane.size, plane.axis = &job.arrays.image_step[1], &job.arrays.image_size[0], axis
    plane.padding_mode, plane.channels, plane.phase = job.window.padding_mode, job.window.channels, block.phase
    plane.rows = Range(block.rows.first * job.y.outputs, min(block.rows.last * job.y.outputs, ceil_div(
        job.arrays.map_size[1] + job.y.skipped - block.phase, job.y.phases * axis[1].dilation)))
    plane.columns = Range(block.columns.first * across, min(block.columns.last * across, ceil_div(
        job.arrays.map_size[2] + job.x.skipped, job.x.phases)))
    plane.run, plane.blank = room, <unsigned char *>(room + job.blank_columns)
    if not find_blanks(mask, job.blank_columns, &plane, <real>0):
        return
    for row in range(plane.rows.first, plane.rows.last):
        tiles = row_tiles(block, row // job.y.outputs)
        tiles = Range(tiles.first * across, min(tiles.last * across, plane.columns.last - plane.columns.first))
        blank = mask + (row - plane.rows.first) * job.blank_columns
        if memchr(blank + tiles.first, True, tiles.last - tiles.first) == NULL:
            continue
        for row_phase in range(job.y.phases):
            if job.y.phase[row_phase].taps == y.taps:
                clear_blank_row(blank, job, block, map_row(job, block, row_phase, row), x, plane.columns.first, tiles,
                                <real>0)


cdef Axis window_of(const WinogradJob *job, int axis, const Phase *phase) noexcept nogil:
    """Return how the outputs of a phase read an axis: if transposed, with fewer taps than the window has, perhaps."""
    cdef Axis window = job.window.axis[axis]
    if job.transposed:
        window = make_axis(phase.taps, 1, 1)
        window.pad = job.window.axis[axis].pad
    return window


cdef void clear_blank_row(const unsigned char *blank, const WinogradJob *job, const Block *block, Py_ssize_t row,
                          const Phase *x, Py_ssize_t first, Range outputs, real _) noexcept nogil:
    """Clear those of some outputs in a row of the maps that are blank, in the phases of one form.

    In each phase, outputs are counted from the one on that is the block's first.
    """
    cdef Py_ssize_t filter, phase, o, column
    cdef Range filters = filters_of(&job.blocks, block.blocks)
    cdef real *map
    cdef real value
    if not 0 <= row < job.arrays.map_size[1]:
        return
    for filter in range(filters.first, filters.last):
        value = clip((<const real *>job.arrays.bias)[block.group * job.window.filters + filter], &job.epilogue)
        map = run_in_map(job, block, MapRun(filter, row, 0, 0), <real>0)
        for phase in range(job.x.phases):
            if job.x.phase[phase].taps != x.taps:
                continue
            for o in range(outputs.first, outputs.last):
                column = (first + o) * job.x.phases + phase - job.x.skipped
                if blank[o] and 0 <= column < job.arrays.map_size[2] and map[column] == map[column]:
                    map[column] = value
                    finish_runs(map + column, 1, 0, 1, &job.arrays, block.group * job.window.filters + filter, 0,
                                &job.epilogue)
