# Convolution of many groups of one channel: sweeps down stacks of as many channels as a vector has lanes; lanes are
# channels. For maps so small that vectors of pixels would not be full. Part of _core.pyx.
#
#     images (N, C, D, H, W) -> strip (rows, W, lanes) -> sums (rows, W', lanes) -> maps (N, K, D', H', W')
#
# Uses: job.pxi, epilogue.pxi, layout.pxi, sweep.pxi.


cdef enum:
    STACK_PIXELS = 256  # of the sums, at most, that are computed before they are stored: 16 KB, half of the L1 cache


cdef struct StackJob:
    const fc_kernels *ukernels
    Arrays arrays
    Window window
    Epilogue epilogue
    Py_ssize_t stacks              # of channels
    Py_ssize_t lines               # input rows that a strip of output rows reads
    Py_ssize_t strip_rows, strips  # of the output at most; and strips of a map
    Py_ssize_t parts               # that the stacks are cut into, here at least `least_parts`
    Py_ssize_t least_parts
    Py_ssize_t row_pointers        # place of the pointers to rows in the workspace, in numbers


cdef struct Stack:
    # The channels of a unit that are computed at once.
    Py_ssize_t group, channels


cdef void stack_unit(real *workspace, const StackJob *job, Py_ssize_t index) noexcept nogil:
    """Compute the maps of some stacks over one strip of output rows."""
    cdef Strip strip = find_strip(&job.arrays, job.strips, index // job.parts)
    cdef Range stacks = nth_part(job.stacks, job.parts, index % job.parts)
    cdef Py_ssize_t lanes = job.ukernels.lanes, taps = job.window.taps, filters = job.window.filters
    cdef Py_ssize_t n, filter, rest, i, products = 0
    cdef const void **rows = <const void **>(workspace + job.row_pointers)
    cdef real *weight = workspace + lanes * lanes  # (taps, lanes)
    cdef real *bias = weight + (taps + lanes) * lanes
    cdef real *padded = bias + 2 * lanes  # (lines, columns that are read, lanes)
    cdef real *sums = padded + (job.lines * columns_read(job) + lanes) * lanes  # (rows, W', lanes)
    cdef fc_stack request
    cdef Stack stack
    request.weight, request.bias, request.kernel_rows = weight, bias, job.window.axis[1].taps
    request.columns, request.pad, request.image_row = columns_read(job), job.window.axis[2].pad, rows
    for n in range(stacks.first, stacks.last):
        stack = Stack(n * lanes, min(lanes, job.window.groups - n * lanes))
        interleave_channels(rows, padded, job, &strip, stack)
        for filter in range(stack.group * filters, (stack.group + 1) * filters):
            if is_stopped(&products, strip.pixels * taps * lanes):
                return
            rest = (job.window.groups - stack.channels + 1) * filters - filter
            job.ukernels.gather(weight, <const real *>job.arrays.weight + filter * taps, filters * taps, stack.channels,
                                taps, filter * taps, rest * taps)
            for i in range(stack.channels):  # -0.0 becomes 0.0, as with products with zeros of the padding, if skipped
                bias[i] = (<const real *>job.arrays.bias)[filter + i * filters] + 0
            sweep_stack(sums, &request, job, &strip, filter, stack.channels)


cdef void sweep_stack(real *sums, fc_stack *request, const StackJob *job, const Strip *strip, Py_ssize_t filter,
                      Py_ssize_t channels) noexcept nogil:
    """Compute the maps of one filter of every channel of a stack, some rows at a time."""
    cdef Py_ssize_t columns = job.arrays.map_size[2], map_step = job.window.filters * job.arrays.map_step[1], pixels, i
    cdef Py_ssize_t most = strip.rows if strip.pixels <= STACK_PIXELS else max(4, STACK_PIXELS // columns // 4 * 4)
    cdef real *map = <real *>job.arrays.maps + map_at(&job.arrays, strip.n, filter, strip.depth, strip.first_row)
    cdef real[16] no_bias  # -0.0 changes nothing, 0.0 would make 0.0 of -0.0
    cdef Range rows = Range(0, 0)
    for i in range(16):
        no_bias[i] = -0.0
    while rows.last < strip.rows:
        rows = Range(rows.last, min(rows.last + most, strip.rows))
        pixels = (rows.last - rows.first) * columns
        request.skip_zeros = every_tap_inside(job, strip, rows)
        slide_stack(sums, request, job, rows)
        if (job.ukernels.scatter(map, map_step, channels, sums, pixels, no_bias, job.epilogue.low, job.epilogue.high,
                                 False) and request.skip_zeros):
            request.skip_zeros = False  # weights may not be finite: then their products with zeros count
            slide_stack(sums, request, job, rows)
            job.ukernels.scatter(map, map_step, channels, sums, pixels, no_bias, job.epilogue.low, job.epilogue.high,
                                 False)
        finish_runs(map, channels, map_step, pixels, &job.arrays, filter, job.window.filters, &job.epilogue)
        map += pixels


cdef bint every_tap_inside(const StackJob *job, const Strip *strip, Range rows) noexcept nogil:
    """Return whether every tap reads some pixel in these rows: then a weight that is not finite shows in the sums."""
    cdef const Axis *y = &job.window.axis[1]
    cdef const Axis *x = &job.window.axis[2]
    cdef const Py_ssize_t *size = &job.arrays.image_size[0]
    cdef Py_ssize_t first = (strip.first_row + rows.first) * y.stride - y.pad
    return (depth_at(&job.window, &job.arrays, strip.depth, 0) >= 0
            and size[1] >= y.stride and size[2] >= x.stride
            and first + (rows.last - rows.first - 1) * y.stride >= 0 and first + y.span <= size[1]
            and (job.arrays.map_size[2] - 1) * x.stride >= x.pad and x.span - x.pad <= size[2])


cdef Py_ssize_t columns_read(const StackJob *job) noexcept nogil:
    """Return how many columns of the image, from the first one on, the outputs of a row read at most."""
    cdef const Axis *axis = &job.window.axis[2]
    return max(0, min(job.arrays.image_size[2],
                      (job.arrays.map_size[2] - 1) * axis.stride + axis.span - axis.pad))


cdef void interleave_channels(const void **rows, real *padded, const StackJob *job, const Strip *strip,
                              Stack stack) noexcept nogil:
    """Copy what a strip reads of a stack's channels to (rows, columns, lanes); rows beyond the image are NULL."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[1]
    cdef Py_ssize_t columns = columns_read(job), phase_rows = ceil_div(job.lines, axis.dilation), line, row
    cdef Py_ssize_t lanes = job.ukernels.lanes, z = depth_at(&job.window, arrays, strip.depth, 0)
    cdef Py_ssize_t first = strip.first_row * axis.stride - axis.pad
    cdef Range inside = Range(max(0, first),
                              min(arrays.image_size[1], first + (strip.rows - 1) * axis.stride + axis.span))
    cdef const real *pixels = (<const real *>arrays.images + image_at(arrays, strip.n, stack.group)
                               + z * arrays.image_step[2] + inside.first * arrays.image_step[3])
    if z < 0:
        inside.last = inside.first
    for line in range((strip.rows - 1) * axis.stride + axis.span):
        row = line_index(line, axis.dilation, phase_rows)
        rows[row] = padded + (first + line - inside.first) * columns * lanes
        if not inside.first <= first + line < inside.last:
            rows[row] = NULL
    if arrays.image_step[3] == columns and inside.first < inside.last:  # rows follow one another
        job.ukernels.gather(padded, pixels, arrays.image_step[1], stack.channels,
                            (inside.last - inside.first) * columns, inside.first * columns,
                            (arrays.image_size[1] - inside.first) * columns)
        return
    for line in range(inside.last - inside.first):
        job.ukernels.gather(padded + line * columns * lanes, pixels + line * arrays.image_step[3],
                            arrays.image_step[1], stack.channels, columns, 0, arrays.image_size[2])


cdef void slide_stack(real *sums, fc_stack *request, const StackJob *job, Range rows) noexcept nogil:
    """Slide one filter of every lane along some rows: sums (rows, W', lanes)."""
    cdef const Axis *axis = &job.window.axis[1]
    cdef Py_ssize_t columns = job.arrays.map_size[2], phase_rows = ceil_div(job.lines, axis.dilation), row
    cdef const void *const *lines = request.image_row
    cdef const fc_stack_variant *variant = job.ukernels.stacks
    while variant.taps != job.window.axis[2].taps or variant.stride_x != job.window.axis[2].stride:
        variant += 1
    request.column = 0
    while request.column < columns:
        while variant.pixels > columns or variant.pixels > columns - request.column + 2:
            variant += 1
        request.column = min(request.column, columns - variant.pixels)  # the last ones move back
        for row in range(rows.first, rows.last):
            request.image_row = lines + line_index(row * axis.stride, axis.dilation, phase_rows)
            request.map = sums + (row - rows.first) * columns * job.ukernels.lanes
            variant.run(request)
        request.column += variant.pixels
    request.image_row = lines


@cython.final
cdef class StackLayout(Layout):
    """Sweeps down stacks of channels; lanes are channels."""

    cdef StackJob job

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef StackLayout bound = StackLayout.__new__(StackLayout)
        bound.inherit(self)
        bound.job, bound.job.arrays = self.job, arrays[0]
        set_pads(&bound.job.window, pads)
        bound.units = cut_stack_job(&bound.job, 1)
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef StackJob job = self.job
        cdef Py_ssize_t units = self.units
        set_addresses(&job.arrays, arrays)
        take_residual(&job.epilogue, arrays.residual)
        if threads > 1:
            units = cut_stack_job(&job, threads)
        if threads == 0:
            return units_of(self.unit, &job, sizeof(job), &job.arrays, &job.arrays, units, self.workspace, self)
        run_units(self.unit, &job, units, self.workspace, threads, keep_gil)


cdef Py_ssize_t cut_stack_job(StackJob *job, Py_ssize_t threads) noexcept nogil:
    """Cut a job into units for so many threads: fewer stacks first, for strips read some rows twice."""
    cdef Py_ssize_t others = job.arrays.batch * job.arrays.map_size[0], wanted = wanted_units(threads)
    job.parts = min(job.stacks, max(job.least_parts, ceil_div(wanted, others)))
    others *= job.parts
    job.strips = count_strips(&job.arrays, job.strip_rows, ceil_div(wanted, others), 4)
    return others * job.strips


def stack_layout(map_size, window, filters, bits, strip_rows, *, parts):
    """Return a layout of sweeps down stacks, for groups of one channel and so many filters and maps of up to this size.

    It is for zero-padding and, across the columns, 3, 5 or 7 taps, stride 1 or 2 and no dilation.
    """
    cdef StackLayout layout = StackLayout.__new__(StackLayout)
    cdef StackJob *job = &layout.job
    cdef const Axis *axis = &job.window.axis[0]
    cdef Py_ssize_t lanes, pixels, columns = map_size[2]
    make_window(&job.window, window, 1, filters)
    job.epilogue = make_epilogue(window[5])
    job.ukernels = ukernels_of(bits)
    lanes = job.ukernels.lanes
    job.stacks, job.strip_rows = ceil_div(job.window.groups, lanes), strip_rows
    job.least_parts = min(<Py_ssize_t>parts, job.stacks)
    job.lines = (job.strip_rows - 1) * axis[1].stride + axis[1].span
    pixels = job.lines * (columns * axis[2].stride + axis[2].span) + job.strip_rows * columns
    job.row_pointers = (pixels + job.window.taps + 5 * lanes + 2) * lanes
    layout.itemsize = <Py_ssize_t>bits // 8
    layout.workspace = job.row_pointers * layout.itemsize + job.lines * 2 * sizeof(void *)
    layout.filters = job.window.groups * job.window.filters
    layout.offsets = count_offsets(layout.filters, &job.epilogue)
    layout.weights = layout.filters * job.window.taps
    layout.unit = <fc_unit_fn>stack_unit[float] if bits == 32 else <fc_unit_fn>stack_unit[double]
    return layout
