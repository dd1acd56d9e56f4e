# The gradient of a filter bank as a GEMM whose long side is pixels, in register tiles of filters. Part of _core.pyx.
#
#     for a chunk of pixels:                      whose products are summed by themselves
#         for some blocks of filters:
#             transpose their maps' gradient into panels (pixels, filters), which stay in the cache
#             for some weights (c, t):            as many as a register tile has rows
#                 for one of these blocks:
#                     micro-kernel fc_filter_tile, whose taps are pixels: what (c, t) reads is broadcast in place
#             after the last chunk, transpose the sums (weights, filters) into the bank's gradient
#
# Kernels of one tap, without stride or padding, may change sides: lanes are channels then, and filters are broadcast.
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, filters.pxi, weight_gradient_job.pxi.


cdef enum:
    BATCH_PANELS = 4  # blocks whose panels are multiplied by all rows in turn


cdef struct WeightDirectJob:
    GradientJob gradient
    bint by_channels            # lanes are channels, and filters are broadcast
    FilterBlocks blocks         # of what is in the lanes
    Py_ssize_t rows, most_rows  # of a group that are broadcast, weights of a filter or filters; of a unit, at most
    Py_ssize_t least_parts      # that rows are cut into, for strips and sums to fit the workspace
    Py_ssize_t row_parts, block_parts  # that the rows and the blocks of a group are cut into
    Py_ssize_t taps             # rows that read the same channel: 1 if filters are broadcast
    Py_ssize_t channels         # of a strip, at most
    Py_ssize_t row_step         # from what a row reads to the next one of taps, or the channel's, or the filter's
    const Py_ssize_t *pixel_offset  # from what a row reads for the first pixel of a chunk to the others (pixels,)
    Py_ssize_t pixels           # of a chunk, at most; in the workspace, panels have room for as many
    Py_ssize_t panels, strip, sums  # places in the workspace, in numbers


cdef struct WeightDirectUnit:
    Py_ssize_t group
    Range rows, blocks


