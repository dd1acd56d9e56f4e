# Convolution of one channel, or of groups of one: sweeps down its rows; lanes are pixels. Part of _core.pyx.
#
#     map[k, o] = activation(bias[k] + sum over taps t of weight[k, t] * channel[o * stride + t * dilation - pad])
#
# Rows of complex numbers are pairs of parts, side by side: rows twice as long. Real weights multiply either part alike.
# Of complex ones, filters have two channels, the parts of the weights: those of the rows, and of these times i.
#
# A micro-kernel computes some rows times some vectors of a map, and reads every row of the channel once for all of
# them. It is given pointers to rows, which lie in the image, in a padded strip, or, beyond the image, in one row of
# zeros. Where an image is read in place, its left and right edges are masked or padded (sweep_tables.pxi).
#
# Uses: job.pxi, epilogue.pxi, rows.pxi, sweep_job.pxi, sweep_tables.pxi.


cdef enum:
    SWEPT_NUMBERS = 96  # of a row, at most, that a micro-kernel computes: six vectors of 16


cdef struct SweepInput:
    # Where a strip of output rows finds the rows of one channel.
    const void **row           # in the order of `line_index`
    const void **left          # the same for the vectors in front of the inner ones,
    const void **right         # and for those behind them
    Py_ssize_t phase_rows      # rows with the same remainder by the dilation
    const void *zeros          # a row of them
    void *ordered              # room for the weights of one filter
    void *strip                # room for padded rows, or for borders


cdef inline Py_ssize_t line_index(Py_ssize_t line, Py_ssize_t dilation, Py_ssize_t phase_rows) noexcept nogil:
    """Return the place of an input row where those with the same remainder by the dilation lie side by side."""
    return line if dilation == 1 else line % dilation * phase_rows + line // dilation


cdef inline Py_ssize_t row_pointers(const SweepJob *job) noexcept nogil:
    """Return how many pointers to rows there is room for: twice as many as lines, in each order."""
    return 2 * job.lines * (3 if job.borders else job.window.channels)


cdef SweepInput divide_sweep_workspace(real *workspace, const SweepJob *job) noexcept nogil:
    cdef SweepInput input
    cdef const void **row = <const void **>workspace
    cdef real *ordered = <real *>(row + row_pointers(job))
    cdef real *zeros = ordered + job.window.taps
    memset(zeros, 0, job.zero_numbers * sizeof(real))
    input.row = input.left = input.right = row
    if job.borders:
        input.left, input.right = row + 2 * job.lines, row + 4 * job.lines
    input.phase_rows = ceil_div(job.lines, job.window.axis[1].dilation)
    input.ordered, input.zeros, input.strip = ordered, zeros, zeros + job.zero_numbers
    return input


