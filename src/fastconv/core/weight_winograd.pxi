# The gradient of weights by the adjoint of Winograd convolution. Part of _core.pyx.
#
#     gradient of the weights = G^T [ sum over tiles of (A^T g A) * (B d B^T) ] G
#
# d: a tile of the image, g: the same tile of the gradient of the maps, zeros beyond their edge; the forms are those of
# winograd_job.pxi. Images one after another are cut into strips, rows of tiles, and some strips make a block:
#
#     image -> strip -> between -> image tiles (positions, tiles, virtual channels)       as forward
#     gradient of maps -> strip -> between -> map tiles (blocks of filters, positions, tiles, filters)
#       -> sums (positions, channels, filters)                                            a GEMM at every position
#       -> between (taps of rows, positions of columns, filters) -> totals (channels, taps, filters)
#       -> gradient (K, virtual channels, taps)                                           with the last block
#
# The sums of one block after another are added: in which order depends on shapes alone. Threads share channels and
# filters, never a sum.
#
# Uses: job.pxi, filters.pxi, winograd_job.pxi, winograd.pxi.


cdef enum:
    UNIT_CHANNELS = 32  # whose sums, with a block of filters, stay in the second-level cache


cdef struct WeightWinogradPlaces:
    # Where things lie in a workspace of products, in numbers; whole vectors of zeros come first.
    Py_ssize_t sums, between, totals


cdef struct WeightWinogradJob:
    WinogradJob image          # how tiles of the image are transformed, for a bank of filters of this kernel
    WinogradJob maps           # how tiles of the gradient of the maps are: their input are the `outputs` of the forms
    const void *G_y            # (positions, taps), of rows
    const void *G_x            # and of columns
    Py_ssize_t strips          # of all images
    Py_ssize_t column_parts    # that a row of tiles is cut into: its strips
    Range block                # the strips of this one
    Py_ssize_t group           # of channels and filters
    const Py_ssize_t *offset   # of the tiles of a block in the transformed image
    Py_ssize_t width           # filters of a block, at most
    Py_ssize_t map_block_step  # from the transformed tiles of a block of filters to the next, in numbers
    Py_ssize_t sums_step       # from one position of the sums to the next
    void *image_tiles          # shared by all threads
    void *map_tiles
    void *totals               # (blocks of filters, virtual channels, taps, width); NULL if one block is all
    void *gradient             # (K, virtual channels, taps)
    bint *nonfinite            # set if any of its numbers is NaN or infinite
    WeightWinogradPlaces at


cdef struct TileSegment:
    # Neighbouring rows of tiles of one image in a block, and how many tiles of the block come before them.
    Block block
    Py_ssize_t before


cdef bint next_segment(TileSegment *segment, Range *strips, const WeightWinogradJob *job) noexcept nogil:
    """Take the first rows of tiles of one image off some strips; return False if none is left."""
    cdef const WinogradJob *image = &job.image
    cdef Block *block = &segment.block
    cdef Py_ssize_t rows = count_tiles(image, &image.y, 1), index
    if strips.first >= strips.last:
        return False
    block.rows.first = strips.first % rows
    block.rows.last = min(rows, block.rows.first + strips.last - strips.first)
    index = strips.first // rows
    strips.first += block.rows.last - block.rows.first
    block.columns = nth_part(count_tiles(image, &image.x, 2), job.column_parts, index % job.column_parts)
    index //= job.column_parts
    block.phase = index % image.window.axis[1].dilation
    index //= image.window.axis[1].dilation
    block.depth, block.n = index % image.arrays.map_size[0], index // image.arrays.map_size[0]
    block.group = job.group
    block.places = Range(0, (block.rows.last - block.rows.first) * (block.columns.last - block.columns.first))
    segment.before += block.tiles  # of the segment before this one
    block.tiles = block.places.last * image.window.axis[2].dilation
    return True


cdef Py_ssize_t count_block_tiles(const WeightWinogradJob *job) noexcept nogil:
    cdef TileSegment segment
    cdef Range strips = job.block
    segment.before = segment.block.tiles = 0
    while next_segment(&segment, &strips, job):
        pass
    return segment.before + segment.block.tiles


cdef void transform_block_channels(real *to, real *workspace, const WeightWinogradJob *job, const WinogradJob *part,
                                   Py_ssize_t channel) noexcept nogil:
    """Transform the tiles of a block of `lanes` virtual channels of the image, or of its gradients of maps."""
    cdef TileSegment segment
    cdef Range strips = job.block
    segment.before = segment.block.tiles = 0
    while next_segment(&segment, &strips, job):
        segment.block.z = depth_at(&part.window, &part.arrays, segment.block.depth, 0)
        transform_channels(to + segment.before * part.many.tile_step, workspace, part, &segment.block, channel)


