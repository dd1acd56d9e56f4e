# What sweep.pxi looks up for arrays of one size: which micro-kernels cover the rows of a map, and which of their lanes
# read the image. Part of _core.pyx.
#
# Where an image is read in place, some taps of the first and the last vectors of a row lie beyond it: variants with
# masks compute those. Masks leave out zeros; where the padding repeats pixels, these vectors read short padded rows,
# borders, and their masks are full. The vectors between them (`inner`) read nothing but the image.
#
# Uses: rows.pxi, layout.pxi, sweep_job.pxi.


cdef Memory make_sweep_tables(SweepJob *job):
    """Make the tables of a job that knows its arrays; they live as long as the memory that is returned."""
    cdef SweepTables *tables = &job.tables
    cdef Py_ssize_t rows_at_once = min(job.arrays.map_size[1], SWEEP_MAX_ROWS), taps = job.window.axis[2].taps
    cdef Py_ssize_t edges, runs, masks, rows
    cdef Memory memory
    tables.vectors = ceil_div(job.arrays.map_size[2], job.ukernels.lanes)
    tables.inner = inner_vectors(job)
    if job.borders:
        tables.left = padded_border(job, 0, tables.inner.first)
        tables.right = padded_border(job, tables.inner.last, tables.vectors)
    edges = tables.vectors - (tables.inner.last - tables.inner.first)
    runs, masks = rows_at_once * (edges + 2 * SWEEP_MAX_VECTORS + 2), (edges + 1) * mask_step(job)
    memory = take_memory(runs * sizeof(SweepRun) + taps * sizeof(Py_ssize_t) + masks * sizeof(unsigned),
                         job.window.taps)
    tables.runs = <SweepRun *>memory.start
    tables.offset = <Py_ssize_t *>(tables.runs + runs)
    tables.masks = <unsigned *>(tables.offset + taps)
    note_taps_in_row(<Py_ssize_t *>tables.offset, job)
    fill_masks(<unsigned *>tables.masks, job)
    tables.first_run[0] = 0
    for rows in range(rows_at_once):
        runs = tables.first_run[rows]
        tables.first_run[rows + 1] = runs + choose_variants(<SweepRun *>tables.runs + runs, job, rows + 1)
    return memory


cdef inline Py_ssize_t ordered_tap(const SweepJob *job, Py_ssize_t v) noexcept nogil:
    """Return which tap of a row comes v-th."""
    return fc_paired_tap(job.window.axis[2].taps, v) if job.paired else v


cdef void note_taps_in_row(Py_ssize_t *offset, const SweepJob *job) noexcept nogil:
    """Note the numbers from a row's first pixel to what each tap of the row reads from output 0."""
    cdef const Axis *axis = &job.window.axis[2]
    cdef Py_ssize_t tap, v
    for v in range(axis.taps):
        tap = ordered_tap(job, v)
        offset[v] = (tap * axis.dilation - axis.pad if job.in_place
                     else tap % axis.period * job.pitch + index_in_phase(axis, tap))


cdef Py_ssize_t choose_variants(SweepRun *runs, const SweepJob *job, Py_ssize_t rows) noexcept nogil:
    """Cover the vectors of a row by the widest micro-kernels of up to so many rows; return the number of runs."""
    cdef const SweepTables *tables = &job.tables
    cdef Py_ssize_t count = 0, first = 0, others
    while first < tables.vectors:
        runs[count] = SweepRun(find_variant(job, rows, first), first, 1)
        if tables.inner.first <= first:  # far from the right edge, the next ones are the same
            others = tables.inner.last - first - SWEEP_MAX_VECTORS - 1
            runs[count].count += max(0, others) // runs[count].variant.vectors
        first += runs[count].count * runs[count].variant.vectors
        count += 1
    return count


cdef const fc_sweep_variant *find_variant(const SweepJob *job, Py_ssize_t rows, Py_ssize_t first) noexcept nogil:
    """Return the variant of most vectors, from one vector of a row on, for up to so many rows."""
    cdef const Axis *y = &job.window.axis[1]
    cdef const Axis *x = &job.window.axis[2]
    cdef bint slides = y.taps == 1 and x.dilation == 1 and x.period == 1  # taps read pixels side by side
    cdef const fc_sweep_variant *best = NULL
    cdef const fc_sweep_variant *variant = job.ukernels.sweeps
    while variant.rows:
        if (variant.rows <= rows and first + variant.vectors <= job.tables.vectors
                and (slides or variant.rows > 1 or variant.masked)
                and variant.stride_x == job.stride_x and (variant.stride_y == 0 or variant.stride_y == y.period)
                and (variant.kernel == y.taps == x.taps or variant.kernel == 0 and variant.rows <= y.taps)
                and (best == NULL or variant.vectors > best.vectors) and variant_fits(variant, job, first)):
            best = variant
        variant += 1
    return best


