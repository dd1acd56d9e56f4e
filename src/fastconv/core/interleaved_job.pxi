# Transposed convolution with pixels in the lanes: the job, its geometry, and the order of its weights.
# Part of _core.pyx.
#
#     maps[k, o] = activation(bias[k] + sum over channels c and taps t with (o + pad - t * dilation) % stride == 0 of
#                             weight[c, k, t] * images[c, (o + pad - t * dilation) / stride])
#
# As in transposed_job.pxi, the outputs m * stride + phase of a phase read pixels m + tap_input(t). `Axis.pad` is below
# the stride here: whole strides of padding shift the image instead, so that phases keep their places. Pixels that do
# not exist are zeros of a padded strip.
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, epilogue.pxi, filters.pxi, transposed_job.pxi.


cdef struct InterleavedJob:
    const fc_kernels *ukernels
    Arrays arrays
    Window window
    Epilogue epilogue
    FilterBlocks blocks
    bint nontemporal           # maps bypass the cache
    Py_ssize_t[3] shift        # of the image against the outputs, in pixels
    Range[3] reach             # output m * stride + phase reads pixels from m + first to m + last - 1
    Py_ssize_t pitch           # of a row of a strip (channels, rows, pitch)
    Py_ssize_t channel_step    # from one channel of a strip to the next
    Py_ssize_t strip_rows      # outputs of one phase of the rows that a strip serves, at most
    Py_ssize_t strips, parts   # that the rows of a map, and the groups, are cut into
    Py_ssize_t chunk           # taps that are summed before the next ones
    Py_ssize_t sums            # place of sums in the workspace, in numbers
    const Py_ssize_t *offset   # from the pixel of an output to what each tap reads, phase by phase (taps,)
    const Py_ssize_t *first    # tap of each phase, row phase by row phase (phases of rows * phases of columns + 1,)


cdef struct PhaseTaps:
    # The taps of an axis that the outputs of one phase see: `count` ones from `first` on, a period apart.
    Py_ssize_t first, count


cdef PhaseTaps taps_seen(const Axis *axis, Py_ssize_t phase) noexcept nogil:
    cdef Py_ssize_t tap
    for tap in range(axis.phases):
        if phase_start(axis, tap) == phase:
            return PhaseTaps(tap, ceil_div(axis.taps - tap, axis.period))
    return PhaseTaps(0, 0)


cdef void note_phases(Py_ssize_t *offset, Py_ssize_t *first, const InterleavedJob *job) noexcept nogil:
    """Note the taps of each phase, in the order (channels, rows, columns), and where they read in the strip."""
    cdef const Axis *y = &job.window.axis[1]
    cdef const Axis *x = &job.window.axis[2]
    cdef Py_ssize_t phase, c, i, j, t = 0
    cdef PhaseTaps rows, columns
    for phase in range(y.stride * x.stride):
        rows, columns, first[phase] = taps_seen(y, phase // x.stride), taps_seen(x, phase % x.stride), t
        for c in range(job.window.channels):
            for i in range(rows.count):
                for j in range(columns.count):
                    offset[t] = (c * job.channel_step
                                 + (tap_input(y, rows.first + i * y.period) - job.reach[1].first) * job.pitch
                                 + tap_input(x, columns.first + j * x.period) - job.reach[2].first)
                    t += 1
    first[y.stride * x.stride] = t


cdef void pack_phases(real *packed, const real *weight, const Py_ssize_t *step,
                      const InterleavedJob *job) noexcept nogil:
    """Pack weights (C, K / groups, 1, kh, kw) with these steps in the order of `note_phases`, filters innermost."""
    cdef const Axis *y = &job.window.axis[1]
    cdef const Axis *x = &job.window.axis[2]
    cdef Py_ssize_t group, block, phase, c, i, j, k
    cdef PhaseTaps rows, columns
    cdef Range filters
    cdef const real *tap
    for group in range(job.window.groups):
        for block in range(job.blocks.count):
            filters = nth_block(&job.blocks, block)
            for phase in range(y.stride * x.stride):
                rows, columns = taps_seen(y, phase // x.stride), taps_seen(x, phase % x.stride)
                for c in range(group * job.window.channels, (group + 1) * job.window.channels):
                    for i in range(rows.count):
                        for j in range(columns.count):
                            tap = (weight + c * step[0] + (rows.first + i * y.period) * step[3]
                                   + (columns.first + j * x.period) * step[4])
                            for k in range(filters.first, filters.last):
                                packed[0] = tap[k * step[1]]
                                packed += 1


cdef inline Py_ssize_t interleaved_weights_at(const InterleavedJob *job, Py_ssize_t group,
                                              Py_ssize_t block) noexcept nogil:
    """Return the place of the packed weights of a block of filters, (taps of all phases, filters)."""
    return (group * job.window.filters + nth_block(&job.blocks, block).first) * job.window.taps