cdef void sweep_unit(real *workspace, const SweepJob *job, Py_ssize_t index) noexcept nogil:
    """Compute the maps of some groups over one strip of output rows."""
    cdef const Arrays *arrays = &job.arrays
    cdef Strip strip = find_strip(arrays, job.strips, index // job.parts)
    cdef Range groups = nth_part(job.window.groups, job.parts, index % job.parts)
    cdef SweepInput input = divide_sweep_workspace(workspace, job)
    cdef Py_ssize_t group, products = 0
    for group in range(groups.first, groups.last):
        if is_stopped(&products, job.window.filters * strip.pixels * job.window.taps):
            return
        sweep_group(
            <real *>arrays.maps + map_at(arrays, strip.n, group * job.window.filters, strip.depth, strip.first_row),
            arrays.map_step[1], <const real *>arrays.images + image_at(arrays, strip.n, group), group, job, &strip,
            &input)


cdef void sweep_group(real *maps, Py_ssize_t map_step, const real *channel, Py_ssize_t group, const SweepJob *job,
                      const Strip *strip, const SweepInput *input) noexcept nogil:
    """Compute a strip of the maps of one group from its channel (D, H, W); maps is the first pixel of the first one."""
    cdef Py_ssize_t filter, first, taps = job.window.taps, row_taps = job.window.axis[2].taps, v
    cdef Py_ssize_t parts = 2 if job.pairs else 1
    cdef real *ordered = <real *>input.ordered
    cdef real[SWEPT_NUMBERS] bias
    cdef fc_sweep request
    find_rows(input, channel, job, strip)
    request.start, request.start_step = bias if job.pairs else NULL, 0
    request.taps, request.kernel_rows = job.window.axis[2].taps, job.window.axis[1].taps
    request.offset, request.map_step = job.tables.offset, job.row_period * job.arrays.map_size[2]
    request.low, request.high = job.epilogue.low, job.epilogue.high
    for filter in range(group * job.window.filters, (group + 1) * job.window.filters):
        request.weight = <const real *>job.arrays.weight + filter * taps
        if job.paired:
            for v in range(taps):
                ordered[v] = (<const real *>request.weight)[v - v % row_taps + fc_paired_tap(row_taps, v % row_taps)]
            request.weight = ordered
        request.bias = (<const real *>job.arrays.bias)[filter * parts] + 0  # -0.0 becomes 0.0, as in stacks
        for v in range(SWEPT_NUMBERS if job.pairs else 0):
            bias[v] = (<const real *>job.arrays.bias)[filter * parts + v % parts] + 0
        for first in range(min(job.row_period, strip.rows)):
            sweep_rows(maps, &request, job, input, first, ceil_div(strip.rows - first, job.row_period))
        finish_runs(maps, 1, 0, strip.pixels, &job.arrays, filter, 0, &job.epilogue)
        maps += map_step


cdef void find_rows(const SweepInput *input, const real *channel, const SweepJob *job,
                    const Strip *strip) noexcept nogil:
    """Find the rows of a channel (D, H, W) that a strip of output rows reads, and pad them if they are not in place."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[1]
    cdef Py_ssize_t z = depth_at(&job.window, arrays, strip.depth, 0)
    cdef Py_ssize_t lines = (strip.rows - 1) * axis.stride + axis.span, y, line
    cdef Py_ssize_t first = strip.first_row * axis.stride - axis.pad
    cdef const real *plane = NULL if z < 0 else channel + z * arrays.image_step[2]
    cdef real *padded = <real *>input.strip
    cdef const void **row
    cdef PaddedRow shape
    if not job.in_place:
        shape.ukernels, shape.axis, shape.padding_mode = job.ukernels, job.window.axis[2], job.window.padding_mode
        shape.pitch, shape.columns, shape.source_step = job.pitch, arrays.image_size[2], arrays.image_step[3]
        pad_rows(input.row, padded, 0, plane, &shape, job, input, first, lines)
        return
    point_to_rows(input, plane, job, first, lines)
    if job.pairs:
        for line in range(lines):
            row = input.row + line_index(line, axis.dilation, input.phase_rows)
            row[row_pointers(job) - 2 * job.lines] = turned_row(padded, row[0], job, input)
            padded += job.pitch
    if job.borders:
        shape = job.tables.left
        if shape.pitch:
            pad_rows(input.left, padded, shape.axis.pad, plane, &shape, job, input, first, lines)
        padded += lines * shape.pitch
        shape = job.tables.right
        pad_rows(input.right, padded, shape.axis.pad, plane, &shape, job, input, first, lines)


cdef void point_to_rows(const SweepInput *input, const real *plane, const SweepJob *job, Py_ssize_t first,
                        Py_ssize_t lines) noexcept nogil:
    """Find some lines of a plane (H, W), which may be NULL, where they lie."""
    cdef const void **row = input.row
    cdef Py_ssize_t line = 0, y, size = job.arrays.image_size[1], step = job.arrays.image_step[3]
    cdef Py_ssize_t dilation = job.window.axis[1].dilation
    while line < lines:
        y = image_index(first + line, size, job.window.padding_mode)
        row[line_index(line, dilation, input.phase_rows)] = (input.zeros if plane == NULL or y < 0
                                                             else plane + y * step)
        line += 1
        if plane != NULL and dilation == 1 and first + line > 0:  # the rest of the image, with less ado
            while line < lines and first + line < size:
                row[line] = plane + (first + line) * step
                line += 1


cdef const void *turned_row(real *turned, const void *row, const SweepJob *job, const SweepInput *input) noexcept nogil:
    """Return what the last channel of pairs reads: a row times i, or, if there is no other one, the row itself."""
    if row == input.zeros:
        return row
    job.ukernels.turn(turned, row, min(job.arrays.image_size[2], job.pitch), job.window.channels == 2)
    return turned


cdef void pad_rows(const void **row, real *padded, Py_ssize_t start, const real *plane, const PaddedRow *shape,
                   const SweepJob *job, const SweepInput *input, Py_ssize_t first, Py_ssize_t lines) noexcept nogil:
    """Fill padded rows with some lines of a plane, and find what lies `start` numbers behind the start of each."""
    cdef Axis every = make_axis(1, 1, 1)
    cdef Py_ssize_t line
    fill_plane(padded, plane, shape, &every, 0, first, lines, &job.arrays)
    for line in range(lines):
        row[line_index(line, job.window.axis[1].dilation, input.phase_rows)] = padded + start
        padded += shape.axis.phases * shape.pitch


cdef void sweep_rows(real *map, fc_sweep *request, const SweepJob *job, const SweepInput *input, Py_ssize_t first_row,
                     Py_ssize_t rows) noexcept nogil:
    """Compute every `row_period`-th row of a map, several at once; the last ones move back over their neighbours."""
    cdef const SweepRun *run
    cdef Py_ssize_t columns = job.arrays.map_size[2], lanes = job.ukernels.lanes, steps = mask_step(job)
    cdef Py_ssize_t done, row, line, i, n, first, last, products = 0, at_once = min(rows, SWEEP_MAX_ROWS)
    cdef const void **lines
    request.nontemporal = job.nontemporal and columns % lanes == 0 and <size_t>map % (lanes * sizeof(real)) == 0
    for i in range(job.tables.first_run[at_once - 1], job.tables.first_run[at_once]):
        run = job.tables.runs + i
        for n in range(run.count):
            if is_stopped(&products, rows * run.variant.vectors * lanes * job.window.taps):
                return
            first = run.first + n * run.variant.vectors
            last = first + run.variant.vectors - 1
            request.mask = job.tables.masks + mask_row(job, first) * steps
            request.last_mask = job.tables.masks + mask_row(job, last) * steps
            request.column = vector_column(job, first)
            request.last = vector_column(job, last) - request.column
            request.store_mask = (<unsigned>1 << min(lanes, columns - vector_column(job, last))) - 1
            lines = rows_of_vector(input, job, first)
            done = 0
            while done < rows:
                row = first_row + min(done, rows - run.variant.rows) * job.row_period
                line = line_index(row * job.window.axis[1].stride, job.window.axis[1].dilation, input.phase_rows)
                request.image_row = lines + line
                request.map = map + row * columns
                if job.window.channels == 1:
                    run.variant.run(request)
                else:
                    sweep_both(run.variant, request, job, <real>0)
                done += run.variant.rows


cdef void sweep_both(const fc_sweep_variant *variant, const fc_sweep *request, const SweepJob *job,
                     real _) noexcept nogil:
    """Sweep over the two channels of pairs: the sums of the first one are those that the second one starts from."""
    cdef real[SWEEP_MAX_ROWS * SWEPT_NUMBERS] sums
    cdef fc_sweep half = request[0]
    half.map, half.map_step, half.nontemporal = sums - request.column, SWEPT_NUMBERS, False
    half.low, half.high = -INFINITY, INFINITY
    variant.run(&half)
    half = request[0]
    half.start, half.start_step = sums, SWEPT_NUMBERS
    half.image_row = request.image_row + 2 * job.lines
    half.weight = <const real *>request.weight + job.window.taps // 2
    variant.run(&half)


cdef inline const void **rows_of_vector(const SweepInput *input, const SweepJob *job, Py_ssize_t vector) noexcept nogil:
    """Return where a vector of a row, and with borders all of one micro-kernel, read the lines of the image."""
    if vector < job.tables.inner.first:
        return input.left
    return input.row if vector < job.tables.inner.last else input.right
