# Winograd convolution of few channels: lanes are tiles, a row of tiles at a time. Part of _core.pyx.
#
#     lines of the image -> strip (channels, lines, pixels of a tile, tiles)   deinterleaved, so that lanes are tiles
#       -> between (positions of rows, pixels of a tile, tiles)                transformed along the columns
#       -> tiles (vectors of tiles, positions of columns, channels, positions of rows, lanes)    and along the rows
#       -> sums (filters, outputs of columns, positions of rows, lanes)        GEMM and inverse along the columns, in
#       -> maps (K, D', H', W')                                                registers; then inverse along the rows
#
# Uses: job.pxi, epilogue.pxi, rows.pxi, filters.pxi, winograd_job.pxi, winograd_repair.pxi.


cdef void winograd_few_unit(real *workspace, const WinogradJob *job, Py_ssize_t index) noexcept nogil:
    """Compute some filters' maps over one block of tiles."""
    cdef Block block = find_block(job, index)
    cdef Py_ssize_t row_step = job.y.tile_step * job.y.part_step, line = block.rows.first * row_step, row, b
    cdef PaddedRow shape = tile_row_shape(job, &block)
    for row in range(block.rows.first, block.rows.last):
        while line < row * row_step + job.few.lines:
            deinterleave_line(workspace + job.at.strip + line % job.few.lines * job.few.strip_step, job, &block,
                              &shape, line)
            line += 1
        transform_tile_row(workspace, job, &block, row)
        for b in range(block.blocks.first, block.blocks.last):
            multiply_tile_row(workspace, job, &block, nth_block(&job.blocks, b), row)
    clear_blanks(workspace, job, &block)


cdef PaddedRow tile_row_shape(const WinogradJob *job, const Block *block) noexcept nogil:
    """Return how a row of the image is padded: every pixel of a tile has a phase."""
    cdef PaddedRow shape
    shape.ukernels, shape.padding_mode, shape.pitch = job.ukernels, job.window.padding_mode, job.few.pitch
    shape.axis = make_axis(job.few.tile_pixels, job.few.tile_pixels, 1)
    shape.axis.pad = job.window.axis[2].pad - block.columns.first * job.few.tile_pixels
    shape.columns, shape.source_step = job.arrays.image_size[2], 0
    return shape


cdef void deinterleave_line(real *line, const WinogradJob *job, const Block *block, const PaddedRow *shape,
                            Py_ssize_t index) noexcept nogil:
    """Copy a row of the padded image for all channels, pixels of tiles side by side: (pixels of a tile, tiles)."""
    cdef Py_ssize_t y = line_row(job, block, index), c
    for c in range(job.window.channels):
        if y < 0 or block.z < 0:
            memset(line, 0, job.few.strip_step * sizeof(real))
        else:
            fill_rows(line, input_plane(job, block, c, <real>0) + y * job.arrays.image_step[3], shape, 1)
        line += job.few.channel_step


cdef void transform_tile_row(real *workspace, const WinogradJob *job, const Block *block,
                             Py_ssize_t row) noexcept nogil:
    """Transform one row of tiles: (vectors of tiles, positions of columns, channels, positions of rows, lanes)."""
    cdef const FewSteps *few = &job.few
    cdef const AxisTransform *y = &job.y
    cdef const AxisTransform *x = &job.x
    cdef real *strip = workspace + job.at.strip
    cdef real *between = workspace + job.at.between
    cdef real *tiles = workspace + job.at.tiles
    cdef Py_ssize_t lanes = job.ukernels.lanes, first = row * y.tile_step * y.part_step
    cdef Py_ssize_t part, column_part, c, i, pixel
    cdef fc_transform down
    cdef fc_transform along
    down.matrix, down.runs, down.run_step, down.to_run_step = y.phase.B, 1, 0, 0
    down.items, down.item_step = few.strip_step // lanes, lanes
    down.to, down.to_step, down.to_item_step = between, few.strip_step, lanes
    along.matrix, along.runs, along.run_step, along.to_run_step = x.phase.B, y.positions, few.strip_step, lanes
    along.items, along.item_step = ceil_div(block.columns.last - block.columns.first, lanes), lanes
    along.to_step, along.to_item_step = job.channels * y.positions * lanes, few.tile_step
    for part in range(y.parts):
        for c in range(job.window.channels):
            for i in range(y.positions):
                down.source[i] = (strip + c * few.channel_step
                                  + (first + i * y.part_step + part * y.part_offset) % few.lines * few.strip_step)
            y.phase.form.forward(&down)
            for column_part in range(x.parts):
                for i in range(x.positions):
                    pixel = i * x.part_step + column_part * x.part_offset
                    along.source[i] = between + pixel % few.tile_pixels * few.pitch + pixel // few.tile_pixels
                along.to = tiles
                x.phase.form.forward(&along)
                tiles += y.positions * lanes


