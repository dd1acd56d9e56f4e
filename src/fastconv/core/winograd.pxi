# Winograd convolution of many channels: lanes are channels, then filters. Part of _core.pyx.


def convolve_winograd(const real[:, :, :, :, :] images, const real[::1] weight, const real[::1] transformed,
                      const real[:] bias, real[:, :, :, :, :] maps, pads, WinogradLayout layout, blocks,
                      Py_ssize_t threads):
    """Convolve images with a filter bank by Winograd's forms.

    images and maps as for `convolve`; weight has all numbers of (K, C / groups * taps), and transformed is what
    `pack_winograd` made of it. A map is cut into blocks of tiles, and the filters of a group into parts:
    blocks is (row blocks, column blocks, parts).
    """
    cdef Winograd w = layout.w
    cdef Job *job = &w.job
    if bias is None:
        bias = np.zeros(maps.shape[1], np.float32 if real is float else np.float64)
    see_arrays(job, images, maps, pads)
    job.weight, job.bias, w.bank = &weight[0], &bias[0], &transformed[0]
    w.row_blocks, w.column_blocks, job.parts = blocks
    job.units = (maps.shape[0] * job.map_size[0] * job.groups * job.axis[1].dilation * w.row_blocks * w.column_blocks
                 * job.parts)
    run(<fc_unit_fn>winograd_unit[real], job, layout.workspace, threads)


cdef void winograd_unit(real *workspace, const Winograd *w, Py_ssize_t index) noexcept nogil:
    """Compute some filters' maps over one block of tiles."""
    cdef const Job *job = &w.job
    cdef Block block = find_tiles(w, index)
    cdef real *zeros = workspace
    cdef real *parts = zeros + BLOCK_VECTORS * job.kernels.lanes
    cdef real *strip = parts + w.part_numbers
    cdef real *between = strip + w.strip_numbers
    cdef real *tiles = between + w.between_numbers
    cdef real *sums = tiles + w.tiles_numbers
    cdef real *out = sums + w.sums_numbers
    cdef Py_ssize_t b, row
    cdef Range filters
    memset(zeros, 0, BLOCK_VECTORS * job.kernels.lanes * sizeof(real))
    if w.blends:
        blend_images(tiles, strip, between, sums, out, w, &block)
    else:
        transform_images(tiles, strip, parts, between, w, &block)
        for b in range(block.blocks.first, block.blocks.last):
            filters = filter_block(job, b)
            multiply_tiles(sums, tiles, zeros, w, &block, filters)
            for row in range(block.rows.first, block.rows.last):
                finish_tiles(out, sums, between, w, &block, filters, row)
    clear_blanks(<int *>(out + w.out_numbers), w, &block, <real>0)


cdef void transform_images(real *tiles, real *strip, real *parts, real *between, const Winograd *w,
                           const Block *block) noexcept nogil:
    """Transform the tiles that a block sees, all channels: (positions, tiles, channels)."""
    cdef const Job *job = &w.job
    cdef Py_ssize_t group, c, row, line, first, count, remainder, lines = w.y.positions
    cdef Py_ssize_t unused = w.tile_columns - (block.columns.last - block.columns.first) if w.shares else 0
    cdef Range some
    cdef real *to
    for group in range(ceiling(w.views, job.kernels.lanes)):
        c = group * job.kernels.lanes
        to = tiles + c
        line = block.rows.first * w.y.step
        for row in range(block.rows.first, block.rows.last + w.y.sharing - 1):
            while line < row * w.y.step + lines:  # a row of tiles shares its first lines with the one before it
                if w.splits:
                    fill_parts(strip + line % lines * w.strip_step, parts, w, block, c, line)
                else:
                    fill_line(strip + line % lines * w.strip_step, w, block, c, line)
                line += 1
            some = row_tiles(block, min(row, block.rows.last - 1))
            some.last += w.x.sharing - 1
            for remainder in range(job.axis[2].dilation):
                first = some.first
                while first < some.last:
                    count = min(some.last - first, w.run_tiles)
                    transform_run(to, strip, between, w, row * w.y.step, remainder, first, count)
                    to += count * w.tile_step
                    first += count
                to += unused * w.tile_step


