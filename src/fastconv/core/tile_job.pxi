# Convolution by register tiles: the job and its units. Part of _core.pyx.
#
#     image (C, D, H, W)                                            read in place if there is no padding, else
#       -> strip (C * kd, row phases, rows, column phases, pitch)   padded copy of the rows that a unit reads
#       -> panel (taps of a chunk, width)                           im2col: a register tile's pixels, tap by tap
#       -> register tile                                            filters x vectors of pixels, weights broadcast;
#                                                                   or pixels x vectors of filters, pixels broadcast
#       -> maps (K, D', H', W')
#
# Panels are made where rows are too short to fill vectors, and where a tile reads an image in place, for the blocks of
# filters after the first. Vectors of filters are summed in the workspace, and transposed into the maps at the end.
#
# Uses: job.pxi, epilogue.pxi, filters.pxi, bank.pxi.


cdef enum:
    ALIGNED_PITCH = 256  # numbers of a row of a strip, from which on rows are aligned
    LINE_NUMBERS = 16   # to which they are: of a cache line, or two
    BLOCK_TILES = 32    # register tiles at most that are multiplied by all blocks of filters in turn


cdef struct StripShape:
    # A padded copy of the input of some output rows; steps count numbers.
    Py_ssize_t pitch       # of one phase of a row
    Py_ssize_t row_step    # from one row of a phase to the next
    Py_ssize_t plane_step  # from one phase of the rows to the next
    Py_ssize_t down, across  # rows and numbers of a phase from one output to the next: 1, or the stride without phases


cdef struct TileJob:
    const fc_kernels *ukernels
    Arrays arrays
    Window window
    Epilogue epilogue
    FilterBlocks blocks
    Lanes lanes
    bint packed                # the weights; else they are as given:
    Py_ssize_t filter_step, tap_step  # from one filter of a group to the next, and from one tap
    bint im2col                # copy pixels into panels, rather than read them from the strip
    bint in_place              # read the image, not a strip
    bint packs_pixels          # copy them from the image into panels, for many blocks of filters in the lanes
    bint prefetch_maps         # that are larger than the cache, before they are written
    bint nontemporal           # stores of maps that are side by side: past the cache
    bint by_position           # of the kernel: sum all channels of one, then those of the next one
    unsigned flip              # bits of a strip of numbers that hold bytes, whose zeros are not the zero point
    bint requantizes           # sums to bytes, with multipliers (K,) behind the weights:
    int zero                   # of these
    bint is_signed
    StripShape strip
    const Py_ssize_t *offset   # from the input of a pixel to what each tap reads (taps,)
    const Py_ssize_t *packed_offset  # the same in these panels (chunk,)
    Py_ssize_t vectors         # of pixels, in a full register tile
    Py_ssize_t width           # numbers of one tap in a panel, or of a block of filters
    Py_ssize_t chunk           # taps that are summed before the next ones
    Py_ssize_t block_tiles     # register tiles that are multiplied by all blocks of filters in turn
    Py_ssize_t strip_rows      # of the output, at most
    Py_ssize_t images          # of a unit, at most: tiles of filters in the lanes run on over the pixels of small maps
    Py_ssize_t batches, strips, parts  # that the batch, the rows of a map, and the blocks of filters are cut into
    Py_ssize_t panels, sums, block  # places of panels, sums and a packed block of filters in the workspace, in numbers
    Py_ssize_t merged          # and of the sums of some tiles, whose maps are side by side


cdef struct TileUnit:
    # Some output rows of one image, or of several, for some blocks of the filters of one group.
    Strip strip                # of the first image
    Py_ssize_t images, pixels  # pixels of all images
    Py_ssize_t group
    Range blocks
    Py_ssize_t row_pixels      # that vectors must not reach beyond: a row of the map, or all with im2col or in place
    Py_ssize_t row_vectors     # of as many pixels
    Py_ssize_t vectors, tiles  # in all
    const void *input          # the first pixel's input, in the image or in the strip
    Py_ssize_t image_step      # from the input of one image to the next one's
    Py_ssize_t outputs         # place in `maps` of the first pixel in the group's first map
    void *maps                 # where its sums are written: there, or in the workspace
    Py_ssize_t map_step        # from one of them to the next


cdef inline Py_ssize_t image_strip(const TileJob *job) noexcept nogil:
    """Return the numbers of the strip of one image."""
    return job.window.channels * job.window.axis[0].taps * job.window.axis[1].phases * job.strip.plane_step


cdef inline Py_ssize_t strip_start(const TileJob *job) noexcept nogil:
    """Return where the strip begins in the workspace, so that the first pixels of its rows begin at cache lines."""
    return -job.window.axis[2].pad & (LINE_NUMBERS - 1)


