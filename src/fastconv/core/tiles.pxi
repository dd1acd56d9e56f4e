# Register tiles of pixels and filters. Part of _core.pyx.


cdef struct Tile:
    # Some neighbouring pixels of a unit, and where their vectors begin in what is read (image or strip) and in a
    # map; when lanes are filters, only where every pixel is read.
    Range pixels
    Py_ssize_t vectors
    Py_ssize_t[TILE_MAX_FILTERS] seen
    Py_ssize_t[TILE_MAX_VECTORS] place


cdef void find_tile(Tile *tile, const Job *job, const Unit *unit, Py_ssize_t index) noexcept nogil:
    """Find a tile; its last vector may reach beyond the unit in the tile's panel, and moves back elsewhere."""
    cdef Range vectors = share(unit.vectors, unit.tiles, index)
    cdef Py_ssize_t j, row, column, lanes = job.kernels.lanes
    cdef Py_ssize_t down = job.step[1] * (job.image_step[3] if job.in_place else job.row_step)
    if job.lanes == FILTERS:
        tile.pixels = share(unit.pixels, unit.tiles, index)
        for j in range(tile.pixels.last - tile.pixels.first):
            row, column = (tile.pixels.first + j) // unit.columns, (tile.pixels.first + j) % unit.columns
            tile.seen[j] = row * down + column * job.step[2]
        return
    tile.pixels = Range(vectors.first * lanes, vectors.last * lanes)
    tile.vectors = vectors.last - vectors.first
    for j in range(tile.vectors):
        row, column = (vectors.first + j) // unit.row_vectors, (vectors.first + j) % unit.row_vectors * lanes
        if not job.panels:
            column = min(column, unit.columns - lanes)
        tile.seen[j] = row * down + column
        tile.place[j] = row * unit.columns + column


