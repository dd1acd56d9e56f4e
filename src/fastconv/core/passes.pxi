# Passes along one axis of arrays of integers of 8 or 16 bits, block by block. Part of _core.pyx.
#
#     image (lead, length, trail) --pad, widen--> block --sweep--> sums of the block --truncate--> map
#
# Sums that become integers are truncated towards zero, and wrapped around. Where trail is long, a block holds some
# columns of one array (length, trail); where it is short, some rows of length * trail numbers, of which taps read
# every trail-th. A block that holds all of the axis may be written to where it was read.
#
# Uses: buffers.pxd, geometry.pxd, kernels.pxd, job.pxi, layout.pxi, border.pxi, convert.pxi, sweep_job.pxi,
# sweep_tables.pxi, sweep.pxi, sweep_layout.pxi.


cdef struct PassJob:
    SweepJob sweep             # of a block
    const char *image
    char *map
    PaddedLine line            # of the image, whose lines are `lead` ones
    Py_ssize_t map_bytes, bytes  # of a number; of one of a block
    Py_ssize_t lead, length, trail  # sizes of the arrays
    bint by_rows, is_box, truncates
    bint is_near               # no magnitude of a sum is 2^31 or more
    Py_ssize_t strips, others  # into which the axis is cut, and what lies across it
    Py_ssize_t taps, before    # positions in front of an output that it reads
    Py_ssize_t pitch           # numbers of a row of a block
    double scale               # of the sums
    char[8] border             # a number of a block: where the padding mode is ZEROS


def convolve_along(image, kernel, map, tuple shape, tuple edge, tuple sums, tuple block, bint by_rows,
                   SweepLayout layout, Py_ssize_t threads):
    """Correlate contiguous arrays (lead, length, trail) with a kernel along their second axis.

    edge: positions in front of an output that it reads, the padding mode, and the value where that is ZEROS; sums: by
    what they are multiplied, and whether all are of magnitudes below 2^31. block: outputs along the axis, and rows or
    columns, at a time; the layout is for such blocks. Without a kernel all weights are 1, and the sums must be exact.
    """
    cdef PassJob job
    cdef Memory tables
    cdef Arrays *arrays = &job.sweep.arrays
    cdef Py_ssize_t along = block[0], across = block[1], count = image.size, numbers
    cdef double no_bias = 0, border = edge[2]
    job.sweep, job.by_rows, job.bytes, job.taps = layout.job, by_rows, layout.itemsize, layout.weights
    job.before, job.scale, job.is_near = edge[0], sums[0], sums[1]
    job.lead, job.length, job.trail = shape[0], shape[1], shape[2]
    job.map_bytes, job.truncates = map.itemsize, map.dtype.kind != "f"
    job.line = PaddedLine(make_move(NUMBER_TYPES[image.dtype.name], image.itemsize, False, job.bytes), job.bytes,
                          job.length, job.trail, edge[1])
    if job.bytes == sizeof(float):
        (<float *>job.border)[0] = <float>border
    else:
        (<double *>job.border)[0] = border
    job.image = <const char *>numbers_of(image, count, image.itemsize)
    job.map = <char *>numbers_of(map, count, job.map_bytes)
    job.strips = ceil_div(job.length, along)
    job.others = ceil_div(job.lead, across) if by_rows else job.lead * ceil_div(job.trail, across)
    memset(arrays, 0, sizeof(Arrays))
    job.is_box = kernel is None
    if not job.is_box:
        arrays.weight, arrays.bias = numbers_of(kernel, layout.weights, layout.itemsize), &no_bias
    arrays.batch = arrays.image_size[0] = arrays.map_size[0] = 1
    arrays.map_size[1], arrays.map_size[2] = (across, along * job.trail) if by_rows else (along, across)
    arrays.image_size[1] = arrays.map_size[1] + job.sweep.window.axis[1].span - 1
    arrays.image_size[2] = arrays.map_size[2] + job.sweep.window.axis[2].span - 1
    job.pitch = ceil_div(arrays.image_size[2], LINE_BYTES) * LINE_BYTES + LINE_BYTES // sizeof(float)
    arrays.image_step[3] = job.pitch
    tables = make_sweep_tables(&job.sweep)
    numbers = (arrays.image_size[1] + arrays.map_size[1]) * job.pitch + 2 * SLACK
    run_units(<fc_unit_fn>pass_unit, &job, job.strips * job.others, numbers * job.bytes + layout.workspace, threads)


