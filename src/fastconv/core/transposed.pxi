# Transposed convolution by register tiles: the strip, and the loops over phases, tiles and chunks of taps.
# Part of _core.pyx.
#
#     for a block of filters:
#         for a phase of the rows, and of the columns:
#             for some tiles:                         whose pixels stay in the cache
#                 for a chunk of the phase's taps:    whose weights stay in the cache, added to the chunks before
#                     for a tile: micro-kernel
#         transpose the sums of each row into the maps
#
# Uses: job.pxi, epilogue.pxi, filters.pxi, tiles.pxi, transposed_job.pxi.


cdef void transposed_unit(real *workspace, const TransposedJob *job, Py_ssize_t index) noexcept nogil:
    """Compute some filters' maps over some rows of all phases."""
    cdef TransposedUnit unit = find_transposed_unit(job, index)
    cdef const Axis *axis = &job.window.axis[0]
    cdef real *sums = workspace + job.sums
    cdef Py_ssize_t block, y, x, products = 0
    cdef bint taps_everywhere = (unit.depth_phase >= 0 and axis[1].phases == axis[1].stride
                                 and axis[2].phases == axis[2].stride)
    if unit.depth_phase >= 0:
        fill_transposed_strip(workspace, job, &unit)
    memcpy(workspace + job.bias, <const real *>job.arrays.bias + unit.group * job.blocks.filters,
           job.blocks.filters * sizeof(real))
    for block in range(unit.blocks.first, unit.blocks.last):
        if not taps_everywhere:
            fill_with_bias(sums, workspace + job.bias, job, &unit, block)
        for y in range(axis[1].phases if unit.depth_phase >= 0 else 0):
            for x in range(axis[2].phases):
                if phase_start(&axis[1], y) < phase_count(job, 1) and phase_start(&axis[2], x) < phase_count(job, 2):
                    if multiply_phase(workspace, job, &unit, block, Triple(unit.depth_phase, y, x), &products):
                        return
        store_interleaved(sums, job, &unit, block)


cdef void fill_transposed_strip(real *strip, const TransposedJob *job, const TransposedUnit *unit) noexcept nogil:
    """Copy what a unit reads of an image into a strip (taps of the depth's phase, rows, columns, C)."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[0]
    cdef const real *image = (<const real *>arrays.images
                              + image_at(arrays, unit.n, unit.group * job.window.channels))
    cdef Py_ssize_t tap, row, z, y, x = tap_input(&axis[2], axis[2].taps - 1), pixels = job.row_step // job.pixel_step
    cdef Range inside = Range(min(max(0, -x), pixels), max(0, min(arrays.image_size[2] - x, pixels)))
    for tap in range(ceil_div(axis[0].taps - unit.depth_phase, axis[0].period)):
        z = unit.depth // axis[0].stride + tap_input(&axis[0], unit.depth_phase + tap * axis[0].period)
        for row in range(unit.rows.last - unit.rows.first + transposed_reach(&axis[1])):
            y = unit.rows.first + row + tap_input(&axis[1], axis[1].taps - 1)
            if 0 <= z < arrays.image_size[0] and 0 <= y < arrays.image_size[1] and inside.first < inside.last:
                fill_transposed_row(strip + tap * job.plane_step + row * job.row_step, image + z * arrays.image_step[2]
                                    + y * arrays.image_step[3] + x + inside.first, job, pixels, inside)
            else:
                memset(strip + tap * job.plane_step + row * job.row_step, 0, job.row_step * sizeof(real))


cdef void fill_transposed_row(real *row, const real *pixels, const TransposedJob *job, Py_ssize_t count,
                              Range inside) noexcept nogil:
    """Copy pixels (C, columns) into those of a row's pixels (columns, C) that lie inside the image."""
    memset(row, 0, inside.first * job.pixel_step * sizeof(real))
    job.ukernels.transpose(row + inside.first * job.pixel_step, job.pixel_step, pixels, job.arrays.image_step[1],
                           job.window.channels, inside.last - inside.first)
    memset(row + inside.last * job.pixel_step, 0, (count - inside.last) * job.pixel_step * sizeof(real))


cdef void fill_with_bias(real *sums, const real *bias, const TransposedJob *job, const TransposedUnit *unit,
                         Py_ssize_t block) noexcept nogil:
    """Set all sums of a block to the clipped bias."""
    cdef Range filters = nth_block(&job.blocks, block)
    cdef Py_ssize_t pixel, filter
    cdef Py_ssize_t pixels = (phase_count(job, 1) * (unit.rows.last - unit.rows.first)
                              * phase_count(job, 2) * phase_size(job, 2))
    for pixel in range(pixels):
        for filter in range(min(filters.last, job.blocks.filters) - filters.first):
            sums[pixel * job.width + filter] = clip(bias[filters.first + filter], &job.epilogue)