cdef TileUnit find_tile_unit(const TileJob *job, Py_ssize_t index, real *workspace) noexcept nogil:
    """Return a unit of the job; its input is in the image, or will be in a strip at the start of the workspace."""
    cdef TileUnit unit
    cdef Range images
    cdef const Arrays *arrays = &job.arrays
    cdef const Window *window = &job.window
    unit.blocks = nth_part(job.blocks.count, job.parts, index % job.parts)
    unit.strip = find_strip(arrays, job.strips, index // job.parts)
    unit.group = unit.strip.n % window.groups
    images = nth_part(arrays.batch, job.batches, unit.strip.n // window.groups)
    unit.strip.n, unit.images = images.first, images.last - images.first
    unit.pixels = unit.images * unit.strip.pixels
    unit.row_pixels = arrays.map_size[2]
    if job.lanes == PIXELS and (job.im2col or job.in_place):
        unit.row_pixels = unit.strip.pixels
    unit.row_vectors = ceil_div(unit.row_pixels, job.ukernels.lanes)
    unit.vectors = unit.row_vectors * (unit.strip.rows if unit.row_pixels < unit.strip.pixels else 1)
    if job.lanes == FILTERS:
        unit.tiles = ceil_div(unit.pixels, job.ukernels.tile_filters)
    else:
        unit.tiles = ceil_div(unit.vectors, job.vectors)
    unit.input, unit.image_step = workspace + strip_start(job), image_strip(job)
    if job.in_place:
        unit.image_step = arrays.image_step[0]
        unit.input = (<const real *>arrays.images + image_at(arrays, unit.strip.n, unit.group * window.channels)
                      + (unit.strip.depth * window.axis[0].stride - window.axis[0].pad) * arrays.image_step[2]
                      + (unit.strip.first_row * window.axis[1].stride * job.strip.down - window.axis[1].pad)
                      * arrays.image_step[3] - window.axis[2].pad)
    unit.outputs = (map_at(arrays, unit.strip.n, unit.group * window.filters, unit.strip.depth, 0)
                    + unit.strip.first_row * arrays.map_size[2] * arrays.output_step)
    unit.maps, unit.map_step = <real *>arrays.maps + unit.outputs, arrays.map_step[1]
    return unit


cdef Range next_chunk(const TileJob *job, Range taps) noexcept nogil:
    """Return the taps of the chunk after some taps; a chunk by position does not go beyond the position's channels."""
    cdef Py_ssize_t channels = job.window.channels
    cdef Py_ssize_t end = (taps.last // channels + 1) * channels if job.by_position else job.window.taps
    return Range(taps.last, min(taps.last + job.chunk, end))


cdef Py_ssize_t packed_at(const TileJob *job, Py_ssize_t group, Py_ssize_t block, Range taps) noexcept nogil:
    """Return the place of some taps' packed weights: they lie chunk by chunk, each block by block (taps, filters)."""
    cdef Py_ssize_t padded = job.blocks.padded
    return (group * padded * job.window.taps + taps.first * padded
            + nth_block(&job.blocks, block).first * (taps.last - taps.first))


cdef void pack_block(real *packed, const TileJob *job, const Bank *bank, Py_ssize_t first, Range filters,
                     Range taps) noexcept nogil:
    """Transpose some taps of a block of a group's filters into the order in which tiles read them, (taps, filters).

    The first filter of the group is this one of the bank; numbers that fill up the last vector of filters are zero.
    """
    cdef Py_ssize_t t, width = filters.last - filters.first
    cdef Py_ssize_t count = min(filters.last, job.blocks.filters) - filters.first
    first += filters.first
    transpose_taps(packed, width, bank, Range(first, first + count), taps, job.ukernels)
    if count < width:
        for t in range(taps.last - taps.first):
            memset(packed + t * width + count, 0, (width - count) * sizeof(real))


cdef void pack_filters(real *packed, const TileJob *job, const Bank *bank, Py_ssize_t first) noexcept nogil:
    """Pack a piece of the bank, the filters from `first` on, counted over all groups."""
    cdef Py_ssize_t filters = job.blocks.filters, last = first + bank.filters, group, block, start
    cdef Range some, taps
    for group in range(first // filters, ceil_div(last, filters)):
        for block in range(job.blocks.count):
            some, taps, start = nth_block(&job.blocks, block), Range(0, 0), group * filters - first
            if not 0 <= start + some.first < bank.filters:
                continue
            while taps.last < job.window.taps:
                taps = next_chunk(job, taps)
                pack_block(packed + packed_at(job, group, block, taps), job, bank, start, some, taps)
