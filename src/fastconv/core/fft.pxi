# Convolution by Fourier transforms: units, and from spectra to maps; fft_job.pxi tells how. Part of _core.pyx.
#
#     for some pairs of blocks, whose spectra stay in the cache:
#         for some filters:
#             for each depth of outputs:
#                 for every vector of rows of the spectrum:
#                     micro-kernel fft_multiply: sum over channels and depths of the kernel
#                     transform back along the columns, turn those that are outputs
#                 transform them back along the rows
#                 write the outputs of both blocks, with the epilogue
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, epilogue.pxi, blank.pxi, fft_job.pxi, fft_input.pxi.


cdef enum:
    POINT_PRODUCTS = 60  # of direct summation that take as long as a point of a transform, about
    NOISE_BITS = 48      # sums of double precision are less certain than their largest times 2 ** -48


cdef void fft_unit(real *workspace, const FftJob *job, Py_ssize_t index) noexcept nogil:
    """Compute some maps of some pairs of blocks at some depths."""
    cdef FftUnit unit = find_fft_unit(job, index)
    cdef FftBlock[2] blocks
    cdef Py_ssize_t pair, filter, depth, depths = unit.depths.last - unit.depths.first, products = 0
    cdef unsigned char *mask
    cdef unsigned char *first_mask = masks_of(workspace, job)
    cdef Brightness found
    cdef int part
    cdef bint any_finite = False
    for pair in range(unit.pairs.first, unit.pairs.last):
        if unit.fate[pair] != job.wanted:
            continue
        for part in range(2):
            blocks[part] = find_fft_block(job, pair, part)
        transform_pair(workspace, job, &unit, pair, blocks)
        found = measure_pair(workspace, job, &unit, blocks)
        if fate_of(&found, job) > job.wanted:
            unit.fate[pair] = fate_of(&found, job)
            continue
        mask = first_mask + (pair - unit.pairs.first) * 2 * job.outputs[0] * mask_bytes(job)
        for part in range(2):
            mask[0] = 2  # no output is blank
            if found.has_zeros or not job.fields_hold_cells:
                if not find_blank_outputs(mask, workspace, job, &unit, &blocks[part]):
                    mask[0] = 2
            mask += job.outputs[0] * mask_bytes(job)
        if is_stopped(&products, job.points * job.slots * job.window.channels * POINT_PRODUCTS):
            return
    for filter in range(unit.filters.first, unit.filters.last):
        for pair in range(unit.pairs.first, unit.pairs.last):
            for depth in range(depths):
                if unit.fate[pair] != job.wanted:
                    break
                transform_back(workspace, job, &unit, pair, filter, depth)
                mask = first_mask + (pair - unit.pairs.first) * 2 * job.outputs[0] * mask_bytes(job)
                for part in range(2):
                    blocks[part] = find_fft_block(job, pair, part)
                    if is_empty(&blocks[part]):
                        continue
                    if write_block(workspace, job, &unit, &blocks[part], part, filter, depth,
                                   NULL if mask[0] == 2 else mask + depth * mask_bytes(job)):
                        unit.fate[pair] = DIRECTLY
                        break
                    mask += job.outputs[0] * mask_bytes(job)
            if is_stopped(&products, job.points * depths * POINT_PRODUCTS):
                return


cdef inline unsigned char *masks_of(real *workspace, const FftJob *job) noexcept nogil:
    """Return where the masks of all pairs lie, (pairs, 2, depths, rows, columns)."""
    return (<unsigned char *>(<int *>(workspace + job.at.blank) + job.outputs[2]) + WORD + mask_bytes(job)
            + (job.outputs[2] - 1) * job.window.axis[2].stride + job.window.axis[2].span)