cdef bint multiply_phase(real *workspace, const TransposedJob *job, const TransposedUnit *unit, Py_ssize_t block,
                         Triple phase, Py_ssize_t *products) noexcept nogil:
    """Sum one phase for a block of filters; return whether to stop instead."""
    cdef fc_filter_tile request
    cdef Range filters = nth_block(&job.blocks, block), tiles, pixels, chunk
    cdef Range taps = taps_of_phase(&job.window, phase)
    cdef const real *weight = packed_block(job, unit.group, block, <real>0)
    cdef real *sums = workspace + job.sums
    cdef Py_ssize_t vectors = (filters.last - filters.first) // job.ukernels.lanes
    cdef Py_ssize_t columns = phase_size(job, 2), outputs = (unit.rows.last - unit.rows.first) * columns
    cdef Py_ssize_t all_tiles = ceil_div(outputs, job.ukernels.tile_filters)
    cdef Py_ssize_t batch, batches = ceil_div(all_tiles, PHASE_TILES), tile
    cdef Py_ssize_t n, chunks = ceil_div(taps.last - taps.first, job.chunk), i, column
    cdef const real *input  # of the next output
    request.width, request.sums_step = filters.last - filters.first, phase_count(job, 2) * job.width
    sums += (phase_start(&job.window.axis[1], phase.y) * outputs * phase_count(job, 2)
             + phase_start(&job.window.axis[2], phase.x)) * job.width
    for batch in range(batches):
        tiles = nth_part(all_tiles, batches, batch)
        if is_stopped(products, request.width * (taps.last - taps.first) * outputs // batches):
            return True
        for n in range(chunks):
            chunk = nth_part(taps.last - taps.first, chunks, n)
            chunk = Range(taps.first + chunk.first, taps.first + chunk.last)
            request.offset, request.taps = job.offset + chunk.first, chunk.last - chunk.first
            request.weight = weight + chunk.first * request.width
            request.bias = workspace + job.bias + filters.first if n == 0 else NULL
            request.low = job.epilogue.low if n == chunks - 1 else -INFINITY
            request.high = job.epilogue.high if n == chunks - 1 else INFINITY
            pixels.last = outputs * tiles.first // all_tiles
            column = pixels.last % columns
            input = workspace + pixels.last // columns * job.row_step + column * job.pixel_step
            for tile in range(tiles.first, tiles.last):
                pixels = Range(pixels.last, outputs * (tile + 1) // all_tiles)
                for i in range(pixels.last - pixels.first):
                    request.pixel[i] = input
                    input += job.pixel_step
                    column += 1
                    if column == columns:
                        input += job.row_step - columns * job.pixel_step
                        column = 0
                request.sums = sums + pixels.first * request.sums_step
                prefetch_weights(&request, tile - tiles.first, tiles.last - tiles.first, <real>0)
                job.ukernels.filter_tile[pixels.last - pixels.first][vectors](&request)
    return False


cdef void store_interleaved(const real *sums, const TransposedJob *job, const TransposedUnit *unit,
                            Py_ssize_t block) noexcept nogil:
    """Transpose the sums of a block of filters into their maps, and apply what is left of the epilogue."""
    cdef Range filters = filters_of(&job.blocks, Range(block, block + 1))
    cdef const Arrays *arrays = &job.arrays
    cdef Py_ssize_t stride = job.window.axis[1].stride, remainder, row
    cdef Py_ssize_t first = unit.rows.first * stride, last = min(unit.rows.last * stride, arrays.map_size[1])
    cdef real *maps = <real *>arrays.maps + map_at(arrays, unit.n, unit.group * job.window.filters + filters.first,
                                                   unit.depth, first)
    for remainder in range(phase_count(job, 1)):
        for row in range(unit.rows.last - unit.rows.first):
            if row * stride + remainder < last - first:
                job.ukernels.transpose(maps + (row * stride + remainder) * arrays.map_size[2], arrays.map_step[1], sums,
                                       job.width, arrays.map_size[2], filters.last - filters.first)
            sums += phase_count(job, 2) * phase_size(job, 2) * job.width
    finish_runs(maps, filters.last - filters.first, arrays.map_step[1],
                (last - first) * arrays.map_size[2], arrays, unit.group * job.window.filters + filters.first, 1,
                &job.epilogue)