cdef void multiply_tile_row(real *workspace, const WinogradJob *job, const Block *block, Range filters,
                            Py_ssize_t row) noexcept nogil:
    """Sum over the channels of one row of tiles for some filters, and write the outputs to their maps."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, last = min(filters.last, job.window.filters), vector, k
    cdef const real *weight = <const real *>job.transformed + block.group * transformed_numbers(job)
    cdef real *sums = workspace + job.at.sums
    cdef fc_winograd_few request
    request.matrix, request.channels, request.runs, request.to = job.y.phase.A, job.channels, job.x.positions, sums
    while filters.first < last:
        request.weight = (weight + filters.first // lanes * lanes * job.channels * job.y.rows * job.x.rows
                          + filters.first % lanes)
        request.filters = min(min(FEW_MAX_FILTERS, lanes), job.window.filters - filters.first)
        for vector in range(ceil_div(block.columns.last - block.columns.first, lanes)):
            request.tiles = workspace + job.at.tiles + vector * job.few.tile_step
            job.y.phase.form.few(&request)
            for k in range(request.filters):
                write_tile_vector(sums + k * job.y.outputs * job.x.positions * lanes, workspace + job.at.out, job,
                                  block, filters.first + k, row, block.columns.first + vector * lanes)
        filters.first += request.filters


cdef void write_tile_vector(const real *sums, real *out, const WinogradJob *job, const Block *block, Py_ssize_t filter,
                            Py_ssize_t tile_row, Py_ssize_t tile) noexcept nogil:
    """Transform the sums of a vector of tiles back along rows, and write the outputs to one filter's map."""
    cdef const Arrays *arrays = &job.arrays
    cdef Py_ssize_t dilation = job.window.axis[1].dilation, rows, k
    cdef MapRun run = MapRun(filter, tile_row * job.y.outputs * dilation + block.phase, tile * job.x.outputs, 0)
    cdef real *map = run_in_map(job, block, run, <real>0)
    cdef fc_inverse_rows request
    rows = min(job.y.outputs, ceil_div(arrays.map_size[1] - run.row, dilation))
    run.count = min(job.ukernels.lanes * job.x.outputs, arrays.map_size[2] - run.column)
    request.matrix, request.source, request.rows, request.columns = job.x.phase.A, sums, rows, run.count
    request.map, request.prefetch = map, map + FEW_MAX_FILTERS * arrays.map_step[1]
    request.row_step = dilation * arrays.map_size[2]
    request.bias = (<const real *>arrays.bias)[block.group * job.window.filters + filter]
    request.low, request.high = job.epilogue.low, job.epilogue.high
    request.nontemporal = job.nontemporal
    if job.x.phase.form.inverse_rows(&request):  # some output is not finite: look which, without bias and clip
        request.map, request.rows, request.bias, request.nontemporal = out, 1, 0, False
        request.low, request.high = -INFINITY, INFINITY
        for k in range(rows):
            request.source = sums + k * job.x.positions * job.ukernels.lanes
            job.x.phase.form.inverse_rows(&request)
            recompute_nonfinite(map + k * request.row_step, out, 1, job, block, run)
            run.row += dilation
    finish_runs(map, rows, request.row_step, run.count, arrays, block.group * job.window.filters + filter, 0,
                &job.epilogue)
