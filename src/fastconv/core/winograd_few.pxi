# Winograd convolution of few channels: lanes are tiles. Part of _core.pyx.


cdef void blend_images(real *tiles, real *strip, real *between, real *sums, real *out, const Winograd *w,
                       const Block *block) noexcept nogil:
    """Compute some filters' maps over one block of tiles from few channels, a row of tiles at a time."""
    cdef Py_ssize_t line = block.rows.first * w.y.step * w.y.part_step, row, b
    cdef Job dealt = w.job
    dealt.axis[2], dealt.pitch = make_axis(w.apart, w.apart, 1), w.pitch  # every pixel of a tile has a slot
    dealt.axis[2].pad = w.job.axis[2].pad - block.columns.first * w.apart
    for row in range(block.rows.first, block.rows.last):
        while line < row * w.y.step * w.y.part_step + w.lines:
            deal_line(strip + line % w.lines * w.strip_step, w, &dealt, block, line)
            line += 1
        transform_row(tiles, strip, between, w, block, row)
        for b in range(block.blocks.first, block.blocks.last):
            blend_row(tiles, sums, out, w, block, filter_block(&w.job, b), row)


cdef void deal_line(real *line, const Winograd *w, const Job *dealt, const Block *block,
                    Py_ssize_t index) noexcept nogil:
    """Deal a row of the padded image out to tiles, for all channels: (pixels of a tile, tiles)."""
    cdef const Job *job = &w.job
    cdef Py_ssize_t y = line_position(w, block, index), c
    cdef Py_ssize_t z = source(block.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef const real *image = (<const real *>job.images + block.n * job.image_step[0] + z * job.image_step[2]
                              + block.group * job.channels * job.image_step[1])
    for c in range(job.channels):
        if y < 0 or z < 0:
            memset(line, 0, w.strip_step * sizeof(real))
        else:
            fill_rows(line, image + c * job.image_step[1], dealt, y, 1)
        line += w.channel_step


cdef void transform_row(real *tiles, const real *strip, real *between, const Winograd *w, const Block *block,
                        Py_ssize_t row) noexcept nogil:
    """Transform one row of tiles: (vectors of tiles, positions of columns, channels, positions of rows, lanes)."""
    cdef Py_ssize_t lanes = w.job.kernels.lanes, first = row * w.y.step * w.y.part_step
    cdef Py_ssize_t part, other, c, i, pixel
    cdef fc_transform down
    cdef fc_transform across
    down.matrix, down.runs, down.items, down.item_step = w.y.B, 1, w.strip_step // lanes, lanes
    down.to_step, down.to_item_step, down.run_step, down.to_run_step = w.strip_step, lanes, 0, 0
    across.matrix, across.runs, across.run_step = w.x.B, w.y.positions, w.strip_step
    across.items, across.item_step = ceiling(block.columns.last - block.columns.first, lanes), lanes
    across.to_run_step, across.to_item_step = lanes, w.tile_step
    across.to_step = w.channels * w.y.positions * lanes
    for part in range(w.y.parts):
        for c in range(w.job.channels):
            for i in range(w.y.positions):
                down.source[i] = (strip + c * w.channel_step
                                  + (first + i * w.y.part_step + part * w.y.apart) % w.lines * w.strip_step)
            down.to = between
            w.y.form.forward(&down)
            for other in range(w.x.parts):
                for i in range(w.x.positions):
                    pixel = i * w.x.part_step + other * w.x.apart
                    across.source[i] = between + pixel % w.apart * w.pitch + pixel // w.apart
                across.to = tiles
                w.x.form.forward(&across)
                tiles += w.y.positions * lanes


cdef void blend_row(const real *tiles, real *sums, real *out, const Winograd *w, const Block *block, Range filters,
                    Py_ssize_t row) noexcept nogil:
    """Add up the channels of one row of tiles for some filters, and write them to their maps."""
    cdef const Job *job = &w.job
    cdef Py_ssize_t lanes = job.kernels.lanes, columns = block.columns.last - block.columns.first
    cdef Py_ssize_t vector, filter, k
    cdef const real *bank = <const real *>w.bank + block.group * packed_numbers(w)
    cdef fc_winograd_few request
    request.matrix, request.channels, request.runs, request.to = w.y.A, w.channels, w.x.positions, sums
    filter = filters.first
    while filter < min(filters.last, job.filters):
        request.weight = (bank + filter // lanes * lanes * w.channels * w.y.rows * w.x.rows) + filter % lanes
        request.filters = min(min(BLEND_FILTERS, lanes), job.filters - filter)
        for vector in range(ceiling(columns, lanes)):
            request.tiles = tiles + vector * w.tile_step
            w.y.form.few(&request)
            for k in range(request.filters):
                write_tiles(sums + k * w.y.outputs * w.x.positions * lanes, out, w, block, filter + k, row,
                            block.columns.first + vector * lanes)
        filter += request.filters


cdef void write_tiles(const real *sums, real *out, const Winograd *w, const Block *block, Py_ssize_t filter,
                      Py_ssize_t tile_row, Py_ssize_t tile) noexcept nogil:
    """Transform what a vector of tiles adds up to back along rows, and write it to one filter's map."""
    cdef const Job *job = &w.job
    cdef Py_ssize_t dilation = job.axis[1].dilation, k
    cdef Py_ssize_t column = tile * w.x.outputs, row = tile_row * w.y.outputs * dilation + block.phase
    cdef Py_ssize_t count = min(job.kernels.lanes * w.x.outputs, job.map_size[2] - column)
    cdef Py_ssize_t rows = min(w.y.outputs, ceiling(job.map_size[1] - row, dilation))
    cdef real *map = (<real *>job.maps + block.n * job.map_step[0]
                      + (block.group * job.filters + filter) * job.map_step[1] + block.depth * job.map_step[2]
                      + row * job.map_size[2] + column)
    cdef fc_inverse_rows request
    request.matrix, request.source, request.rows, request.columns = w.x.A, sums, rows, count
    request.map, request.prefetch = map, map + BLEND_FILTERS * job.map_step[1]
    request.row_step = dilation * job.map_size[2]
    request.bias = (<const real *>job.bias)[block.group * job.filters + filter]
    request.low, request.high, request.nontemporal = job.low, job.high, job.far_maps
    if w.x.form.inverse_rows(&request):
        request.map, request.rows, request.bias, request.nontemporal = out, 1, 0, False
        request.low, request.high = -INFINITY, INFINITY
        for k in range(rows):
            request.source = sums + k * w.x.positions * job.kernels.lanes
            w.x.form.inverse_rows(&request)
            sum_again(map + k * request.row_step, out, 1, w, block, filter, row + k * dilation, column, count)
    if job.activation > RELU6:
        for k in range(rows):
            activate(map + k * request.row_step, count, job.activation)