cdef void convolve_unit(real *workspace, const Job *job, Py_ssize_t index) noexcept nogil:
    """Compute some filters' maps over one strip of output rows of one image.

    Panels of pixels meet blocks of filters, chunk of taps by chunk, so that what meets is in the cache.
    """
    cdef Unit unit = find_unit(job, index)
    cdef Py_ssize_t[3 * TILE_MAX_VECTORS * 16] runs
    cdef real *strip = workspace
    cdef real *panels = strip + job.strip_numbers
    cdef real *sums = panels + job.panel_numbers
    cdef const real *image = (<const real *>job.images + unit.n * job.image_step[0]
                              + unit.group * job.channels * job.image_step[1])
    cdef real *maps = (<real *>job.maps + unit.n * job.map_step[0] + unit.group * job.filters * job.map_step[1]
                       + unit.depth * job.map_step[2] + unit.first_row * job.map_size[2])
    cdef Tile[BLOCK_TILES] tiles
    cdef Py_ssize_t tile, turn, turns = ceiling(unit.tiles, job.block_tiles), count, block, products = 0
    cdef Py_ssize_t filters = ceiling(job.filters, filter_blocks(job))  # of a block
    cdef Range taps, some
    if job.in_place:
        strip = <real *>(image + unit.depth * job.axis[0].stride * job.image_step[2]
                         + unit.first_row * job.step[1] * job.image_step[3])
    else:
        fill_strip(strip, image, job, unit.depth, unit.first_row, unit.rows)
    if job.lanes == FILTERS:  # in front of the sums, whole vectors of biases
        memcpy(sums, <const real *>job.bias + unit.group * job.filters, job.filters * sizeof(real))
    for turn in range(turns):
        some = share(unit.tiles, turns, turn)
        count = some.last - some.first
        for tile in range(count):
            find_tile(tiles + tile, job, &unit, some.first + tile)
        taps = Range(0, 0)
        while taps.last < job.taps:
            taps = next_chunk(job, taps)
            if job.panels:
                for tile in range(count):
                    fill_panel(panels + tile * panel_step(job), strip, job, tiles[tile].pixels, unit.pixels, taps, runs)
            for block in range(unit.blocks.first, unit.blocks.last):
                if is_stopped(&products, filters * (taps.last - taps.first) * unit.pixels // turns):
                    return
                if job.lanes == PIXELS:
                    multiply_pixels(maps, strip, panels, sums, job, &unit, tiles, count, block, taps)
                else:
                    multiply_filters(sums, strip, job, &unit, tiles, count, block, taps)
    if job.lanes == FILTERS:
        finish_sums(maps, sums + packed_rows(job), job, &unit)
    if job.activation > RELU6:
        activate_maps(maps, job, &unit)


cdef void multiply_pixels(real *maps, const real *strip, real *panels, real *sums, const Job *job, const Unit *unit,
                          const Tile *tiles, Py_ssize_t count, Py_ssize_t block, Range taps) noexcept nogil:
    """Add to some tiles of maps what some taps of a block of filters see; lanes are pixels."""
    cdef fc_tile request
    cdef Range filters = filter_block(job, block)
    cdef Py_ssize_t i, j, rows = filters.last - filters.first, filter = unit.group * job.filters + filters.first
    cdef Py_ssize_t nth = block - unit.blocks.first, blocks = unit.blocks.last - unit.blocks.first
    # What is seen next, through further taps or by further tiles, is fetched: by the first block all at once, or, if
    # there are enough, by those after it, each a vector of every tile, so that memory is not asked in bursts.
    cdef Py_ssize_t ahead = taps.last * job.image_step[1] if taps.last < job.taps else count * job.width
    cdef bint spread = blocks > job.vectors
    cdef Py_ssize_t fetched = nth - 1 if spread else nth
    cdef bint more = taps.last < job.taps or tiles[count - 1].pixels.last < unit.vectors * job.kernels.lanes
    cdef const Tile *tile
    cdef bint ragged, kept = job.panels or (job.in_place and nth > 0)  # what the first block saw
    cdef real *panel = panels
    maps += filters.first * job.map_step[1]
    sums += filters.first * job.width
    request.weight = <const real *>job.weight + (
        packed_place(job, unit.group, block, taps) if job.packed else filter * job.taps + taps.first)
    request.filter_step = (1 if job.packed else job.taps) * sizeof(real)
    request.tap_step = (rows if job.packed else 1) * sizeof(real)
    request.taps = taps.last - taps.first
    request.offset = job.offset + taps.first
    request.packed_step = job.width * sizeof(real) if kept or blocks > 1 else 0
    request.bias = <const real *>job.bias + filter if taps.first == 0 else NULL
    request.low = job.low if taps.last == job.taps else -INFINITY
    request.high = job.high if taps.last == job.taps else INFINITY
    for tile in tiles[:count]:
        request.pack_to = NULL if kept or not job.in_place else panel
        request.packed = panel if kept else NULL
        if more and job.in_place and 0 <= fetched < (tile.vectors if spread else 1):
            request.prefetch, request.prefetch_step = strip + tile.seen[fetched] + ahead, job.image_step[1] * sizeof(real)
        else:
            request.prefetch, request.prefetch_step = panel, 0
        ragged = job.panels and tile.pixels.last > unit.pixels  # sums wait in the workspace until they are whole
        request.map_step = job.width if ragged else job.map_step[1]
        for j in range(tile.vectors):
            request.image[j] = strip + tile.seen[j]
            request.map[j] = sums + j * job.kernels.lanes if ragged else maps + tile.place[j]
        if job.far_maps and taps.first == 0:
            for i in range(rows):
                for j in range(tile.vectors):
                    prefetch_l1(<real *>request.map[j] + i * request.map_step)
        job.kernels.tile[rows][tile.vectors](&request)
        panel += panel_step(job)
        if ragged and taps.last == job.taps:
            for i in range(rows):
                memcpy(maps + i * job.map_step[1] + tile.pixels.first, sums + i * job.width,
                       (unit.pixels - tile.pixels.first) * sizeof(real))


cdef void multiply_filters(real *sums, const real *seen, const Job *job, const Unit *unit, const Tile *tiles,
                           Py_ssize_t count, Py_ssize_t block, Range taps) noexcept nogil:
    """Add to the sums of some tiles what some taps of a block of filters see; lanes are filters."""
    cdef fc_filter_tile request
    cdef Range filters = filter_block(job, block)
    cdef Py_ssize_t i, pixels, vectors = (filters.last - filters.first) // job.kernels.lanes
    cdef const real *weight = <const real *>job.weight + unit.group * job.filters * job.taps
    cdef const Tile *tile
    if job.packed:
        weight = <const real *>job.weight + packed_place(job, unit.group, block, taps)
    elif unit.pixels > 1:
        pack_block(sums + job.sums_numbers, weight, job, filters, taps)
        weight = sums + job.sums_numbers
    request.offset, request.taps = job.offset + taps.first, taps.last - taps.first
    request.weight, request.width = weight, filters.last - filters.first
    request.bias = sums + filters.first if taps.first == 0 else NULL
    request.low = job.low if taps.last == job.taps else -INFINITY
    request.high = job.high if taps.last == job.taps else INFINITY
    request.sums_step = packed_rows(job)
    for tile in tiles[:count]:
        pixels = tile.pixels.last - tile.pixels.first
        for i in range(pixels):
            request.pixel[i] = seen + tile.seen[i]
        request.sums = sums + (1 + tile.pixels.first) * request.sums_step + filters.first
        if job.packed or unit.pixels > 1:
            look_ahead(&request, tile - tiles, count, <real>0)
            job.kernels.filter_tile[pixels][vectors](&request)
        else:
            multiply_rows(&request, weight + taps.first, job, filters)


cdef void look_ahead(fc_filter_tile *request, Py_ssize_t tile, Py_ssize_t tiles, real _) noexcept nogil:
    """Let one of several tiles that meet the same weights fetch its share of those that come next, so that memory,
    which takes longer than the cache, is asked all the time and not by the first tile alone."""
    request.prefetch_step = request.width // tiles
    request.prefetch = <const real *>request.weight + request.taps * (request.width + tile * request.prefetch_step)


cdef void multiply_rows(fc_filter_tile *request, const real *weight, const Job *job, Range filters) noexcept nogil:
    """Add to the sums of one pixel what filters see whose weights (K, taps) are not packed, vector by vector."""
    cdef Py_ssize_t lanes = job.kernels.lanes, vector, first
    cdef const real *bias = <const real *>request.bias
    cdef real *sums = <real *>request.sums
    request.width = job.taps
    for vector in range((filters.last - filters.first) // lanes):
        first = filters.first + vector * lanes
        request.weight = weight + first * job.taps
        request.sums = sums + vector * lanes
        if bias != NULL:
            request.bias = bias + vector * lanes
        job.kernels.one_pixel(request, job.filters - first)


cdef void convolve_unit_by_position(real *workspace, const Job *job, Py_ssize_t index) noexcept nogil:
    """Do the same, one position of the kernel after the other: read the image in place, and nothing beyond it."""
    cdef Unit unit = find_unit(job, index)
    cdef const real *image = (<const real *>job.images + unit.n * job.image_step[0]
                              + unit.group * job.channels * job.image_step[1])
    cdef real *maps = (<real *>job.maps + unit.n * job.map_step[0] + unit.group * job.filters * job.map_step[1]
                       + unit.depth * job.map_step[2] + unit.first_row * job.map_size[2])
    cdef real *sums = workspace  # (pixels, K)
    cdef Range taps = Range(0, 0)
    cdef Py_ssize_t pixel, block, products = 0
    for pixel in range(unit.pixels):
        memcpy(sums + pixel * packed_rows(job), <const real *>job.bias + unit.group * job.filters,
               job.filters * sizeof(real))
    while taps.last < job.taps:
        taps = next_chunk(job, taps)
        if is_stopped(&products, job.filters * (taps.last - taps.first) * unit.pixels):
            return
        for block in range(unit.blocks.first, unit.blocks.last):
            multiply_position(sums, image, job, &unit, block, taps)
    finish_sums(maps, sums, job, &unit)
    if job.activation != IDENTITY:
        activate_maps(maps, job, &unit)


cdef void multiply_position(real *sums, const real *image, const Job *job, const Unit *unit, Py_ssize_t block,
                            Range taps) noexcept nogil:
    """Add to the sums (pixels, K) what a block of filters sees through some channels of one position of the kernel."""
    cdef fc_filter_tile request
    cdef Range filters = filter_block(job, block), rows, columns, some
    cdef Py_ssize_t position = taps.first // job.channels, vectors = (filters.last - filters.first) // job.kernels.lanes
    cdef Py_ssize_t i, row, tile, count, stride = job.axis[2].stride
    columns = seeing(&job.axis[2], position % job.axis[2].taps, job.size[2], Range(0, job.map_size[2]))
    position //= job.axis[2].taps
    rows = seeing(&job.axis[1], position % job.axis[1].taps, job.size[1],
                  Range(unit.first_row, unit.first_row + unit.rows))
    if seen(&job.axis[0], unit.depth, position // job.axis[1].taps, job.size[0], ZEROS) < 0:
        return
    image += (unit.depth * job.axis[0].stride - job.axis[0].pad) * job.image_step[2] - job.axis[2].pad
    count = ceiling(columns.last - columns.first, job.kernels.tile_filters)
    request.offset, request.taps = job.offset + taps.first, taps.last - taps.first
    request.weight = <const real *>job.weight + packed_place(job, unit.group, block, taps)
    request.width, request.sums_step = filters.last - filters.first, packed_rows(job)
    request.bias, request.low, request.high = NULL, -INFINITY, INFINITY
    for row in range(rows.first, rows.last):
        for tile in range(count):
            some = share(columns.last - columns.first, count, tile)
            for i in range(some.last - some.first):
                request.pixel[i] = (image + (row * job.axis[1].stride - job.axis[1].pad) * job.image_step[3]
                                    + (columns.first + some.first + i) * stride)
            i = (row - unit.first_row) * job.map_size[2] + columns.first + some.first
            request.sums = sums + i * request.sums_step + filters.first
            look_ahead(&request, tile, count, <real>0)
            job.kernels.filter_tile[some.last - some.first][vectors](&request)


cdef void finish_sums(real *maps, const real *sums, const Job *job, const Unit *unit) noexcept nogil:
    """Write the sums (pixels, K) of a unit's filters to their maps."""
    cdef Range filters = unit_filters(job, unit)
    job.kernels.transpose(maps + filters.first * job.map_step[1], job.map_step[1], sums + filters.first,
                          packed_rows(job), unit.pixels, filters.last - filters.first)