cdef void fill_line(real *line, const Winograd *w, const Block *block, Py_ssize_t c, Py_ssize_t index) noexcept nogil:
    """Copy what tiles see of one row of the padded image, for `lanes` channels from c on: (columns, channels)."""
    cdef const Job *job = &w.job
    cdef const Axis *axis = &job.axis[2]
    cdef Py_ssize_t lanes = job.kernels.lanes, channels = min(lanes, job.channels - c)
    cdef Py_ssize_t y = line_position(w, block, index)
    cdef Py_ssize_t z = source(block.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef Py_ssize_t start = block.columns.first * w.x.step * axis.dilation - axis.pad
    cdef Py_ssize_t columns = input_columns(w, block.columns.last - block.columns.first + w.x.sharing - 1)
    cdef Range inside
    cdef Py_ssize_t before, room
    cdef const real *pixels
    line += lanes * lanes
    if y < 0 or z < 0:
        memset(line, 0, columns * lanes * sizeof(real))
        return
    pixels = (<const real *>job.images + block.n * job.image_step[0] + z * job.image_step[2] + y * job.image_step[3]
              + (block.group * job.channels + c) * job.image_step[1])
    inside.first = min(max(0, -start), columns)
    inside.last = max(inside.first, min(columns, job.size[2] - start))
    if inside.first < inside.last:
        before, room = start + inside.first, job.size[2] - start - inside.first
        if job.image_step[3] == job.size[2]:  # there is more to read beyond the row
            before += y * job.size[2]
            room += (job.size[1] - 1 - y) * job.size[2]
        job.kernels.gather(line + inside.first * lanes, pixels + start + inside.first, job.image_step[1], channels,
                           inside.last - inside.first, before, room)
    fill_columns(line, pixels, w, channels, start, Range(0, inside.first))
    fill_columns(line, pixels, w, channels, start, Range(inside.last, columns))


cdef void fill_parts(real *line, real *parts, const Winograd *w, const Block *block, Py_ssize_t c,
                     Py_ssize_t index) noexcept nogil:
    """Do the same for virtual channels, whose columns a row of the image is dealt out to."""
    cdef Job job = w.job
    cdef Py_ssize_t lanes = job.kernels.lanes, row, y
    cdef Py_ssize_t columns = input_columns(w, block.columns.last - block.columns.first + w.x.sharing - 1)
    cdef Py_ssize_t first = c // w.x.parts, last = ceiling(min(c + lanes, w.views), w.x.parts)
    cdef Py_ssize_t z = source(block.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef const real *image = (<const real *>job.images + block.n * job.image_step[0] + z * job.image_step[2]
                              + block.group * job.channels * job.image_step[1])
    job.axis[2].pad -= block.columns.first * w.x.step * w.x.part_step * job.axis[2].dilation
    job.pitch = columns
    if w.x.part_step == 1:
        job.axis[2].stride = job.axis[2].slots = 1
    for row in range(first, last):
        y = line_position(w, block, index * w.y.part_step + row // job.channels * w.y.apart)
        if y < 0 or z < 0:
            memset(parts, 0, w.x.parts * columns * sizeof(real))
        else:
            fill_rows(parts, image + row % job.channels * job.image_step[1], &job, y, 1)
        parts += w.x.parts * columns
    parts -= (last * w.x.parts - c) * columns
    job.kernels.gather(line + lanes * lanes, parts, columns, min(lanes, w.views - c), columns, 0, columns)


cdef void fill_columns(real *line, const real *pixels, const Winograd *w, Py_ssize_t channels, Py_ssize_t start,
                       Range columns) noexcept nogil:
    """Fill the columns of a line that lie beyond the image."""
    cdef Py_ssize_t lanes = w.job.kernels.lanes, column, x, c
    memset(line + columns.first * lanes, 0, (columns.last - columns.first) * lanes * sizeof(real))
    if w.job.mode == ZEROS:
        return
    for column in range(columns.first, columns.last):
        x = source(start + column, w.job.size[2], w.job.mode)
        for c in range(channels):
            line[column * lanes + c] = pixels[c * w.job.image_step[1] + x]


cdef void transform_run(real *to, const real *strip, real *between, const Winograd *w, Py_ssize_t first_line,
                        Py_ssize_t remainder, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """Transform some neighbouring tiles of `lanes` channels: first along the columns, then along the rows."""
    cdef const Axis *axis = &w.job.axis[2]
    cdef Py_ssize_t lanes = w.job.kernels.lanes, columns = (count - 1) * w.x.step + w.x.positions, i
    cdef Py_ssize_t column = lanes + first * w.x.step * axis.dilation + remainder * axis.stride
    cdef fc_transform request
    request.matrix, request.runs, request.items, request.item_step = w.y.B, 1, columns, axis.dilation * lanes
    request.run_step = request.to_run_step = 0
    request.to, request.to_step, request.to_item_step = between, columns * lanes, lanes
    for i in range(w.y.positions):
        request.source[i] = strip + (first_line + i) % w.y.positions * w.strip_step + column * lanes
    w.y.form.forward(&request)
    request.matrix, request.items, request.item_step = w.x.B, count, w.x.step * lanes
    request.runs, request.run_step = w.y.positions, columns * lanes
    request.to, request.to_step, request.to_item_step = to, w.position_step, w.tile_step
    request.to_run_step = w.x.positions * w.position_step
    for i in range(w.x.positions):
        request.source[i] = between + i * lanes
    w.x.form.forward(&request)


cdef void multiply_tiles(real *sums, const real *tiles, const real *zeros, const Winograd *w, const Block *block,
                         Range filters) noexcept nogil:
    """Add up all channels at every position: sums (positions, tiles, filters)."""
    cdef const Job *job = &w.job
    cdef Py_ssize_t width = filters.last - filters.first, vectors = width // job.kernels.lanes
    cdef Py_ssize_t groups = ceiling(block.tiles, job.kernels.tile_filters), group, i, j, position, chunk, c, tile
    cdef Py_ssize_t columns = block.columns.last - block.columns.first, column
    cdef Py_ssize_t beyond = w.tile_columns + w.x.sharing - 1 - columns if w.shares else 0  # the block, of every line
    cdef Py_ssize_t products = 0
    cdef const real *bank = (<const real *>w.bank + block.group * packed_numbers(w)
                             + filters.first * w.channels * w.y.rows * w.x.rows)
    cdef const real *weight
    cdef const real *pixel
    cdef Range some
    cdef fc_filter_tile request
    request.width = request.sums_step = width
    request.low, request.high = -INFINITY, INFINITY
    for i in range(w.y.positions):
        if is_stopped(&products, w.x.positions * w.channels * width * block.tiles):
            return
        for j in range(w.x.positions):
            position = i * w.x.positions + j
            weight = bank + (w.y.row[i] * w.x.rows + w.x.row[j]) * w.channels * width
            for chunk in range(ceiling(w.channels, CHUNK_CHANNELS)):
                c = chunk * CHUNK_CHANNELS
                request.weight, request.taps = weight + c * width, min(CHUNK_CHANNELS, w.channels - c)
                request.offset, request.bias = w.offset + c, zeros if c == 0 else NULL
                pixel, column = tiles + position * w.position_step, 0
                for group in range(groups):
                    some = share(block.tiles, groups, group)
                    for tile in range(some.last - some.first):
                        request.pixel[tile] = pixel
                        pixel, column = pixel + w.tile_step, column + 1
                        if column == columns:
                            pixel, column = pixel + beyond * w.tile_step, 0
                    request.sums = sums + position * w.sums_step + some.first * width
                    look_ahead(&request, group, groups, <real>0)
                    job.kernels.filter_tile[some.last - some.first][vectors](&request)


cdef void finish_tiles(real *out, const real *sums, real *between, const Winograd *w,
                       const Block *block, Range filters, Py_ssize_t row) noexcept nogil:
    """Transform one row of tiles back, and write it to the maps, some tiles and `lanes` filters at a time."""
    cdef Py_ssize_t lanes = w.job.kernels.lanes, columns = block.columns.last - block.columns.first
    cdef Py_ssize_t dilation = w.job.axis[2].dilation, width = filters.last - filters.first
    cdef Py_ssize_t vector, filter, remainder, first, tile, count
    cdef Range some = row_tiles(block, row)
    cdef Py_ssize_t start = ((row - block.rows.first) * columns + some.first - block.places.first) * dilation
    for vector in range(ceiling(min(filters.last, w.job.filters) - filters.first, lanes)):
        filter = filters.first + vector * lanes
        first = some.first
        while first < some.last:
            count = min(some.last - first, w.run_tiles)
            for remainder in range(dilation):
                tile = start + remainder * (some.last - some.first) + first - some.first
                transform_columns(between, sums + tile * width + vector * lanes, w, width, count)
                transform_rows(out + remainder * lanes, between, w, count)
            write_run(out, w, block, filter, row, block.columns.first + first, count)
            first += count


cdef void transform_columns(real *between, const real *sums, const Winograd *w, Py_ssize_t width,
                            Py_ssize_t count) noexcept nogil:
    """Transform the sums of some neighbouring tiles back along columns: (outputs, tiles, positions, lanes)."""
    cdef Py_ssize_t lanes = w.job.kernels.lanes, i
    cdef fc_transform request
    request.matrix, request.items, request.item_step = w.y.A, count, width
    request.runs, request.run_step = w.x.positions, w.sums_step
    request.to, request.to_step = between, count * w.x.positions * lanes
    request.to_item_step, request.to_run_step = w.x.positions * lanes, lanes
    for i in range(w.y.positions):
        request.source[i] = sums + i * w.x.positions * w.sums_step
    w.y.form.inverse(&request)


cdef void transform_rows(real *out, const real *between, const Winograd *w, Py_ssize_t count) noexcept nogil:
    """Transform the same back along rows: rows of pixels of filters."""
    cdef Py_ssize_t lanes = w.job.kernels.lanes, dilation = w.job.axis[2].dilation, i
    cdef fc_transform request
    request.matrix, request.items, request.item_step = w.x.A, count, w.x.positions * lanes
    request.runs, request.run_step = w.y.outputs, count * w.x.positions * lanes
    request.to, request.to_step = out, dilation * lanes
    request.to_item_step, request.to_run_step = w.x.outputs * dilation * lanes, w.out_columns * lanes
    for i in range(w.x.positions):
        request.source[i] = between + i * lanes
    w.x.form.inverse(&request)


cdef void write_run(const real *out, const Winograd *w, const Block *block, Py_ssize_t filter, Py_ssize_t tile_row,
                    Py_ssize_t tile, Py_ssize_t tiles) noexcept nogil:
    """Write the outputs (rows, pixels, filters) of some tiles to the maps of up to `lanes` filters."""
    cdef const Job *job = &w.job
    cdef Py_ssize_t k, i, row, filters = min(job.kernels.lanes, job.filters - filter)
    cdef Py_ssize_t column = tile * w.x.outputs * job.axis[2].dilation
    cdef Py_ssize_t count = min(tiles * w.x.outputs * job.axis[2].dilation, job.map_size[2] - column)
    cdef const real *bias = <const real *>job.bias + block.group * job.filters + filter
    cdef real *map
    for k in range(w.y.outputs):
        row = (tile_row * w.y.outputs + k) * job.axis[1].dilation + block.phase
        if row >= job.map_size[1]:
            break
        map = (<real *>job.maps + block.n * job.map_step[0] + (block.group * job.filters + filter) * job.map_step[1]
               + block.depth * job.map_step[2] + row * job.map_size[2] + column)
        if job.kernels.scatter(map, job.map_step[1], filters, out, count, bias, job.low, job.high, job.far_maps):
            for i in range(filters):
                sum_again(map + i * job.map_step[1], out + i, job.kernels.lanes, w, block, filter + i, row, column,
                          count)
        if job.activation > RELU6:
            for i in range(filters):
                activate(map + i * job.map_step[1], count, job.activation)
        out += w.out_columns * job.kernels.lanes
