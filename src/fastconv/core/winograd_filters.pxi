# Winograd convolution: filters transformed, G g G^T, and laid out for the products with tiles. Part of _core.pyx.
#
# Uses: filters.pxi, winograd_job.pxi.


cdef struct FilterPlace:
    # Where a vector of filters, of one virtual channel, goes.
    Py_ssize_t group
    Py_ssize_t block, width  # the block's first filter in the group, and its filters
    Py_ssize_t filter        # in the block
    Py_ssize_t channel


cdef void transform_filters(real *transformed, const real *weight, const WinogradJob *job, real *workspace,
                            Range filters) noexcept nogil:
    """Transform filters (K, virtual channels, taps) of a piece of the bank, `lanes` filters and channels at a time."""
    cdef const FilterBlocks *blocks = &job.blocks
    cdef Py_ssize_t lanes = job.ukernels.lanes, kernel = job.y.taps * job.x.taps, taps = job.channels * kernel
    cdef real *kernels = workspace + lanes * lanes  # (channels, kh, kw, filters)
    cdef real *between = kernels + (lanes * kernel + lanes) * lanes
    cdef Py_ssize_t block, vector, first, part, c, channels, i
    cdef FilterPlace place
    cdef Range some, here
    while filters.first < filters.last:
        place.group = filters.first // blocks.filters
        some = Range(filters.first % blocks.filters, min(filters.last - place.group * blocks.filters, blocks.filters))
        for block in range(blocks.count):
            here = nth_block(blocks, block)
            place.block, place.width = here.first, here.last - here.first
            for vector in range(place.width // lanes):
                first = here.first + vector * lanes
                if not some.first <= first < some.last:
                    continue
                place.filter = first - here.first
                for part in range(ceil_div(job.channels, lanes)):
                    c = part * lanes
                    channels = min(lanes, job.channels - c)
                    job.ukernels.gather(kernels, weight + (first - some.first) * taps + c * kernel, taps,
                                        min(lanes, blocks.filters - first), channels * kernel, c * kernel,
                                        taps - c * kernel)
                    for i in range(channels):
                        place.channel = c + i
                        transform_filter(transformed, kernels + i * kernel * lanes, between, job, &place)
        weight += (some.last - some.first) * taps
        filters.first += some.last - some.first


cdef void transform_filter(real *transformed, const real *kernel, real *between, const WinogradJob *job,
                           const FilterPlace *place) noexcept nogil:
    """Transform kernels (kh, kw, lanes) of one channel.

    The filters of a block go to (row of G for y, row of G for x, channel, filter); where lanes are tiles, those of a
    vector go to (row of G for x, channel, row of G for y, lane).
    """
    cdef fc_transform request
    cdef Py_ssize_t lanes = job.ukernels.lanes, rows = job.y.taps, columns = job.x.taps, i
    transformed += (place.group * transformed_numbers(job)
                    + place.block * job.channels * job.y.rows * job.x.rows)
    request.matrix, request.runs, request.run_step = job.y.G, columns, lanes
    request.to, request.to_run_step, request.to_step = between, lanes, columns * lanes
    for i in range(rows):
        request.source[i] = kernel + i * columns * lanes
    job.ukernels.transform_filter(&request, job.y.rows, rows)
    request.matrix, request.runs, request.run_step = job.x.G, job.y.rows, columns * lanes
    if job.tiles_in_lanes:
        request.to = (transformed + place.filter * job.channels * job.y.rows * job.x.rows
                      + place.channel * job.y.rows * lanes)
        request.to_step, request.to_run_step = job.channels * job.y.rows * lanes, lanes
    else:
        request.to = transformed + place.channel * place.width + place.filter
        request.to_step, request.to_run_step = job.channels * place.width, job.x.rows * job.channels * place.width
    for i in range(columns):
        request.source[i] = between + i * lanes
    job.ukernels.transform_filter(&request, job.x.rows, columns)