cdef bint variant_fits(const fc_sweep_variant *variant, const SweepJob *job, Py_ssize_t first) noexcept nogil:
    """Return whether all vectors, but for the first and the last one of a variant with masks, are inner ones.

    With borders, all of them read the same rows: the image, or the border on one side.
    """
    cdef Py_ssize_t inner = first, last = first + variant.vectors
    if job.borders and (last <= job.tables.inner.first or job.tables.inner.last <= first):
        return variant.masked
    if variant.masked and not job.borders:
        inner, last = first + 1, last - 1
    return inner >= last or job.tables.inner.first <= inner and last <= job.tables.inner.last


cdef inline Py_ssize_t mask_step(const SweepJob *job) noexcept nogil:
    """Return how many masks a vector has: one for every tap of a row, rounded up to whole pairs with stride 2."""
    return job.window.axis[2].taps + (job.window.axis[2].taps % 2 if job.stride_x == 2 else 0)


cdef inline Py_ssize_t mask_row(const SweepJob *job, Py_ssize_t vector) noexcept nogil:
    """Return which row of the masks a vector has: all inner ones share the row behind the left edge's."""
    if vector < job.tables.inner.first:
        return vector
    return job.tables.inner.first + max(0, vector - job.tables.inner.last + 1)


cdef Range inner_vectors(const SweepJob *job) noexcept nogil:
    """Return the vectors all of whose lanes read the image through every tap; never the last one of a row."""
    cdef const Axis *axis = &job.window.axis[2]
    cdef Py_ssize_t lanes = job.ukernels.lanes, step = lanes * job.stride_x, room
    cdef Range inner = Range(0, job.tables.vectors - 1)
    if job.in_place:
        room = job.arrays.image_size[2] + axis.pad - lanes  # to the first pixel of the last tap's last vector
        room -= (axis.taps - 1) // 2 * 2 + lanes if job.stride_x == 2 else (axis.taps - 1) * axis.dilation
        inner.first = min(ceil_div(axis.pad, step), inner.last)
        inner.last = max(inner.first, min(inner.last, room // step + 1 if room >= 0 else 0))
    return inner


cdef inline Py_ssize_t vector_column(const SweepJob *job, Py_ssize_t vector) noexcept nogil:
    """Return the column at which a vector of a row of a map begins: with stride 1, the last one moves back."""
    cdef Py_ssize_t column = vector * job.ukernels.lanes
    return column if job.stride_x == 2 else max(0, min(column, job.arrays.map_size[2] - job.ukernels.lanes))


cdef PaddedRow padded_border(const SweepJob *job, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    """Return the padded row that some vectors read, the first or the last ones of a row."""
    cdef PaddedRow row
    cdef Py_ssize_t columns = job.ukernels.lanes
    row.ukernels, row.axis, row.padding_mode = job.ukernels, make_axis(1, 1, 1), job.window.padding_mode
    row.columns, row.source_step = job.arrays.image_size[2], job.arrays.image_step[3]
    row.axis.pad = job.window.axis[2].pad - vector_column(job, first) * job.stride_x
    columns += vector_column(job, last - 1) - vector_column(job, first)
    row.pitch = columns * job.stride_x + job.window.axis[2].span if first < last else 0
    return row


cdef void fill_masks(unsigned *masks, const SweepJob *job) noexcept nogil:
    """Note which lanes of the vectors read the image through every tap of a row.

    With stride 2, an even tap and the next one read the even and the odd pixels of two vectors, one behind the other.
    """
    cdef const Axis *axis = &job.window.axis[2]
    cdef Py_ssize_t lanes = job.ukernels.lanes, first, last, tap, vector = 0, start
    cdef Range inner = job.tables.inner
    cdef unsigned *row
    while vector < job.tables.vectors:
        row = masks + mask_row(job, vector) * mask_step(job)
        for tap in range(mask_step(job)):
            start = vector_column(job, vector) * job.stride_x - axis.pad
            start += (ordered_tap(job, tap) * axis.dilation if job.stride_x == 1
                      else tap - tap % 2 + tap % 2 * lanes)
            first, last = 0, lanes
            if job.in_place and not job.borders:
                first = min(max(0, -start), lanes)
                last = max(min(lanes, job.arrays.image_size[2] - start), first)
            row[tap] = (<unsigned>1 << last) - (<unsigned>1 << first)
        vector = inner.last if inner.first <= vector < inner.last else vector + 1
