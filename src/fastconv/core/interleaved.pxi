# Transposed convolution with pixels in the lanes: the loops over strips, filters and rows. Part of _core.pyx.
#
#     image (C, H, W)
#       -> strip (C, rows, pitch)                     padded copy of the rows that some output rows read
#       -> sums (phases of columns, filters, pixels)  register tiles, a few vectors of a row at a time
#       -> maps (K, H', W')                           the phases of each row interleaved
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, epilogue.pxi, filters.pxi, interleaved_job.pxi.


cdef void interleaved_unit(real *workspace, const InterleavedJob *job, Py_ssize_t index) noexcept nogil:
    """Compute one strip of output rows of the maps of some groups."""
    cdef Py_ssize_t group, block, row_phase, products = 0
    cdef Range groups = nth_part(job.window.groups, job.parts, index % job.parts), rows
    index //= job.parts
    rows = nth_part(ceil_div(job.arrays.map_size[1], job.window.axis[1].stride), job.strips, index % job.strips)
    index //= job.strips
    for group in range(groups.first, groups.last):
        fill_interleaved_strip(workspace, job, index, group, rows)
        for block in range(job.blocks.count):
            for row_phase in range(job.window.axis[1].stride):
                if not sum_row_phase(workspace, job, index, group, block, row_phase, rows, &products):
                    return


cdef void fill_interleaved_strip(real *strip, const InterleavedJob *job, Py_ssize_t n, Py_ssize_t group,
                                 Range rows) noexcept nogil:
    """Copy what some rows of all phases read of an image into a strip (channels, rows, pitch), with zeros around it."""
    cdef const Arrays *arrays = &job.arrays
    cdef Py_ssize_t c, row, y, count = rows.last - rows.first + job.reach[1].last - job.reach[1].first - 1
    cdef Py_ssize_t first_row = rows.first + job.shift[1] + job.reach[1].first
    cdef Py_ssize_t first = job.shift[2] + job.reach[2].first
    cdef Range inside = Range(min(max(0, -first), job.pitch), 0)
    cdef const real *image
    cdef real *to
    inside.last = max(inside.first, min(job.pitch, arrays.image_size[2] - first))
    for c in range(job.window.channels):
        image = <const real *>arrays.images + image_at(arrays, n, group * job.window.channels + c)
        for row in range(count):
            to, y = strip + c * job.channel_step + row * job.pitch, first_row + row
            if 0 <= y < arrays.image_size[1]:
                memset(to, 0, inside.first * sizeof(real))
                memcpy(to + inside.first, image + y * arrays.image_step[3] + first + inside.first,
                       (inside.last - inside.first) * sizeof(real))
                memset(to + inside.last, 0, (job.pitch - inside.last) * sizeof(real))
            else:
                memset(to, 0, job.pitch * sizeof(real))


cdef bint sum_row_phase(real *workspace, const InterleavedJob *job, Py_ssize_t n, Py_ssize_t group, Py_ssize_t block,
                        Py_ssize_t row_phase, Range rows, Py_ssize_t *products) noexcept nogil:
    """Compute the rows of one phase of a strip of the maps of a block of filters; return whether to go on."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *y = &job.window.axis[1]
    cdef Range filters = nth_block(&job.blocks, block)
    cdef Py_ssize_t row, filter = group * job.window.filters + filters.first, count = filters.last - filters.first
    cdef Py_ssize_t row_products
    cdef real *map
    cdef fc_interleaved_row request
    request.weight = <const real *>arrays.weight + interleaved_weights_at(job, group, block)
    request.offset, request.first = job.offset, job.first + row_phase * job.window.axis[2].stride
    request.phases, request.columns = job.window.axis[2].stride, arrays.map_size[2]
    request.chunk, request.sums, request.map_step = job.chunk, workspace + job.sums, arrays.map_step[1]
    request.bias = <const real *>arrays.bias + filter
    request.low, request.high, request.nontemporal = job.epilogue.low, job.epilogue.high, job.nontemporal
    row_products = (count * ceil_div(request.columns, request.phases)
                    * (request.first[request.phases] - request.first[0] + request.phases))
    for row in range(rows.first, min(rows.last, ceil_div(arrays.map_size[1] - row_phase, y.stride))):
        if is_stopped(products, row_products):
            return False
        map = <real *>arrays.maps + map_at(arrays, n, filter, 0, row * y.stride + row_phase)
        request.image, request.map = workspace + (row - rows.first) * job.pitch, map
        job.ukernels.interleaved_row[count](&request)
        finish_runs(map, count, arrays.map_step[1], request.columns, arrays, filter, 1, &job.epilogue)
    return True