cdef void pass_unit(char *block, const PassJob *job, Py_ssize_t index) noexcept nogil:
    """Compute a block."""
    cdef const fc_kernels *kernels = job.sweep.ukernels
    cdef const Arrays *arrays = &job.sweep.arrays
    cdef Py_ssize_t other = index % job.others, width = job.pitch if job.is_box else arrays.map_size[2]  # of sums
    cdef Py_ssize_t row, rows, columns, start, step  # of the result
    cdef Range along = nth_part(job.length, job.strips, index // job.others), across
    cdef char *sums = block + (arrays.image_size[1] * job.pitch + SLACK) * job.bytes
    cdef char *workspace = sums + (arrays.map_size[1] * job.pitch + SLACK) * job.bytes
    cdef Py_ssize_t image_bytes = job.line.move.itemsize
    cdef char *map
    if job.by_rows:
        across = nth_part(job.lead, job.others, other)
        rows, columns, step = across.last - across.first, (along.last - along.first) * job.trail, job.length * job.trail
        for row in range(rows):
            pad_line(block + row * job.pitch * job.bytes, job.image + (across.first + row) * step * image_bytes,
                     Range(along.first - job.before, along.last - job.before + job.taps - 1), &job.line, job.border)
        start = across.first * step + along.first * job.trail
    else:
        across = nth_part(job.trail, job.others // job.lead, other % (job.others // job.lead))
        rows, columns, step = along.last - along.first, across.last - across.first, job.trail
        start = other // (job.others // job.lead) * job.length * step + across.first
        fill_block_columns(block, job, job.image + start * image_bytes, columns, along)
        start += along.first * step
    if job.is_box and job.by_rows:
        for row in range(rows):
            kernels.box_row(sums + row * width * job.bytes, block + row * job.pitch * job.bytes, job.trail, job.taps,
                            columns)
    elif job.is_box:
        kernels.box_columns(sums, width, block, job.pitch, job.taps, rows, columns)
    elif job.bytes == sizeof(float):
        sweep_block(<float *>sums, <const float *>block, <float *>workspace, &job.sweep, rows)
    else:
        sweep_block(<double *>sums, <const double *>block, <double *>workspace, &job.sweep, rows)
    for row in range(rows):
        map = job.map + (start + row * step) * job.map_bytes
        if job.truncates:
            kernels.truncate(map, sums + row * width * job.bytes, columns, job.map_bytes, job.scale, job.is_near)
        else:
            memcpy(map, sums + row * width * job.bytes, columns * job.bytes)


cdef void sweep_block(real *sums, const real *block, real *workspace, const SweepJob *job,
                      Py_ssize_t rows) noexcept nogil:
    cdef SweepInput input = divide_sweep_workspace(workspace, job)
    cdef Strip strip = Strip(0, 0, 0, rows, 0)
    sweep_group(sums, 0, block, 0, job, &strip, &input)


cdef void fill_block_columns(char *block, const PassJob *job, const char *pixels, Py_ssize_t columns,
                             Range along) noexcept nogil:
    """Fill a block with what some outputs along the axis read of some columns; pixels: the first ones of the array."""
    cdef Py_ssize_t line, y
    for line in range(along.last - along.first + job.taps - 1):
        y = image_index(along.first - job.before + line, job.length, job.line.padding_mode)
        if y >= 0:
            convert(block, <char *>pixels + y * job.trail * job.line.move.itemsize, columns, &job.line.move)
        else:
            repeat_number(block, job.border, columns, job.bytes)
        block += job.pitch * job.bytes
