# Convolution by register tiles, one position of the kernel after the other, for kernels that lie mostly in the padding:
# products with zeros beyond the image are left out. Lanes are filters. Part of _core.pyx.
#
#     for a position (i, j, k) of the kernel, and a chunk of its channels:
#         for a block of filters:
#             sums (pixels, K) += weight[k, c, i, j, k] * image[c, o * stride + (i, j, k) * dilation - pad]
#                                 for the outputs o whose pixel lies inside the image
#
# Uses: job.pxi, epilogue.pxi, filters.pxi, tile_job.pxi, tiles.pxi.


cdef void position_unit(real *workspace, const TileJob *job, Py_ssize_t index) noexcept nogil:
    """Compute some filters' maps over one strip of output rows of one image, which is read in place."""
    cdef TileUnit unit = find_tile_unit(job, index, workspace)
    cdef real *maps = <real *>unit.maps
    cdef real *sums = workspace  # of each block (pixels, filters)
    cdef const real *bias = <const real *>job.arrays.bias + unit.group * job.blocks.filters
    cdef Range filters = filters_of(&job.blocks, unit.blocks), taps = Range(0, 0), some
    cdef Py_ssize_t pixel, block, filter, products = 0
    for block in range(unit.blocks.first, unit.blocks.last):
        some = nth_block(&job.blocks, block)
        for pixel in range(unit.pixels):
            memcpy(sums + some.first * unit.pixels + pixel * (some.last - some.first), bias + some.first,
                   (min(some.last, job.blocks.filters) - some.first) * sizeof(real))
    while taps.last < job.window.taps:
        taps = next_chunk(job, taps)
        if is_stopped(&products, job.blocks.filters * (taps.last - taps.first) * unit.strip.pixels):
            return
        for block in range(unit.blocks.first, unit.blocks.last):
            multiply_position(sums, job, &unit, block, taps)
    for block in range(unit.blocks.first, unit.blocks.last):
        store_sums(sums + nth_block(&job.blocks, block).first * unit.pixels, job, &unit, block, Range(0, unit.pixels))
    for filter in range(filters.first, filters.last):
        finish_sums(maps + filter * job.arrays.map_step[1], unit.strip.pixels, &job.arrays,
                    unit.group * job.blocks.filters + filter, &job.epilogue)


cdef void multiply_position(real *sums, const TileJob *job, const TileUnit *unit, Py_ssize_t block,
                            Range taps) noexcept nogil:
    """Add some channels of one position of the kernel to the sums (pixels, filters) of a block."""
    cdef fc_filter_tile request
    cdef const Axis *axis = &job.window.axis[0]
    cdef const Py_ssize_t *image_size = &job.arrays.image_size[0]
    cdef Range filters = nth_block(&job.blocks, block), rows, columns, some
    cdef Py_ssize_t position = taps.first // job.window.channels
    cdef Py_ssize_t vectors = (filters.last - filters.first) // job.ukernels.lanes
    cdef Py_ssize_t i, row, tile, tiles, first = unit.strip.first_row
    cdef const real *input
    columns = outputs_inside(&axis[2], position % axis[2].taps, image_size[2], Range(0, job.arrays.map_size[2]))
    position //= axis[2].taps
    rows = outputs_inside(&axis[1], position % axis[1].taps, image_size[1], Range(first, first + unit.strip.rows))
    if depth_at(&job.window, &job.arrays, unit.strip.depth, position // axis[1].taps) < 0:
        return
    tiles = ceil_div(columns.last - columns.first, job.ukernels.tile_filters)
    request.offset, request.taps = job.offset + taps.first, taps.last - taps.first
    request.weight = <const real *>job.arrays.weight + packed_at(job, unit.group, block, taps)
    request.width = request.sums_step = filters.last - filters.first
    request.bias, request.low, request.high = NULL, -INFINITY, INFINITY
    for row in range(rows.first - first, rows.last - first):
        for tile in range(tiles):
            some = nth_part(columns.last - columns.first, tiles, tile)
            some = Range(columns.first + some.first, columns.first + some.last)
            input = (<const real *>unit.input + row * axis[1].stride * job.arrays.image_step[3]
                     + some.first * axis[2].stride)
            for i in range(some.last - some.first):
                request.pixel[i] = input + i * axis[2].stride
            request.sums = (sums + filters.first * unit.pixels
                            + (row * job.arrays.map_size[2] + some.first) * request.sums_step)
            prefetch_weights(&request, tile, tiles, <real>0)
            job.ukernels.filter_tile[some.last - some.first][vectors](&request)
