# Winograd convolution of many channels: lanes are channels, then filters. Part of _core.pyx.
#
#     lines of the image -> strip (inputs of rows, columns, lanes)             padded, `lanes` channels side by side
#       -> between (positions, columns, lanes)                                transformed along the columns
#       -> tiles (positions, tiles, virtual channels)                         and along the rows
#       -> sums (products, tiles, filters)                                    a GEMM for every product
#       -> between (outputs, tiles, positions, lanes) -> out (outputs, pixels, lanes)   transformed back
#       -> maps (K, D', H', W')                                               with bias and clip
#
# Transposed convolution: the last three steps are done for each phase of the rows; pixels of `out` are in the order of
# the map, those of a phase of the columns as many apart as there are phases.
#
# Uses: job.pxi, epilogue.pxi, rows.pxi, filters.pxi, tiles.pxi, winograd_job.pxi, winograd_filters.pxi,
# winograd_repair.pxi.


cdef struct TileRun:
    # Neighbouring tiles of one row, whose columns have the same remainder by the dilation.
    Py_ssize_t row, first, count, remainder


cdef void winograd_unit(real *workspace, const WinogradJob *job, Py_ssize_t index) noexcept nogil:
    """Compute some filters' maps over one block of tiles."""
    cdef Block block = find_block(job, index)
    cdef Py_ssize_t b, phase, row
    cdef Range filters
    memset(workspace, 0, FILTER_TILE_VECTORS * job.ukernels.lanes * sizeof(real))
    transform_tiles(workspace, job, &block)
    for b in range(block.blocks.first, block.blocks.last):
        filters = nth_block(&job.blocks, b)
        for phase in range(job.y.phases):
            multiply_tiles(workspace, job, &block, filters, &job.y.phase[phase])
            for row in range(block.rows.first, block.rows.last):
                finish_tiles(workspace, job, &block, filters, phase, row)
    clear_blanks(workspace, job, &block)


cdef void transform_tiles(real *workspace, const WinogradJob *job, const Block *block) noexcept nogil:
    """Transform the tiles that a block reads of all channels: (positions, tiles, channels)."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, vector
    for vector in range(ceil_div(job.views, lanes)):
        transform_channels(workspace + job.at.tiles + vector * lanes, workspace, job, block, vector * lanes)


cdef void transform_channels(real *to, real *workspace, const WinogradJob *job, const Block *block,
                             Py_ssize_t view) noexcept nogil:
    """Transform the tiles of `lanes` virtual channels from one on."""
    cdef Py_ssize_t row, line = block.rows.first * job.y.tile_step, lines = job.y.inputs
    cdef Py_ssize_t columns = block.columns.last - block.columns.first + job.x.shared_parts - 1
    cdef Py_ssize_t unused = job.tile_columns + job.x.shared_parts - 1 - columns if job.shared else 0
    cdef PaddedRow shape = part_row(job, block, input_columns(job, columns))
    cdef real *strip = workspace + job.at.strip
    cdef Range some
    cdef TileRun run
    for row in range(block.rows.first, block.rows.last + job.y.shared_parts - 1):
        while line < row * job.y.tile_step + lines:  # a row of tiles shares its first lines with the one before it
            if job.split:
                fill_parts(strip + line % lines * job.many.strip_step, workspace + job.at.parts, job, block, &shape,
                           view, line)
            else:
                fill_line(strip + line % lines * job.many.strip_step, job, block, view, line)
            line += 1
        some = row_tiles(block, min(row, block.rows.last - 1))
        some.last += job.x.shared_parts - 1
        for run.remainder in range(job.window.axis[2].dilation):
            run.row, run.first = row, some.first
            while run.first < some.last:
                run.count = min(some.last - run.first, job.many.run_tiles)
                transform_run(to, workspace, job, &run)
                to += run.count * job.many.tile_step
                run.first += run.count
            to += unused * job.many.tile_step


cdef void fill_line(real *line, const WinogradJob *job, const Block *block, Py_ssize_t channel,
                    Py_ssize_t index) noexcept nogil:
    """Copy what tiles read of one row of the padded image, of `lanes` channels from one on: (columns, channels)."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[2]
    cdef Py_ssize_t lanes = job.ukernels.lanes, channels = min(lanes, job.window.channels - channel)
    cdef Py_ssize_t y = line_row(job, block, index), before, room
    cdef Py_ssize_t start = block.columns.first * job.x.tile_step * axis.dilation - axis.pad
    cdef Py_ssize_t columns = input_columns(job, block.columns.last - block.columns.first + job.x.shared_parts - 1)
    cdef Range inside
    cdef const real *pixels
    line += lanes * lanes
    if y < 0 or block.z < 0:
        memset(line, 0, columns * lanes * sizeof(real))
        return
    pixels = input_plane(job, block, channel, <real>0) + y * arrays.image_step[3]
    inside.first = min(max(0, -start), columns)
    inside.last = max(inside.first, min(columns, arrays.image_size[2] - start))
    if inside.first < inside.last:
        before, room = start + inside.first, arrays.image_size[2] - start - inside.first
        if arrays.image_step[3] == arrays.image_size[2]:  # the rows before and behind may be read, too
            before += y * arrays.image_size[2]
            room += (arrays.image_size[1] - 1 - y) * arrays.image_size[2]
        job.ukernels.gather(line + inside.first * lanes, pixels + start + inside.first, arrays.image_step[1], channels,
                            inside.last - inside.first, before, room)
    fill_columns(line, pixels, job, channels, start, Range(0, inside.first))
    fill_columns(line, pixels, job, channels, start, Range(inside.last, columns))