cdef void transform_back(real *workspace, const FftJob *job, const FftUnit *unit, Py_ssize_t pair, Py_ssize_t filter,
                         Py_ssize_t depth) noexcept nogil:
    """Sum the products of a pair's spectra and a filter's for one depth; to columns of points that are outputs."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, point = 2 * lanes, rows = job.y.length, columns = job.x.length
    cdef Py_ssize_t channels = job.window.channels, taps = job.window.axis[0].taps, terms = 0, c, tap, row, at
    cdef Py_ssize_t needed = columns, kernels = channels * taps
    cdef const void **x = <const void **>(workspace + job.at.terms)
    cdef const void **w = x + kernels
    cdef real *points = workspace + job.at.points
    cdef real *sums = workspace + job.at.sums
    cdef const real *fold = <const real *>job.fold
    cdef const void *one
    cdef const real *spectra = <const real *>job.spectra + kernels * spectrum_numbers(job) * (
        (unit.group - job.groups.first) * (job.filters.last - job.filters.first) + filter)
    for tap in range(taps):
        if depth_at(&job.window, &job.arrays, unit.depths.first + depth, tap) < 0:
            continue
        for c in range(channels):
            x[terms] = (workspace + slot_place(job, pair - unit.pairs.first, slot_of_tap(job, depth, tap))
                        + c * spectrum_numbers(job))
            w[terms] = spectra + (c * taps + tap) * spectrum_numbers(job)
            terms += 1
    if not job.is_line:
        needed = min(columns, ceil_div((job.outputs[2] - 1) * job.window.axis[2].stride + 1, lanes) * lanes)
    for row in range(rows // lanes):
        job.ukernels.fft_multiply(points, x, w, terms, row * columns, columns, False)
        job.ukernels.fft_inverse(&job.x, points)
        job.ukernels.fft_turn(sums + row * lanes * point, rows, points, lanes, needed // lanes)
    for at in range(needed // lanes):
        if job.is_line:
            one = sums
            job.ukernels.fft_multiply(sums, &one, <const void **>&fold, 1, 0, rows, True)
            fold += rows * point
        job.ukernels.fft_inverse(&job.y, sums)
        sums += rows * point


cdef bint write_block(real *workspace, const FftJob *job, const FftUnit *unit, const FftBlock *block, int part,
                      Py_ssize_t filter, Py_ssize_t depth, const unsigned char *mask) noexcept nogil:
    """Write the outputs of one block of a pair, with the epilogue; return whether any sum is not finite."""
    cdef const Arrays *arrays = &job.arrays
    cdef Py_ssize_t k = unit.group * job.window.filters + job.filters.first + filter
    cdef Py_ssize_t place = (map_at(arrays, unit.n, k, unit.depths.first + depth, block.rows.first)
                             + block.columns.first)
    if real is double:
        if job.narrows:
            return write_outputs(<float *>arrays.maps + place, workspace, job, block, part, k, mask)
    return write_outputs(<real *>arrays.maps + place, workspace, job, block, part, k, mask)


ctypedef fused stored:
    float
    double


cdef bint write_outputs(stored *map, real *workspace, const FftJob *job, const FftBlock *block, int part, Py_ssize_t k,
                        const unsigned char *mask) noexcept nogil:
    cdef const Arrays *arrays = &job.arrays
    cdef Py_ssize_t rows = block.rows.last - block.rows.first, columns = block.columns.last - block.columns.first
    cdef Py_ssize_t length = job.x.length, step = arrays.map_size[2], stride = job.window.axis[2].stride, row, o
    cdef real *sums = workspace + job.at.sums + part * job.ukernels.lanes
    cdef real *plane = workspace + job.at.plane
    cdef stored bias = (<const stored *>arrays.bias)[k], blank = clip(bias, &job.epilogue)
    cdef stored value
    cdef fc_fft_store store
    cdef int nonfinite
    cdef real largest = 0, noise = 0
    store.row_step = 1 if job.is_line else job.window.axis[1].stride
    store.column_step = job.y.length
    store.scale, store.bias, store.low, store.high = 1.0 / job.points, bias, job.epilogue.low, job.epilogue.high
    if stride == 1 and sizeof(stored) == sizeof(real):
        nonfinite = store_rows(<real *>map, step, &store, sums, job, rows, columns)
    else:
        store.bias, store.low, store.high = 0, -INFINITY, INFINITY
        nonfinite = store_rows(plane, block_pitch(job), &store, sums, job, rows, (columns - 1) * stride + 1)
        if sizeof(stored) < sizeof(real):
            for row in range(rows):
                for o in range(columns):
                    largest = max(largest, fabs(plane[row * block_pitch(job) + o * stride]))
            noise = largest / (<real>(<int64_t>1 << NOISE_BITS))
        for row in range(rows):
            for o in range(columns):
                if fabs(plane[o * stride]) < noise:
                    value = 0
                else:
                    value = <stored>plane[o * stride]
                    nonfinite |= not isfinite(value)
                map[row * step + o] = clip(value + bias, &job.epilogue)
            plane += block_pitch(job)
    if nonfinite:
        return True
    for row in range(rows):
        if mask != NULL:
            for o in range(columns):
                if mask[o]:
                    map[o] = blank
            mask += columns
        finish_runs(map, 1, 0, columns, arrays, k, 0, &job.epilogue)
        map += step
    return False


cdef inline Py_ssize_t block_pitch(const FftJob *job) noexcept nogil:
    """Return the numbers from one row of a block's outputs to the next, where they are laid aside."""
    return job.points if job.is_line else job.x.length


cdef int store_rows(real *to, Py_ssize_t step, const fc_fft_store *store, const real *sums, const FftJob *job,
                    Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """Store rows of outputs; a line is unfolded. Return whether any is not finite."""
    cdef Py_ssize_t length = job.x.length, whole = columns // length
    cdef int nonfinite
    if not job.is_line:
        return job.ukernels.fft_store(store, to, step, sums, rows, columns)
    nonfinite = job.ukernels.fft_store(store, to, length, sums, whole, length)
    if whole * length < columns:
        nonfinite |= job.ukernels.fft_store(store, to + whole * length, length, sums + whole * 2 * job.ukernels.lanes,
                                            1, columns - whole * length)
    return nonfinite
