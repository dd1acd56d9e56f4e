# Transposed convolution by register tiles: the job and its units. Part of _core.pyx.
#
#     maps[k, o] = bias[k] + sum over c, t, i of weight[c, k, t] * image[c, i] with i * stride + t * dilation - pad = o
#
# Outputs with the same remainder by the stride make a phase (polyphase form): phase p of an axis is what taps p,
# p + period, p + 2 * period, ... add to. It is an ordinary convolution of stride 1 with these taps: output number m of
# the phase reads pixel m + tap_input(t).
#
#     image (C, D, H, W)
#       -> strip (taps of the depth's phase, rows, columns, C)          padded copy of the rows that a unit reads
#       -> register tile                    pixels of one phase x vectors of filters, pixels broadcast
#       -> sums (phases of rows, rows, columns of all phases, width)    interleaved as they are stored
#       -> maps (K, D', H', W')             transposed row by row
#
# Phases that no tap adds to hold the bias. Packed weights and the table of taps are in the order of the phases.
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, epilogue.pxi, filters.pxi.


cdef enum:
    PHASE_TILES = 8  # register tiles that are multiplied by all chunks of a block's weights in turn


cdef struct TransposedJob:
    const fc_kernels *ukernels
    Arrays arrays              # weight is packed
    Window window
    Epilogue epilogue
    FilterBlocks blocks
    const Py_ssize_t *offset   # from the strip's first pixel to what each tap reads for output 0 of its phase (taps,)
    Py_ssize_t chunk           # taps that are summed before the next ones, at most
    Py_ssize_t pixel_step, row_step, plane_step  # of the strip, in numbers
    Py_ssize_t width           # of the sums: filters of a full block
    Py_ssize_t strip_rows      # of a phase, at most
    Py_ssize_t strips, parts   # that the rows of a phase, and the blocks of filters of a group, are cut into
    Py_ssize_t bias, sums      # places in the workspace, in numbers


cdef struct Triple:
    # The phase of each axis that makes a phase of the outputs; or the place of a tap in a kernel.
    Py_ssize_t z, y, x


cdef struct TransposedUnit:
    # Some rows of all phases, at one depth of one image's maps, for some blocks of the filters of one group.
    Py_ssize_t n, group, depth
    Py_ssize_t depth_phase     # that the depth belongs to; -1 if no tap adds to it
    Range rows, blocks


cdef inline Py_ssize_t tap_input(const Axis *axis, Py_ssize_t tap) noexcept nogil:
    """Return the index of the pixel that a tap reads for output 0 of its phase."""
    cdef Py_ssize_t position = axis.pad - tap * axis.dilation
    return position // axis.stride + (position % axis.stride > 0)  # rounded up, as C truncates


cdef inline Py_ssize_t transposed_reach(const Axis *axis) noexcept nogil:
    """Return how many more pixels than its outputs all taps of all phases read, at most."""
    return ceil_div(axis.span - 1, axis.stride)


cdef inline Py_ssize_t phase_start(const Axis *axis, Py_ssize_t phase) noexcept nogil:
    """Return the index of output 0 of a phase: its remainder by the stride."""
    return tap_input(axis, phase) * axis.stride + phase * axis.dilation - axis.pad


cdef inline Py_ssize_t phase_size(const TransposedJob *job, int axis) noexcept nogil:
    """Return the outputs of a phase along an axis; the last one may lie beyond the map."""
    return ceil_div(job.arrays.map_size[axis], job.window.axis[axis].stride)


cdef inline Py_ssize_t phase_count(const TransposedJob *job, int axis) noexcept nogil:
    """Return how many phases the outputs along an axis have, those that no tap adds to included."""
    return min(job.window.axis[axis].stride, job.arrays.map_size[axis])


cdef Range taps_of_phase(const Window *window, Triple phase) noexcept nogil:
    """Return where the taps (kd, kh, kw, C) of a phase stand in the order of the phases."""
    cdef const Axis *axis = &window.axis[0]
    cdef Range z = axis_taps(&axis[0], phase.z), y = axis_taps(&axis[1], phase.y), x = axis_taps(&axis[2], phase.x)
    cdef Py_ssize_t planes = z.last - z.first, lines = planes * (y.last - y.first)
    cdef Py_ssize_t first = (z.first * axis[1].taps + planes * y.first) * axis[2].taps + lines * x.first
    return Range(window.channels * first, window.channels * (first + lines * (x.last - x.first)))


cdef Range axis_taps(const Axis *axis, Py_ssize_t phase) noexcept nogil:
    """Return where the taps of a phase of one axis stand in the order of the phases."""
    cdef Py_ssize_t least = axis.taps // axis.period, longer = axis.taps % axis.period  # phases with a tap more
    cdef Py_ssize_t first = phase * least + min(phase, longer)
    return Range(first, first + least + (phase < longer))


cdef Triple nth_tap(const Window *window, Py_ssize_t n) noexcept nogil:
    cdef const Axis *axis = &window.axis[0]
    return Triple(n // axis[2].taps // axis[1].taps, n // axis[2].taps % axis[1].taps, n % axis[2].taps)


cdef Py_ssize_t place_of_tap(const Window *window, Triple tap) noexcept nogil:
    """Return where the channels of a tap begin in the order of the phases."""
    cdef const Axis *axis = &window.axis[0]
    cdef Triple phase = Triple(tap.z % axis[0].period, tap.y % axis[1].period, tap.x % axis[2].period)
    cdef Py_ssize_t lines = ceil_div(axis[1].taps - phase.y, axis[1].period)
    cdef Py_ssize_t columns = ceil_div(axis[2].taps - phase.x, axis[2].period)
    cdef Py_ssize_t line = tap.z // axis[0].period * lines + tap.y // axis[1].period
    return taps_of_phase(window, phase).first + window.channels * (line * columns + tap.x // axis[2].period)


cdef TransposedUnit find_transposed_unit(const TransposedJob *job, Py_ssize_t index) noexcept nogil:
    cdef TransposedUnit unit
    cdef const Axis *axis = &job.window.axis[0]
    unit.blocks = nth_part(job.blocks.count, job.parts, index % job.parts)
    index //= job.parts
    unit.rows = nth_part(phase_size(job, 1), job.strips, index % job.strips)
    index //= job.strips
    unit.depth = index % job.arrays.map_size[0]
    index //= job.arrays.map_size[0]
    unit.group, unit.n = index % job.window.groups, index // job.window.groups
    unit.depth_phase = axis.phases - 1
    while unit.depth_phase >= 0 and phase_start(axis, unit.depth_phase) != unit.depth % axis.stride:
        unit.depth_phase -= 1
    return unit


cdef inline const real *packed_block(const TransposedJob *job, Py_ssize_t group, Py_ssize_t block,
                                     real _) noexcept nogil:
    """Return the packed weights (taps, filters) of a block."""
    return (<const real *>job.arrays.weight
            + (group * job.blocks.padded + nth_block(&job.blocks, block).first) * job.window.taps)