cdef void fill_columns(real *line, const real *pixels, const WinogradJob *job, Py_ssize_t channels, Py_ssize_t start,
                       Range columns) noexcept nogil:
    """Fill the columns of a line that lie beyond the image; the first one of the line is at position `start`."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, column, x, c
    memset(line + columns.first * lanes, 0, (columns.last - columns.first) * lanes * sizeof(real))
    if job.window.padding_mode == ZEROS:
        return
    for column in range(columns.first, columns.last):
        x = image_index(start + column, job.arrays.image_size[2], job.window.padding_mode)
        for c in range(channels):
            line[column * lanes + c] = pixels[c * job.arrays.image_step[1] + x]


cdef PaddedRow part_row(const WinogradJob *job, const Block *block, Py_ssize_t columns) noexcept nogil:
    """Return how a row of the image is padded for kernels in parts: a phase for every part of the columns."""
    cdef PaddedRow shape
    shape.ukernels, shape.axis, shape.padding_mode = job.ukernels, job.window.axis[2], job.window.padding_mode
    shape.axis.pad -= block.columns.first * job.x.tile_step * job.x.part_step * shape.axis.dilation
    if job.x.part_step == 1:
        shape.axis.stride = shape.axis.phases = 1
    shape.pitch, shape.columns, shape.source_step = columns, job.arrays.image_size[2], 0
    return shape


cdef void fill_parts(real *line, real *parts, const WinogradJob *job, const Block *block, const PaddedRow *shape,
                     Py_ssize_t view, Py_ssize_t index) noexcept nogil:
    """Copy what tiles read of one row, of `lanes` virtual channels from one on: (columns, channels)."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, columns = shape.pitch, channels = job.window.channels, row, y
    cdef Py_ssize_t first = view // job.x.parts, last = ceil_div(min(view + lanes, job.views), job.x.parts)
    for row in range(first, last):  # (part of the rows, channel)
        y = line_row(job, block, index * job.y.part_step + row // channels * job.y.part_offset)
        if y < 0 or block.z < 0:
            memset(parts, 0, job.x.parts * columns * sizeof(real))
        else:
            fill_rows(parts, input_plane(job, block, row % channels, <real>0) + y * job.arrays.image_step[3], shape, 1)
        parts += job.x.parts * columns
    parts -= (last * job.x.parts - view) * columns
    job.ukernels.gather(line + lanes * lanes, parts, columns, min(lanes, job.views - view), columns, 0, columns)


cdef void transform_run(real *to, real *workspace, const WinogradJob *job, const TileRun *run) noexcept nogil:
    """Transform some neighbouring tiles of `lanes` channels: first along the columns, then along the rows."""
    cdef const Axis *axis = &job.window.axis[2]
    cdef const AxisTransform *y = &job.y
    cdef const AxisTransform *x = &job.x
    cdef const Phase *phase
    cdef Py_ssize_t lanes = job.ukernels.lanes, columns = (run.count - 1) * x.tile_step + x.inputs, form, i
    cdef Py_ssize_t column = lanes + run.first * x.tile_step * axis.dilation + run.remainder * axis.stride
    cdef real *strip = workspace + job.at.strip
    cdef real *between = workspace + job.at.between
    cdef fc_transform request
    request.runs, request.run_step, request.to_run_step = 1, 0, 0
    request.items, request.item_step = columns, axis.dilation * lanes
    request.to_step, request.to_item_step = columns * lanes, lanes
    for i in range(y.inputs):
        request.source[i] = strip + (run.row * y.tile_step + i) % y.inputs * job.many.strip_step + column * lanes
    for form in range(y.forms):
        phase = phase_of_form(y, form)
        request.matrix, request.to = phase.B, between + phase.first_position * columns * lanes
        phase.forward(&request)
    request.runs, request.run_step = y.positions, columns * lanes
    request.to_run_step = x.positions * job.many.position_step
    request.items, request.item_step = run.count, x.tile_step * lanes
    request.to_step, request.to_item_step = job.many.position_step, job.many.tile_step
    for i in range(x.inputs):
        request.source[i] = between + i * lanes
    for form in range(x.forms):
        phase = phase_of_form(x, form)
        request.matrix, request.to = phase.B, to + phase.first_position * job.many.position_step
        phase.forward(&request)


cdef void multiply_tiles(real *workspace, const WinogradJob *job, const Block *block, Range filters,
                         const Phase *phase) noexcept nogil:
    """Sum over all channels for every product of a phase of the rows: sums (products, tiles, filters)."""
    cdef Py_ssize_t width = filters.last - filters.first
    cdef Range channels = Range(0, 0)
    if job.packed:
        multiply_channels(workspace, <const real *>job.transformed + block.group * transformed_numbers(job)
                          + block_at(job, filters), job.channels * width, job, block, width,
                          Range(0, job.channels), phase)
        return
    while channels.last < job.channels:
        channels = Range(channels.last, min(channels.last + CHUNK_CHANNELS, job.channels))
        transform_chunk(workspace + job.at.chunk, workspace + job.at.kernels, job, block.group, filters, channels)
        multiply_channels(workspace, workspace + job.at.chunk, (channels.last - channels.first) * width + ROW_GAP, job,
                          block, width, channels, phase)


cdef void multiply_channels(real *workspace, const real *weight, Py_ssize_t row_step, const WinogradJob *job,
                            const Block *block, Py_ssize_t width, Range channels, const Phase *phase) noexcept nogil:
    """Add some channels, from the beginning of a chunk on, to the sums of all products of a phase of the rows.

    weight: these channels of a block of `width` transformed filters, rows of G so many numbers apart.
    """
    cdef const AxisTransform *y = &job.y
    cdef const AxisTransform *x = &job.x
    cdef Py_ssize_t count = channels.last - channels.first, i, j, chunk, c, products = 0
    cdef fc_filter_tile request
    request.width = request.sums_step = width
    request.low, request.high = -INFINITY, INFINITY
    for i in range(phase.first_product, phase.first_product + phase.positions):
        if is_stopped(&products, x.products * count * width * block.tiles):
            return
        for j in range(x.products):
            for chunk in range(ceil_div(count, CHUNK_CHANNELS)):
                c = channels.first + chunk * CHUNK_CHANNELS
                request.weight = weight + (y.row[i] * x.rows + x.row[j]) * row_step + chunk * CHUNK_CHANNELS * width
                request.offset, request.taps = job.many.offset + c, min(CHUNK_CHANNELS, channels.last - c)
                request.bias = workspace if c == 0 else NULL  # zeros
                multiply_position_tiles(workspace, &request, job, block, y.position[i] * x.positions + x.position[j],
                                        (i - phase.first_product) * x.products + j)


cdef void multiply_position_tiles(real *workspace, fc_filter_tile *request, const WinogradJob *job, const Block *block,
                                  Py_ssize_t position, Py_ssize_t product) noexcept nogil:
    """Add some channels of all tiles at one position to the sums of one product."""
    cdef Py_ssize_t groups = ceil_div(block.tiles, job.ukernels.tile_filters), group, tile, count
    cdef Py_ssize_t least = block.tiles // groups, larger = block.tiles % groups  # groups have one tile more than least
    cdef Py_ssize_t columns = block.columns.last - block.columns.first, column = 0
    cdef Py_ssize_t unused = job.tile_columns + job.x.shared_parts - 1 - columns if job.shared else 0  # of every row
    cdef Py_ssize_t vectors = request.width // job.ukernels.lanes
    cdef const real *pixel = workspace + job.at.tiles + position * job.many.position_step
    cdef real *sums = workspace + job.at.sums + product * job.many.sums_step
    for group in range(groups):
        count = least + (group < larger)
        for tile in range(count):
            request.pixel[tile] = pixel
            pixel, column = pixel + job.many.tile_step, column + 1
            if column == columns:
                pixel, column = pixel + unused * job.many.tile_step, 0
        request.sums = sums
        prefetch_weights(request, group, groups, <real>0)
        job.ukernels.filter_tile[count][vectors](request)
        sums += count * request.width


cdef void finish_tiles(real *workspace, const WinogradJob *job, const Block *block, Range filters, Py_ssize_t row_phase,
                       Py_ssize_t row) noexcept nogil:
    """Transform one row of tiles back, and write it to the maps, some tiles and `lanes` filters at a time.

    Of a transposed convolution, these are outputs in one phase of the rows and all phases of the columns.
    """
    cdef Py_ssize_t lanes = job.ukernels.lanes, columns = block.columns.last - block.columns.first
    cdef Py_ssize_t dilation = job.window.axis[2].dilation, width = filters.last - filters.first
    cdef Py_ssize_t vector, filter, remainder, column_phase, first, tile, count
    cdef const Phase *y = &job.y.phase[row_phase]
    cdef const Phase *x
    cdef Range some = row_tiles(block, row)
    cdef Py_ssize_t start = ((row - block.rows.first) * columns + some.first - block.places.first) * dilation
    cdef real *between = workspace + job.at.between
    cdef real *sums = workspace + job.at.sums
    cdef real *out = workspace + job.at.out
    for vector in range(ceil_div(min(filters.last, job.window.filters) - filters.first, lanes)):
        filter = filters.first + vector * lanes
        first = some.first
        while first < some.last:
            count = min(some.last - first, job.many.run_tiles)
            for remainder in range(dilation):
                tile = start + remainder * (some.last - some.first) + first - some.first
                for column_phase in range(job.x.phases):
                    x = &job.x.phase[column_phase]
                    inverse_columns(between, sums + tile * width + filter - filters.first, job, y, x, width, count)
                    inverse_rows(out + (remainder + column_phase) * lanes, between, job, x, count)
            write_tiles(out, job, block, filter, row_phase, row, Range(block.columns.first + first,
                                                                       block.columns.first + first + count))
            first += count


cdef void inverse_columns(real *between, const real *sums, const WinogradJob *job, const Phase *y, const Phase *x,
                          Py_ssize_t width, Py_ssize_t count) noexcept nogil:
    """Transform the sums of some neighbouring tiles back along columns: (outputs, tiles, positions, lanes)."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, i
    cdef fc_transform request
    request.matrix, request.items, request.item_step = y.A, count, width
    request.runs, request.run_step = x.positions, job.many.sums_step
    request.to, request.to_step = between, count * x.positions * lanes
    request.to_item_step, request.to_run_step = x.positions * lanes, lanes
    for i in range(y.positions):
        request.source[i] = sums + (i * job.x.products + x.first_product) * job.many.sums_step
    y.form.inverse(&request)


cdef void inverse_rows(real *out, const real *between, const WinogradJob *job, const Phase *x,
                       Py_ssize_t count) noexcept nogil:
    """Transform (outputs, tiles, positions, lanes) back along rows: (outputs, pixels, lanes)."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, i
    cdef fc_transform request
    request.matrix, request.items, request.item_step = x.A, count, x.positions * lanes
    request.runs, request.run_step = job.y.outputs, count * x.positions * lanes
    request.to, request.to_step = out, job.window.axis[2].dilation * job.x.phases * lanes
    request.to_item_step, request.to_run_step = job.x.outputs * request.to_step, job.many.out_columns * lanes
    for i in range(x.positions):
        request.source[i] = between + i * lanes
    x.form.inverse(&request)


cdef void write_tiles(const real *out, const WinogradJob *job, const Block *block, Py_ssize_t filter,
                      Py_ssize_t row_phase, Py_ssize_t tile_row, Range tiles) noexcept nogil:
    """Write the outputs (rows, pixels, lanes) of some tiles to the maps of up to `lanes` filters."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, k, i
    cdef Py_ssize_t across = job.x.outputs * job.x.phases * job.window.axis[2].dilation
    cdef Py_ssize_t filters = min(lanes, job.window.filters - filter), map_step = job.arrays.map_step[1]
    cdef const real *bias = <const real *>job.arrays.bias + block.group * job.window.filters + filter
    cdef real *map
    cdef MapRun run
    run.column = max(0, tiles.first * across - job.x.skipped)
    run.count = min(tiles.last * across - job.x.skipped, job.arrays.map_size[2]) - run.column
    out += (run.column + job.x.skipped - tiles.first * across) * lanes
    for k in range(job.y.outputs):
        run.filter = filter
        run.row = map_row(job, block, row_phase, tile_row * job.y.outputs + k)
        if not 0 <= run.row < job.arrays.map_size[1]:
            out += job.many.out_columns * lanes
            continue
        map = run_in_map(job, block, run, <real>0)
        if job.ukernels.scatter(map, map_step, filters, out, run.count, bias, job.epilogue.low, job.epilogue.high,
                                job.nontemporal):
            for i in range(filters):
                run.filter = filter + i
                recompute_nonfinite(map + i * map_step, out + i, lanes, job, block, run)
        finish_runs(map, filters, map_step, run.count, &job.arrays, block.group * job.window.filters + filter, 1,
                    &job.epilogue)
        out += job.many.out_columns * lanes
