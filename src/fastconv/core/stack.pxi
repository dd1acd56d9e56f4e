# Sweeps of stacks of channels. Part of _core.pyx.


cdef void stack_unit(real *workspace, const Job *job, Py_ssize_t index) noexcept nogil:
    """Do the same for the maps of some stacks of channels, a stack at a time: lanes are channels."""
    cdef Unit unit = find_unit(job, index)
    cdef Range stacks = share(job.stacks, job.parts, index % job.parts)
    cdef Py_ssize_t lanes = job.kernels.lanes, stack, group, channels, filter, rest, i, products = 0
    cdef const void **rows = <const void **>(workspace + job.strip_numbers)
    cdef real *weight = workspace + lanes * lanes  # (taps, lanes)
    cdef real *bias = weight + (job.taps + lanes) * lanes
    cdef real *strip = bias + 2 * lanes  # (lines, columns seen, lanes)
    cdef real *sums = strip + (job.lines * stacked_columns(job) + lanes) * lanes  # (rows, W', lanes)
    cdef fc_stack request
    request.weight, request.bias, request.kernel_rows, request.image_row = weight, bias, job.axis[1].taps, rows
    request.columns, request.pad = stacked_columns(job), job.axis[2].pad
    for stack in range(stacks.first, stacks.last):
        group = stack * lanes
        channels = min(lanes, job.groups - group)
        see_stack(rows, strip, job, &unit, group, channels)
        for filter in range(group * job.filters, (group + 1) * job.filters):
            if is_stopped(&products, unit.pixels * job.taps * lanes):
                return
            rest = (job.groups - channels + 1) * job.filters - filter
            job.kernels.gather(weight, <const real *>job.weight + filter * job.taps, job.filters * job.taps, channels,
                               job.taps, filter * job.taps, rest * job.taps)
            for i in range(channels):  # 0.0 if it is -0.0, as sums with zeros of the padding, which may be skipped
                bias[i] = (<const real *>job.bias)[filter + i * job.filters] + 0
            sweep_stack(sums, &request, job, &unit, filter, channels)


cdef void sweep_stack(real *sums, fc_stack *request, const Job *job, const Unit *unit, Py_ssize_t filter,
                      Py_ssize_t channels) noexcept nogil:
    """Compute the maps of one filter of every channel of a stack, some rows at a time."""
    cdef Py_ssize_t columns = job.map_size[2], step = job.filters * job.map_step[1], pixels, i
    cdef Py_ssize_t some = unit.rows if unit.pixels <= 256 else max(4, 256 // columns // 4 * 4)  # that the cache holds
    cdef real *map = (<real *>job.maps + unit.n * job.map_step[0] + filter * job.map_step[1]
                      + unit.depth * job.map_step[2] + unit.first_row * columns)
    cdef real[16] no_bias  # -0.0 changes nothing, 0.0 would make 0.0 of -0.0
    cdef Range rows = Range(0, 0)
    for i in range(16):
        no_bias[i] = -0.0
    while rows.last < unit.rows:
        rows = Range(rows.last, min(rows.last + some, unit.rows))
        pixels = (rows.last - rows.first) * columns
        request.skip_zeros = sees_every_tap(job, unit, rows)
        slide_stack(sums, request, job, rows)
        if job.kernels.scatter(map, step, channels, sums, pixels, no_bias, job.low, job.high, False) and request.skip_zeros:
            request.skip_zeros = False  # there may be weights that are not finite: zero times those is not zero
            slide_stack(sums, request, job, rows)
            job.kernels.scatter(map, step, channels, sums, pixels, no_bias, job.low, job.high, False)
        if job.activation > RELU6:
            for i in range(channels):
                activate(map + i * step, pixels, job.activation)
        map += pixels


cdef bint sees_every_tap(const Job *job, const Unit *unit, Range rows) noexcept nogil:
    """Tell whether every tap meets the image in these rows: then weights that are not finite leave their mark."""
    cdef const Axis *y = &job.axis[1]
    cdef const Axis *x = &job.axis[2]
    cdef Py_ssize_t first = (unit.first_row + rows.first) * y.stride - y.pad
    return (source(unit.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode) >= 0
            and job.size[1] >= y.stride and job.size[2] >= x.stride
            and first + (rows.last - rows.first - 1) * y.stride >= 0 and first + y.span <= job.size[1]
            and (job.map_size[2] - 1) * x.stride >= x.pad and x.span - x.pad <= job.size[2])


cdef Py_ssize_t stacked_columns(const Job *job) noexcept nogil:
    """Return how many columns of the image, from the first one on, the outputs of a row see at most."""
    cdef const Axis *axis = &job.axis[2]
    return max(0, min(job.size[2], (job.map_size[2] - 1) * axis.stride + axis.span - axis.pad))


cdef void see_stack(const void **rows, real *strip, const Job *job, const Unit *unit, Py_ssize_t group,
                    Py_ssize_t channels) noexcept nogil:
    """Lay the rows that a unit sees of a stack of channels out, lanes innermost; rows beyond the image are NULL."""
    cdef const Axis *axis = &job.axis[1]
    cdef Py_ssize_t columns = stacked_columns(job), apart = ceiling(job.lines, axis.dilation), line, row
    cdef Py_ssize_t z = source(unit.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef Py_ssize_t first = unit.first_row * axis.stride - axis.pad
    cdef Range seen = Range(max(0, first), min(job.size[1], first + (unit.rows - 1) * axis.stride + axis.span))
    cdef const real *image = (<const real *>job.images + unit.n * job.image_step[0] + group * job.image_step[1]
                              + z * job.image_step[2] + seen.first * job.image_step[3])
    if z < 0:
        seen.last = seen.first
    for line in range((unit.rows - 1) * axis.stride + axis.span):
        row = line % axis.dilation * apart + line // axis.dilation
        rows[row] = strip + (first + line - seen.first) * columns * job.kernels.lanes
        if not seen.first <= first + line < seen.last:
            rows[row] = NULL
    if job.image_step[3] == columns and seen.first < seen.last:
        job.kernels.gather(strip, image, job.image_step[1], channels, (seen.last - seen.first) * columns,
                           seen.first * columns, (job.size[1] - seen.first) * columns)
    else:
        for line in range(seen.last - seen.first):
            job.kernels.gather(strip + line * columns * job.kernels.lanes, image + line * job.image_step[3],
                               job.image_step[1], channels, columns, 0, job.size[2])


cdef void slide_stack(real *sums, fc_stack *request, const Job *job, Range rows) noexcept nogil:
    """Slide one kernel for every lane down some rows of a stack: sums (rows, W', lanes)."""
    cdef const Axis *axis = &job.axis[1]
    cdef Py_ssize_t columns = job.map_size[2], apart = ceiling(job.lines, axis.dilation), row, line
    cdef const void *const *lines = request.image_row
    cdef const fc_stack_variant *kind = job.kernels.stacks
    while kind.taps != job.axis[2].taps or kind.stride_x != job.axis[2].stride:
        kind += 1
    request.column = 0
    while request.column < columns:
        while kind.pixels > columns or kind.pixels > columns - request.column + 2:
            kind += 1
        request.column = min(request.column, columns - kind.pixels)  # the last ones move back
        for row in range(rows.first, rows.last):
            line = row * axis.stride
            request.image_row = lines + line % axis.dilation * apart + line // axis.dilation
            request.map = sums + (row - rows.first) * columns * job.kernels.lanes
            kind.run(request)
        request.column += kind.pixels
    request.image_row = lines