cdef WeightDirectUnit find_weight_unit(const WeightDirectJob *job, Py_ssize_t index) noexcept nogil:
    """Return a unit: some rows times some blocks of a group; the rows are those of whole channels, if parts are few."""
    cdef WeightDirectUnit unit
    cdef Py_ssize_t step = job.taps if job.row_parts <= job.rows // job.taps else 1
    unit.blocks = nth_part(job.blocks.count, job.block_parts, index % job.block_parts)
    index //= job.block_parts
    unit.rows = nth_part(job.rows // step, job.row_parts, index % job.row_parts)
    unit.rows = Range(unit.rows.first * step, unit.rows.last * step)
    unit.group = index // job.row_parts
    return unit


cdef void weight_direct_unit(real *workspace, const WeightDirectJob *job, Py_ssize_t index) noexcept nogil:
    """Compute some weights of some filters of a group."""
    cdef const GradientJob *gradient = &job.gradient
    cdef WeightDirectUnit unit = find_weight_unit(job, index)
    cdef Py_ssize_t channel = unit.group * gradient.window.channels + unit.rows.first // job.taps
    cdef Py_ssize_t n, batch, batches = ceil_div(unit.blocks.last - unit.blocks.first, BATCH_PANELS), products = 0
    cdef real *strip = workspace + job.strip
    cdef Chunk chunk
    cdef Range blocks
    memset(workspace, 0, job.panels * sizeof(real))  # what the sums of the first chunk begin with
    for n in range(gradient.chunks.count):
        chunk = nth_chunk(&gradient.chunks, n)
        if not gradient.in_place:
            fill_chunk_strip(strip, gradient, &chunk, Range(
                channel, channel + 1 + (unit.rows.last - 1) // job.taps - unit.rows.first // job.taps))
        for batch in range(batches):
            blocks = nth_part(unit.blocks.last - unit.blocks.first, batches, batch)
            blocks = Range(unit.blocks.first + blocks.first, unit.blocks.first + blocks.last)
            fill_lanes_panels(workspace + job.panels, job, &chunk, unit.group, blocks)
            if not multiply_rows_by_panels(workspace, job, &unit, &chunk, blocks, n == 0, &products):
                return
            if n == gradient.chunks.count - 1:
                store_weights(workspace, job, &unit, blocks)


cdef inline Py_ssize_t panel_at(const WeightDirectJob *job, Range blocks, Py_ssize_t block) noexcept nogil:
    """Return the place in the workspace of the panel of one of some blocks."""
    return job.panels + (nth_block(&job.blocks, block).first - nth_block(&job.blocks, blocks.first).first) * job.pixels


cdef void fill_lanes_panels(real *panel, const WeightDirectJob *job, const Chunk *chunk, Py_ssize_t group,
                            Range blocks) noexcept nogil:
    """Transpose what is in the lanes into panels (pixels, lanes), with zeros in those that fill up the last vector."""
    cdef const GradientJob *gradient = &job.gradient
    cdef Py_ssize_t n, depth, block, width, count, at
    cdef Py_ssize_t pixels = chunk.some[2] * chunk.some[3], step = gradient.arrays.map_step[1]
    cdef const real *side = <const real *>gradient.arrays.maps
    cdef real *to
    cdef Range lanes
    if job.by_channels:
        side, step = <const real *>gradient.arrays.images, gradient.arrays.image_step[1]
    for block in range(blocks.first, blocks.last):
        lanes = nth_block(&job.blocks, block)
        width, count = lanes.last - lanes.first, min(lanes.last, job.blocks.filters) - lanes.first
        to = panel
        if count < width:
            memset(to, 0, chunk.pixels * width * sizeof(real))
        for n in range(chunk.some[0]):
            for depth in range(chunk.some[1]):
                if job.by_channels:
                    at = chunk.first[3] + image_at(&gradient.arrays, chunk.first[0] + n,
                                                   group * gradient.window.channels + lanes.first)
                else:
                    at = chunk_maps_at(gradient, chunk, group * gradient.window.filters + lanes.first, n, depth)
                gradient.ukernels.transpose(to, width, side + at, step, count, pixels)
                to += pixels * width
        panel += job.pixels * width


cdef bint multiply_rows_by_panels(real *workspace, const WeightDirectJob *job, const WeightDirectUnit *unit,
                                  const Chunk *chunk, Range blocks, bint first, Py_ssize_t *products) noexcept nogil:
    """Add the products of a chunk to the sums (rows, lanes) of some blocks; return False if the unit is to stop."""
    cdef const GradientJob *gradient = &job.gradient
    cdef Py_ssize_t count = unit.rows.last - unit.rows.first, tiles = ceil_div(count, gradient.ukernels.tile_filters)
    cdef Py_ssize_t first_channel = unit.rows.first // job.taps, tile, block, i, row
    cdef const real *input
    cdef const real *next_row
    cdef fc_filter_tile request
    cdef Range some, lanes
    if job.by_channels:
        input = (<const real *>gradient.arrays.maps
                 + chunk_maps_at(gradient, chunk, unit.group * gradient.window.filters + first_channel, 0, 0))
    else:
        input = chunk_input(workspace + job.strip, gradient, chunk,
                            unit.group * gradient.window.channels + first_channel)
    request.offset, request.taps = job.pixel_offset, chunk.pixels
    request.bias, request.prefetch_step = workspace if first else NULL, 1
    request.low, request.high = -INFINITY, INFINITY
    for tile in range(tiles):
        some = nth_part(count, tiles, tile)
        if is_stopped(products, (some.last - some.first) * (blocks.last - blocks.first)
                      * FILTER_TILE_VECTORS * gradient.ukernels.lanes * chunk.pixels):
            return False
        for i in range(some.last - some.first):
            row = unit.rows.first + some.first + i
            request.pixel[i] = (input + (row // job.taps - first_channel) * job.row_step
                                + gradient.tap_offset[row % job.taps])
        for block in range(blocks.first, blocks.last):
            lanes = nth_block(&job.blocks, block)
            request.width = request.sums_step = lanes.last - lanes.first
            request.weight = workspace + panel_at(job, blocks, block)
            request.sums = workspace + sums_at(job, unit, blocks, block) + some.first * request.sums_step
            # A row of the next tile is prefetched with each block.
            next_row = <const real *>request.pixel[min(block - blocks.first, some.last - some.first - 1)]
            request.prefetch = next_row + (some.last - some.first) * job.row_step
            if job.by_channels and lanes.last <= job.blocks.filters:
                request.sums_step = gradient.window.taps
                request.sums = weights_at(job, unit, lanes, <real>0) + some.first * request.sums_step
            gradient.ukernels.filter_tile[some.last - some.first][request.width // gradient.ukernels.lanes](&request)
    return True


cdef inline Py_ssize_t sums_at(const WeightDirectJob *job, const WeightDirectUnit *unit, Range blocks,
                               Py_ssize_t block) noexcept nogil:
    """Return the place in the workspace of the sums of a block; of a single chunk, those of some blocks are kept."""
    cdef Py_ssize_t first = unit.blocks.first if job.gradient.chunks.count > 1 else blocks.first
    return job.sums + ((nth_block(&job.blocks, block).first - nth_block(&job.blocks, first).first)
                       * (unit.rows.last - unit.rows.first))


cdef inline real *weights_at(const WeightDirectJob *job, const WeightDirectUnit *unit, Range lanes,
                             real _) noexcept nogil:
    """Return where a unit's first row and some lanes begin in the bank's gradient (K, C / groups * taps)."""
    cdef const Window *window = &job.gradient.window
    cdef Py_ssize_t filter = unit.rows.first if job.by_channels else lanes.first
    cdef Py_ssize_t weight = lanes.first if job.by_channels else unit.rows.first
    return <real *>job.gradient.arrays.weight + (unit.group * window.filters + filter) * window.taps + weight


cdef void store_weights(const real *workspace, const WeightDirectJob *job, const WeightDirectUnit *unit,
                        Range blocks) noexcept nogil:
    """Store the sums (rows, lanes) of some blocks in the bank's gradient, unless they are there."""
    cdef Py_ssize_t row, block, width, count, taps = job.gradient.window.taps, rows = unit.rows.last - unit.rows.first
    cdef const real *sums
    cdef real *weight
    cdef Range lanes
    for block in range(blocks.first, blocks.last):
        lanes = nth_block(&job.blocks, block)
        width, count = lanes.last - lanes.first, min(lanes.last, job.blocks.filters) - lanes.first
        sums, weight = workspace + sums_at(job, unit, blocks, block), weights_at(job, unit, lanes, <real>0)
        if not job.by_channels:
            job.gradient.ukernels.transpose(weight, taps, sums, width, rows, count)
        elif count < width:
            for row in range(rows):
                memcpy(weight + row * taps, sums + row * width, count * sizeof(real))
