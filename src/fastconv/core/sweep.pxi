# Sweeps down the rows of one channel. Part of _core.pyx.


cdef struct Lines:
    # The padded rows of one channel that a strip of output rows sees, those that one kernel sees side by side.
    const void **row
    Py_ssize_t apart  # from the rows of one remainder by the dilation to the next


cdef void sweep_unit(real *workspace, const Job *job, Py_ssize_t index) noexcept nogil:
    """Compute the maps of some groups over one strip of output rows, each from the only channel that it sees."""
    cdef Unit unit = find_unit(job, index)
    cdef Range groups = share(job.groups, job.parts, index % job.parts)
    cdef Lines lines
    cdef real *weight = workspace + 2 * job.lines * (sizeof(void *) // sizeof(real))
    cdef real *zeros = weight + job.taps
    cdef real *strip = zeros + job.zero_numbers
    cdef const real *image = <const real *>job.images + unit.n * job.image_step[0] + groups.first * job.image_step[1]
    cdef real *maps = (<real *>job.maps + unit.n * job.map_step[0] + groups.first * job.filters * job.map_step[1]
                       + unit.depth * job.map_step[2] + unit.first_row * job.map_size[2])
    cdef Py_ssize_t group, products = 0
    lines.row = <const void **>workspace
    lines.apart = ceiling(job.lines, job.axis[1].dilation)
    memset(zeros, 0, job.zero_numbers * sizeof(real))
    for group in range(groups.first, groups.last):
        if is_stopped(&products, job.filters * unit.pixels * job.taps):
            return
        see_lines(&lines, image, zeros, strip, job, &unit)
        sweep_group(maps, weight, &lines, job, &unit, group)
        image += job.image_step[1]
        maps += job.filters * job.map_step[1]


cdef void see_lines(Lines *lines, const real *image, const real *zeros, real *strip, const Job *job,
                    const Unit *unit) noexcept nogil:
    """Find the rows that a unit sees of a channel: in the image, or padded in a strip."""
    cdef const Axis *axis = &job.axis[1]
    cdef Py_ssize_t z = source(unit.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef Py_ssize_t y, line, first = unit.first_row * axis.stride - axis.pad
    cdef const void **row
    for line in range((unit.rows - 1) * axis.stride + axis.span):
        row = lines.row + (line if axis.dilation == 1 else line % axis.dilation * lines.apart + line // axis.dilation)
        y = source(first + line, job.size[1], job.mode)
        if z < 0 or y < 0:
            row[0] = zeros
        elif job.in_place:
            row[0] = image + z * job.image_step[2] + y * job.image_step[3]
        else:
            row[0] = strip
            fill_rows(strip, image + z * job.image_step[2], job, y, 1)
            strip += job.row_step


cdef void sweep_group(real *map, real *ordered, const Lines *lines, const Job *job, const Unit *unit,
                      Py_ssize_t group) noexcept nogil:
    """Compute the maps of one group from its channel's lines."""
    cdef fc_sweep request
    cdef Py_ssize_t k, turn, v
    request.taps, request.offset, request.kernel_rows = job.axis[2].taps, job.offset, job.axis[1].taps
    request.low, request.high = job.low, job.high
    for k in range(group * job.filters, (group + 1) * job.filters):
        request.weight = <const real *>job.weight + k * job.taps
        if job.pairs:
            for v in range(job.taps):
                ordered[v] = (<const real *>request.weight)[tap_in_order(job, v)]
            request.weight = ordered
        request.bias = (<const real *>job.bias)[k] + 0  # 0.0 if it is -0.0, as stacks have it
        for turn in range(min(job.apart, unit.rows)):
            sweep_rows(map, lines, job, &request, turn,
                       unit.rows if job.apart == 1 else ceiling(unit.rows - turn, job.apart))
        if job.activation > RELU6:
            activate(map, unit.pixels, job.activation)
        map += job.map_step[1]


cdef void sweep_rows(real *map, const Lines *lines, const Job *job, fc_sweep *request,
                     Py_ssize_t turn, Py_ssize_t rows) noexcept nogil:
    """Compute rows turn, turn + apart, ... of a map, several at a time; the last ones move back over neighbours."""
    cdef const SweepRun *run
    cdef Py_ssize_t columns = job.map_size[2], lanes = job.kernels.lanes, steps = mask_step(job)
    cdef Py_ssize_t block, row, line, i, k, first, last, dilation = job.axis[1].dilation, products = 0
    cdef Py_ssize_t at_once = min(rows, SWEEP_MAX_ROWS)
    request.map_step = job.apart * columns
    request.store_mask = (<unsigned>1 << min(columns, lanes)) - 1
    request.nontemporal = job.far_maps and columns % lanes == 0 and <size_t>map % (lanes * sizeof(real)) == 0
    for i in range(job.first_run[at_once - 1], job.first_run[at_once]):
        run = job.runs + i
        for k in range(run.count):
            if is_stopped(&products, rows * run.kind.vectors * lanes * job.taps):
                return
            first = run.first + k * run.kind.vectors
            last = first + run.kind.vectors - 1
            request.mask = job.masks + mask_row(job, first) * steps
            request.last_mask = job.masks + mask_row(job, last) * steps
            request.column = max(0, min(first * lanes, columns - lanes))
            request.last = max(0, min(last * lanes, columns - lanes)) - request.column
            block = 0
            while block < rows:
                row = turn + min(block, rows - run.kind.rows) * job.apart
                line = row * job.axis[1].stride
                if dilation > 1:
                    line = line % dilation * lines.apart + line // dilation
                request.image_row = lines.row + line
                request.map = map + row * columns
                run.kind.run(request)
                block += run.kind.rows


cdef Py_ssize_t choose_sweeps(SweepRun *runs, const Job *job, Py_ssize_t rows) noexcept nogil:
    """Cover the vectors of a row by sweeps of up to so many rows and of as many vectors as can be; return the runs."""
    cdef Py_ssize_t count = 0, first = 0, plain
    while first < job.vectors:
        runs[count] = SweepRun(find_sweep(job, rows, first), first, 1)
        if job.plain.first <= first:  # as long as any sweep would fit, the same one is chosen again
            plain = job.plain.last - first - SWEEP_MAX_VECTORS - 1
            runs[count].count += max(0, plain) // runs[count].kind.vectors
        first += runs[count].count * runs[count].kind.vectors
        count += 1
    return count


cdef const fc_sweep_variant *find_sweep(const Job *job, Py_ssize_t rows, Py_ssize_t first) noexcept nogil:
    """Return the sweep of most vectors, from one vector of a row on, for up to so many rows."""
    cdef bint slides = job.axis[1].taps == 1 and job.axis[2].dilation == 1 and job.axis[2].period == 1
    cdef const Axis *axis = &job.axis[1]
    cdef const fc_sweep_variant *best = NULL
    cdef const fc_sweep_variant *kind = job.kernels.sweeps
    while kind.rows:
        if (kind.rows <= rows and first + kind.vectors <= job.vectors and (slides or kind.rows > 1 or kind.masked)
                and kind.stride_x == job.across and (kind.stride_y == 0 or kind.stride_y == axis.period)
                and (kind.kernel == axis.taps == job.axis[2].taps or kind.kernel == 0 and kind.rows <= axis.taps)
                and (best == NULL or kind.vectors > best.vectors) and sweep_fits(kind, job, first)):
            best = kind
        kind += 1
    return best


cdef bint sweep_fits(const fc_sweep_variant *kind, const Job *job, Py_ssize_t first) noexcept nogil:
    """Tell whether all vectors are plain and lie one behind the other, but for the edges of a sweep that has some."""
    cdef Py_ssize_t inner = first, last = first + kind.vectors
    if kind.masked:
        inner, last = first + 1, last - 1
    return inner >= last or job.plain.first <= inner and last <= job.plain.last


cdef Py_ssize_t mask_step(const Job *job) noexcept nogil:
    """Return how many masks a vector of columns has: one for every tap of a row, an even number if taps go in pairs."""
    return job.axis[2].taps + (job.axis[2].taps % 2 if job.across == 2 else 0)


cdef Py_ssize_t mask_row(const Job *job, Py_ssize_t vector) noexcept nogil:
    """Return which row of the masks a vector of columns has: all plain ones share the one after the left edge's."""
    if vector < job.plain.first:
        return vector
    return job.plain.first + max(0, vector - job.plain.last + 1)


cdef Range plain_vectors(const Job *job) noexcept nogil:
    """Return the vectors of a row, but for the last one, all of whose lanes see the image, whatever the tap."""
    cdef const Axis *axis = &job.axis[2]
    cdef Py_ssize_t lanes = job.kernels.lanes, step = lanes * job.across, room
    cdef Range plain = Range(0, job.vectors - 1)
    if job.in_place:
        room = job.size[2] + axis.pad - lanes  # to the first pixel of the last tap's last vector
        room -= (axis.taps - 1) // 2 * 2 + lanes if job.across == 2 else (axis.taps - 1) * axis.dilation
        plain.first = min(ceiling(axis.pad, step), plain.last)
        plain.last = max(plain.first, min(plain.last, room // step + 1 if room >= 0 else 0))
    return plain


cdef void fill_masks(unsigned *masks, const Job *job) noexcept nogil:
    """Note which lanes of the vectors of columns see the image, for every tap of a row.

    With stride 2, an even tap and the next one see every other lane of two vectors, the second one behind the first.
    """
    cdef const Axis *axis = &job.axis[2]
    cdef Py_ssize_t lanes = job.kernels.lanes, first, last, tap, vector = 0, start
    cdef unsigned *row
    while vector < job.vectors:
        row = masks + mask_row(job, vector) * mask_step(job)
        for tap in range(mask_step(job)):
            start = max(0, min(vector * lanes, job.map_size[2] - lanes)) * job.across - axis.pad
            start += (tap_in_order(job, tap) * axis.dilation if job.across == 1
                      else tap - tap % 2 + tap % 2 * lanes)
            first, last = 0, lanes
            if job.in_place:
                first = min(max(0, -start), lanes)
                last = max(min(lanes, job.size[2] - start), first)
            row[tap] = (<unsigned>1 << last) - (<unsigned>1 << first)
        vector = job.plain.last if job.plain.first <= vector < job.plain.last else vector + 1
