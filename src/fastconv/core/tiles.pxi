# Convolution by register tiles: the loops over tiles, chunks of taps and blocks of filters. Part of _core.pyx.
#
#     for some tiles:                             whose panels stay in the cache
#         for a chunk of taps:                    whose sums are added to those of the chunks before
#             copy the tiles' pixels into panels, if need be
#             for a block of filters:             whose packed weights stay in the cache
#                 for a tile: micro-kernel
#
# Uses: job.pxi, epilogue.pxi, filters.pxi, bank.pxi, tile_job.pxi, strips.pxi.


cdef struct Tile:
    # A register tile: neighbouring pixels of a unit; in whole vectors if lanes are pixels.
    Range pixels
    Py_ssize_t vectors
    Py_ssize_t[TILE_MAX_FILTERS] input   # from the unit's input to that of each vector, or pixel
    Py_ssize_t[TILE_MAX_VECTORS] output  # from the unit's first output to that of each vector


cdef struct TileBatch:
    # Some neighbouring tiles, which are multiplied by all blocks of filters in turn.
    Py_ssize_t count
    Tile[BLOCK_TILES] tile


cdef void find_tiles(TileBatch *batch, const TileJob *job, const TileUnit *unit, Range some) noexcept nogil:
    cdef Py_ssize_t i
    batch.count = some.last - some.first
    if job.lanes == FILTERS:
        find_pixels(batch.tile, job, unit, some)
        return
    for i in range(batch.count):
        find_vectors(&batch.tile[i], job, unit, some.first + i)


cdef inline Py_ssize_t input_row_step(const TileJob *job) noexcept nogil:
    """Return the numbers from the input of an output row to that of the next one."""
    return job.strip.down * (job.arrays.image_step[3] if job.in_place else job.strip.row_step)


cdef void find_pixels(Tile *tile, const TileJob *job, const TileUnit *unit, Range some) noexcept nogil:
    """Find the pixels of some tiles with filters in the lanes, which run on from one image to the next."""
    cdef Py_ssize_t i, image, row, column, row_step = input_row_step(job), n, first
    cdef Py_ssize_t column_step = job.strip.across * (job.arrays.pixel_step if job.in_place else 1)
    cdef Py_ssize_t pixel_unit = job.ukernels.pixel_unit, units = ceil_div(unit.pixels, pixel_unit)
    cdef Range part
    first = nth_part(units, unit.tiles, some.first).first * pixel_unit
    image, row = first // unit.strip.pixels, first % unit.strip.pixels // unit.row_pixels
    column = first % unit.row_pixels
    for n in range(some.first, some.last):
        part = nth_part(units, unit.tiles, n)
        tile.pixels = Range(part.first * pixel_unit, part.last * pixel_unit)
        for i in range(tile.pixels.last - tile.pixels.first):
            tile.input[i] = image * unit.image_step + row * row_step + column * column_step
            column += 1
            if column == unit.row_pixels:
                row, column = row + 1, 0
                if row == unit.strip.rows:
                    image, row = image + 1, 0
                    if image == unit.images:  # what else the last tile computes is not used
                        image = 0
        tile += 1


cdef void find_vectors(Tile *tile, const TileJob *job, const TileUnit *unit, Py_ssize_t index) noexcept nogil:
    """Find the vectors of a tile whose lanes are pixels.

    The last vector of a row reaches beyond it in a panel; elsewhere it moves back over its neighbour, if it has one.
    """
    cdef Range vectors = nth_part(unit.vectors, unit.tiles, index)
    cdef Py_ssize_t lanes = job.ukernels.lanes, row_step = input_row_step(job), j, row, column, first
    tile.pixels = Range(vectors.first * lanes, vectors.last * lanes)
    tile.vectors = vectors.last - vectors.first
    row, column = vectors.first // unit.row_vectors, vectors.first % unit.row_vectors * lanes
    for j in range(tile.vectors):
        first = column if job.im2col else max(0, min(column, unit.row_pixels - lanes))
        tile.input[j] = row * row_step + first
        tile.output[j] = row * unit.row_pixels + first
        column += lanes
        if column >= unit.row_pixels:
            row, column = row + 1, 0


cdef enum:
    PACKED_PIXELS = 4          # of a tile, that read a quarter of each cache line
    PACK_BLOCKS = 4            # of filters, from which on packing their pixels pays


cdef inline Py_ssize_t packed_step(const TileJob *job) noexcept nogil:
    """Return the numbers from one tile's panel of packed pixels (chunk, pixels) to the next one's."""
    return job.ukernels.tile_filters * job.chunk