cdef void weight_transform_unit(real *workspace, const WeightWinogradJob *job, Py_ssize_t index) noexcept nogil:
    """Transform a block's tiles of some channels of the image, or of a block of filters."""
    cdef Py_ssize_t lanes = job.image.ukernels.lanes, image_units = ceil_div(job.image.views, lanes), vector
    cdef WinogradJob maps = job.maps
    cdef Range filters
    cdef real *to
    if index < image_units:
        transform_block_channels(<real *>job.image_tiles + index * lanes, workspace, job, &job.image, index * lanes)
        return
    filters = nth_block(&job.image.blocks, index - image_units)
    to = <real *>job.map_tiles + (index - image_units) * job.map_block_step
    maps.many.tile_step = filters.last - filters.first
    for vector in range(maps.many.tile_step // lanes):
        transform_block_channels(to + vector * lanes, workspace, job, &maps, filters.first + vector * lanes)


cdef void weight_product_unit(real *workspace, const WeightWinogradJob *job, Py_ssize_t index) noexcept nogil:
    """Add a block's products of some channels and a block of filters to the gradient of their weights."""
    cdef const WinogradJob *image = &job.image
    cdef Py_ssize_t block = index % image.blocks.count, channel, taps = image.y.taps * image.x.taps
    cdef Range filters = nth_block(&image.blocks, block), channels
    cdef real *totals = workspace + job.at.totals
    cdef bint nonfinite = False
    channels.first = index // image.blocks.count * UNIT_CHANNELS
    channels.last = min(image.channels, channels.first + UNIT_CHANNELS)
    multiply_positions(workspace, job, block, channels, filters)
    if job.totals != NULL:
        totals = <real *>job.totals + (block * image.channels + channels.first) * taps * job.width
    for channel in range(channels.last - channels.first):
        nonfinite |= collect_channel(totals + channel * taps * job.width, workspace, job, channel,
                                     filters.last - filters.first)
    if job.block.last == job.strips:
        if nonfinite:
            job.nonfinite[0] = True
        image.ukernels.transpose(
            <real *>job.gradient + ((job.group * image.window.filters + filters.first) * image.channels
                                    + channels.first) * taps,
            image.channels * taps, totals, job.width, (channels.last - channels.first) * taps,
            min(filters.last, image.window.filters) - filters.first)


cdef void multiply_positions(real *workspace, const WeightWinogradJob *job, Py_ssize_t block, Range channels,
                             Range filters) noexcept nogil:
    """Sum over the tiles of a block at every position: sums (positions, channels, filters)."""
    cdef const WinogradJob *image = &job.image
    cdef Py_ssize_t position, channel, count, i
    cdef const real *map_tiles = <const real *>job.map_tiles + block * job.map_block_step
    cdef const real *image_tiles = <const real *>job.image_tiles
    cdef real *sums = workspace + job.at.sums
    cdef fc_filter_tile request
    memset(workspace, 0, job.width * sizeof(real))
    request.offset, request.taps, request.bias = job.offset, count_block_tiles(job), workspace
    request.width = filters.last - filters.first
    request.sums_step, request.low, request.high = job.width, -INFINITY, INFINITY
    for position in range(image.y.positions * image.x.positions):
        request.weight = map_tiles + position * job.maps.many.position_step
        request.prefetch = request.weight
        channel = channels.first
        while channel < channels.last:
            count = min(image.ukernels.tile_filters, channels.last - channel)
            for i in range(count):
                request.pixel[i] = image_tiles + position * image.many.position_step + channel + i
            request.sums = sums + position * job.sums_step + (channel - channels.first) * job.width
            image.ukernels.filter_tile[count][request.width // image.ukernels.lanes](&request)
            channel += count


cdef bint collect_channel(real *totals, real *workspace, const WeightWinogradJob *job, Py_ssize_t channel,
                          Py_ssize_t filters) noexcept nogil:
    """Transform the sums of one channel and a block of filters to taps, and add them to totals (taps, filters).

    Return whether any total is not finite.
    """
    cdef const AxisTransform *y = &job.image.y
    cdef const AxisTransform *x = &job.image.x
    cdef const real *sums = workspace + job.at.sums + channel * job.width
    cdef real *between = workspace + job.at.between
    cdef Py_ssize_t i
    cdef fc_transform request
    request.item_step = request.to_item_step = job.image.ukernels.lanes
    request.items = filters // job.image.ukernels.lanes
    request.matrix, request.runs, request.run_step = job.G_y, x.positions, job.sums_step
    request.to, request.to_run_step, request.to_step = between, job.width, x.positions * job.width
    for i in range(y.positions):
        request.source[i] = sums + i * x.positions * job.sums_step
    job.image.ukernels.collect(&request, y.positions, y.taps, False)
    request.matrix, request.runs, request.run_step = job.G_x, y.taps, x.positions * job.width
    request.to, request.to_run_step, request.to_step = totals, x.taps * job.width, job.width
    for i in range(x.positions):
        request.source[i] = between + i * job.width
    return job.image.ukernels.collect(&request, x.positions, x.taps, job.block.first > 0)