cdef inline bint packs_pixels(const TileJob *job, const TileUnit *unit) noexcept nogil:
    return (job.packs_pixels and job.arrays.pixel_step == 1
            and unit.blocks.last - unit.blocks.first >= PACK_BLOCKS)


cdef void pack_tile(real *panel, const TileJob *job, const TileUnit *unit, const Tile *tile, Range taps) noexcept nogil:
    """Copy what some taps read from the pixels of a tile with filters in the lanes into a panel (taps, pixels)."""
    cdef const real *seen
    cdef Py_ssize_t t, i, pixels = tile.pixels.last - tile.pixels.first
    cdef bint neighbours = pixels == PACKED_PIXELS
    for i in range(1, pixels):
        neighbours = neighbours and tile.input[i] == tile.input[0] + i
    for t in range(taps.first, taps.last):
        seen = <const real *>unit.input + job.offset[t]
        if neighbours:
            memcpy(panel, seen + tile.input[0], PACKED_PIXELS * sizeof(real))
        else:
            for i in range(pixels):
                panel[i] = seen[tile.input[i]]
        panel += job.ukernels.tile_filters


cdef void tile_unit(real *workspace, const TileJob *job, Py_ssize_t index) noexcept nogil:
    """Compute some filters' maps over one strip of output rows of one image, or of several."""
    cdef TileUnit unit = find_tile_unit(job, index, workspace)
    cdef TileBatch batch
    cdef Py_ssize_t filters = ceil_div(job.blocks.filters, job.blocks.count)  # of a block
    cdef Py_ssize_t n, batches = ceil_div(unit.tiles, job.block_tiles), tile, block, products = 0
    cdef Py_ssize_t each = ceil_div(unit.tiles, batches)  # so that all but the last begin at a cache line, as a rule
    cdef Range taps
    cdef bint merges = job.lanes == PIXELS and job.arrays.output_step != 1
    if not job.in_place:
        fill_strip(workspace + strip_start(job), job, &unit)
    if job.lanes == FILTERS:  # in front of the sums, whole vectors of biases
        memcpy(workspace + job.sums, <const real *>job.arrays.bias + unit.group * job.blocks.filters,
               job.blocks.filters * sizeof(real))
    for n in range(batches):
        find_tiles(&batch, job, &unit, Range(n * each, min((n + 1) * each, unit.tiles)))
        if merges:
            unit.map_step = merged_step(job)
            unit.maps = workspace + job.merged - batch.tile[0].output[0]
        taps = Range(0, 0)
        while taps.last < job.window.taps:
            taps = next_chunk(job, taps)
            if job.im2col:
                for tile in range(batch.count):
                    fill_panel(workspace + job.panels + tile * panel_step(job), job, &unit, batch.tile[tile].pixels,
                               taps)
            elif packs_pixels(job, &unit):
                for tile in range(batch.count):
                    pack_tile(workspace + job.panels + tile * packed_step(job), job, &unit, &batch.tile[tile], taps)
            for block in range(unit.blocks.first, unit.blocks.last):
                if is_stopped(&products, filters * (taps.last - taps.first) * unit.pixels // batches):
                    return
                if job.lanes == PIXELS:
                    multiply_pixels(workspace, job, &unit, &batch, block, taps)
                else:
                    multiply_filters(workspace, job, &unit, &batch, block, taps)
        if merges:
            merge_maps(workspace + job.merged, job, &unit, pixels_of(&batch, job, &unit))
    if not job.requantizes and job.arrays.output_step == 1:
        finish_maps(<real *>unit.maps, job, &unit)


cdef inline Py_ssize_t merged_step(const TileJob *job) noexcept nogil:
    """Return the numbers from the sums of one filter to those of the next one, where maps are side by side."""
    return job.block_tiles * job.width


cdef Range pixels_of(const TileBatch *batch, const TileJob *job, const TileUnit *unit) noexcept nogil:
    """Return the pixels of a unit that some tiles compute; lanes are pixels."""
    cdef const Tile *last = &batch.tile[batch.count - 1]
    return Range(batch.tile[0].output[0],
                 min(last.output[last.vectors - 1] + job.ukernels.lanes, unit.strip.pixels))


cdef void merge_maps(real *sums, const TileJob *job, const TileUnit *unit, Range pixels) noexcept nogil:
    """Finish sums of some pixels (filters, pixels), and transpose them into maps that are side by side."""
    cdef const Arrays *arrays = &job.arrays
    cdef Range filters = filters_of(&job.blocks, unit.blocks)
    cdef Py_ssize_t step = merged_step(job), filter = unit.group * job.blocks.filters + filters.first
    cdef Py_ssize_t count = filters.last - filters.first
    cdef real *maps = (<real *>arrays.maps + unit.outputs + filters.first
                       + pixels.first * arrays.output_step)
    sums += filters.first * step
    finish_runs(sums, count, step, pixels.last - pixels.first, arrays, filter, 1, &job.epilogue)
    if job.nontemporal:
        job.ukernels.stream_transposed(maps, arrays.output_step, sums, step, count, pixels.last - pixels.first)
    else:
        job.ukernels.transpose(maps, arrays.output_step, sums, step, count, pixels.last - pixels.first)


cdef void finish_maps(real *maps, const TileJob *job, const TileUnit *unit) noexcept nogil:
    """Apply what is left of the epilogue to the outputs of a unit."""
    cdef Range filters = filters_of(&job.blocks, unit.blocks)
    cdef Py_ssize_t image, filter
    if job.ukernels.bytes.channels:
        for filter in range(filters.first, filters.last):
            finish_sums(<int32_t *>maps + filter * job.arrays.map_step[1], unit.strip.pixels, &job.arrays, 0,
                        &job.epilogue)
        return
    for image in range(unit.images):
        finish_runs(maps + image * job.arrays.map_step[0] + filters.first * job.arrays.map_step[1],
                    filters.last - filters.first, job.arrays.map_step[1], unit.strip.pixels, &job.arrays,
                    unit.group * job.blocks.filters + filters.first, 1, &job.epilogue)


cdef void multiply_pixels(real *workspace, const TileJob *job, const TileUnit *unit, const TileBatch *batch,
                          Py_ssize_t block, Range taps) noexcept nogil:
    """Add a chunk of taps of a block of filters to the maps of some tiles; lanes are pixels."""
    cdef fc_tile request
    cdef Py_ssize_t lanes = job.ukernels.lanes
    cdef const real *input = <const real *>unit.input
    cdef Range filters = nth_block(&job.blocks, block)
    cdef Py_ssize_t map_step = unit.map_step
    cdef real *maps = <real *>unit.maps + filters.first * map_step
    cdef real *sums = workspace + job.sums + filters.first * job.width
    cdef real *panel = workspace + job.panels
    cdef Py_ssize_t n, i, j, rows = min(filters.last, job.blocks.filters) - filters.first
    cdef Py_ssize_t nth = block - unit.blocks.first, blocks = unit.blocks.last - unit.blocks.first
    # Pixels of the next chunk, or of the next tiles, are prefetched: those of some channels with every tile and block,
    # which spreads the requests for memory over time, and channel by channel, as memory is fastest.
    cdef Py_ssize_t channel_step = job.arrays.image_step[1]
    cdef Py_ssize_t ahead = taps.last * channel_step if taps.last < job.window.taps else batch.count * job.width
    cdef bint more = (taps.last < job.window.taps
                      or batch.tile[batch.count - 1].pixels.last < unit.vectors * lanes)
    cdef const Tile *tile
    cdef bint ragged, packed = job.im2col or (job.in_place and nth > 0)  # pixels: by the first block, in place
    fill_tile_request(&request, job, unit, block, taps, <real>0)
    request.packed_step = job.width * sizeof(real) if packed or blocks > 1 else 0
    for n in range(batch.count):
        tile = &batch.tile[n]
        request.pack_to = NULL if packed or not job.in_place else panel
        request.packed = panel if packed else NULL
        if more and job.in_place:
            prefetch_rows(input + batch.tile[0].input[0] + ahead, channel_step, batch.count * job.width,
                          nth_part(request.taps, blocks * batch.count, nth * batch.count + n))
        # Vectors would reach beyond the map, or beyond rows that are narrower: they are summed in the workspace.
        ragged = unit.row_pixels < lanes or (job.im2col and tile.pixels.last > unit.strip.pixels)
        request.map_step = job.width if ragged else map_step
        for j in range(tile.vectors):
            request.image[j] = input + tile.input[j]
            request.map[j] = sums + j * lanes if ragged else maps + tile.output[j]
        if job.prefetch_maps and taps.first == 0:
            for i in range(rows):
                for j in range(tile.vectors):
                    prefetch_l1(<real *>request.map[j] + i * request.map_step)
        job.ukernels.tile[filters.last - filters.first][tile.vectors](&request)
        panel += panel_step(job)
        if ragged and taps.last == job.window.taps:
            for i in range(rows):
                for j in range(tile.vectors):
                    memcpy(maps + i * map_step + tile.output[j], sums + i * job.width + j * lanes,
                           min(min(lanes, unit.row_pixels), unit.strip.pixels - tile.output[j]) * sizeof(real))


cdef inline void prefetch_rows(const real *input, Py_ssize_t step, Py_ssize_t columns, Range rows) noexcept nogil:
    """Prefetch the first columns of some rows."""
    cdef Py_ssize_t row, n, line = LINE_BYTES // sizeof(real)
    for row in range(rows.first, rows.last):
        for n in range(ceil_div(columns, line)):
            prefetch_l2(input + row * step + n * line)


cdef void fill_tile_request(fc_tile *request, const TileJob *job, const TileUnit *unit, Py_ssize_t block, Range taps,
                            real _) noexcept nogil:
    """Fill in what all tiles of a block of filters and a chunk of taps have in common."""
    cdef Range filters = nth_block(&job.blocks, block)
    cdef Py_ssize_t filter = unit.group * job.blocks.filters + filters.first
    cdef bint last = taps.last == job.window.taps
    if job.packed:
        request.weight = <const real *>job.arrays.weight + packed_at(job, unit.group, block, taps)
        request.filter_step, request.tap_step = sizeof(real), (filters.last - filters.first) * sizeof(real)
    else:
        request.weight = (<const real *>job.arrays.weight + unit.group * job.blocks.filters * job.window.taps
                          + filters.first * job.filter_step + taps.first * job.tap_step)
        request.filter_step, request.tap_step = job.filter_step * sizeof(real), job.tap_step * sizeof(real)
    request.offset, request.taps = job.offset + taps.first, taps.last - taps.first
    request.bias = <const real *>job.arrays.bias + filter if taps.first == 0 else NULL
    request.low, request.high = job.epilogue.low if last else -INFINITY, job.epilogue.high if last else INFINITY


cdef void multiply_filters(real *workspace, const TileJob *job, const TileUnit *unit, const TileBatch *batch,
                           Py_ssize_t block, Range taps) noexcept nogil:
    """Add a chunk of taps of a block of filters to its sums (pixels, filters) of some tiles; lanes are filters."""
    cdef fc_filter_tile request
    cdef Range filters = nth_block(&job.blocks, block)
    cdef Py_ssize_t i, n, pixels, vectors = (filters.last - filters.first) // job.ukernels.lanes
    cdef Py_ssize_t blocks = unit.blocks.last - unit.blocks.first
    cdef Range summed = Range(batch.tile[0].pixels.first, batch.tile[batch.count - 1].pixels.last)
    cdef real *sums = workspace + job.sums + job.blocks.padded + filters.first * (summed.last - summed.first)
    cdef const real *weight = <const real *>job.arrays.weight + unit.group * job.blocks.filters * job.window.taps
    cdef const Tile *tile
    cdef Bank bank
    cdef bint last = taps.last == job.window.taps
    cdef bint by_rows = not job.packed and unit.pixels == 1 and job.tap_step == 1
    cdef bint packs = packs_pixels(job, unit)
    if job.packed:
        request.weight = <const real *>job.arrays.weight + packed_at(job, unit.group, block, taps)
    elif not by_rows:
        bank = even_bank(weight, job.blocks.filters, job.filter_step, job.window.taps, job.tap_step)
        pack_block(workspace + job.block, job, &bank, 0, filters, taps)
        request.weight = workspace + job.block
    request.offset, request.taps = job.offset + taps.first, taps.last - taps.first
    if packs:
        request.offset = job.packed_offset
    request.width = filters.last - filters.first
    request.bias = workspace + job.sums + filters.first if taps.first == 0 else NULL
    request.low, request.high = job.epilogue.low if last else -INFINITY, job.epilogue.high if last else INFINITY
    request.sums_step = request.width
    if job.arrays.output_step != 1:
        request.sums_step = job.arrays.output_step
        sums = <real *>unit.maps + summed.first * request.sums_step + filters.first
    for n in range(batch.count):
        tile = &batch.tile[n]
        pixels = tile.pixels.last - tile.pixels.first
        for i in range(pixels):
            if packs:
                request.pixel[i] = workspace + job.panels + n * packed_step(job) + i
            else:
                request.pixel[i] = <const real *>unit.input + tile.input[i]
        request.sums = sums + (tile.pixels.first - summed.first) * request.sums_step
        if by_rows:
            multiply_rows(&request, weight + taps.first, job, filters)
        else:
            if job.packed and (blocks > 1 or request.taps < job.window.taps):
                prefetch_weights(&request, n, batch.count, <real>0)
            elif not job.packed and job.filter_step == 1 and not last:  # the rows that are packed next, (taps, K)
                prefetch_part(&request, weight + taps.last * job.tap_step, job.tap_step,
                              (block - unit.blocks.first) * batch.count + n, blocks * batch.count)
            elif not job.in_place and job.arrays.pixel_step == 1:
                prefetch_strip(&request, job, unit, tile.pixels.first // job.ukernels.tile_filters, <real>0)
            else:
                request.prefetch, request.prefetch_step = request.weight, 0
            job.ukernels.filter_tile[pixels][vectors](&request)
    if last and job.arrays.output_step == 1:
        store_sums(sums, job, unit, block, Range(summed.first, min(summed.last, unit.pixels)))


cdef void prefetch_weights(fc_filter_tile *request, Py_ssize_t tile, Py_ssize_t tiles, real _) noexcept nogil:
    """Prefetch the weights behind these, an equal part of them with each of the tiles that use these."""
    prefetch_part(request, <const real *>request.weight + request.taps * request.width, request.width, tile, tiles)


cdef inline void prefetch_part(fc_filter_tile *request, const real *next, Py_ssize_t row, Py_ssize_t part,
                               Py_ssize_t parts) noexcept nogil:
    """Prefetch one of some equal parts of the next numbers, as many as rows of this length for all taps.

    The requests for memory are spread over time, rather than made by the first tile alone.
    """
    request.prefetch_step = ceil_div(row, parts)
    request.prefetch = next + request.taps * part * request.prefetch_step


cdef void prefetch_strip(fc_filter_tile *request, const TileJob *job, const TileUnit *unit, Py_ssize_t tile,
                         real _) noexcept nogil:
    """Prefetch a part of what the next strip copies beyond this one, with each tile of a unit, channel by channel."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[1]
    cdef Py_ssize_t row_step = arrays.image_step[3], first = unit.strip.first_row + unit.strip.rows
    cdef Py_ssize_t part = request.taps * request.width
    # rows may lie in one place, or backwards
    cdef Py_ssize_t parts = max(1, ceil_div(unit.strip.rows * job.strip.down * row_step, part)), channel = tile // parts
    request.prefetch, request.prefetch_step = request.weight, 0
    if channel < job.window.channels and first < arrays.map_size[1]:
        request.prefetch_step = request.width
        request.prefetch = (<const real *>arrays.images
                            + image_at(arrays, unit.strip.n, unit.group * job.window.channels + channel)
                            + ((first - 1) * job.strip.down + 1 + axis.reach - axis.pad) * row_step
                            + tile % parts * part)


cdef void multiply_rows(fc_filter_tile *request, const real *weight, const TileJob *job, Range filters) noexcept nogil:
    """Multiply one pixel by filters (K, taps) that are not packed, vector by vector: packing would cost more (GEMV)."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, vector, first
    cdef const real *bias = <const real *>request.bias
    cdef real *sums = <real *>request.sums
    request.width = job.window.taps
    for vector in range((filters.last - filters.first) // lanes):
        first = filters.first + vector * lanes
        request.weight = weight + first * job.window.taps
        request.sums = sums + vector * lanes
        if bias != NULL:
            request.bias = bias + vector * lanes
        job.ukernels.one_pixel(request, job.blocks.filters - first)


cdef void store_sums(const real *sums, const TileJob *job, const TileUnit *unit, Py_ssize_t block,
                     Range pixels) noexcept nogil:
    """Transpose the sums (pixels, filters) of a block of filters and of some of the unit's pixels into their maps."""
    cdef Range filters = nth_block(&job.blocks, block), some
    cdef Py_ssize_t image, width = filters.last - filters.first, map_step = job.arrays.map_step[1], at
    cdef const float *multiplier = (<const float *>job.arrays.weight
                                    + job.window.groups * job.blocks.padded * job.window.taps
                                    + unit.group * job.blocks.filters + filters.first)
    filters.last = min(filters.last, job.blocks.filters)
    for image in range(pixels.first // unit.strip.pixels, ceil_div(pixels.last, unit.strip.pixels)):
        some = Range(max(pixels.first, image * unit.strip.pixels), min(pixels.last, (image + 1) * unit.strip.pixels))
        at = (unit.outputs + image * job.arrays.map_step[0] + filters.first * map_step
              + some.first - image * unit.strip.pixels)
        if job.requantizes:
            job.ukernels.bytes.requantize(<char *>job.arrays.maps + at, map_step, sums, width, some.last - some.first,
                                          filters.last - filters.first, multiplier, job.zero, job.is_signed)
        else:
            job.ukernels.transpose(<real *>job.arrays.maps + at, map_step,
                                   sums + (some.first - pixels.first) * width, width, some.last - some.first,
                                   filters.last - filters.first)
