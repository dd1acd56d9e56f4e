# The filters of a group in blocks: what one register tile, or one pass over the pixels, computes. Part of _core.pyx.
#
# Uses: geometry.pxd, kernels.pxd.


cdef enum:
    PIECE_NUMBERS = 1 << 19  # of weights that are packed at a time: 2 to 4 MB, between two questions for interrupts


cdef enum Lanes:
    # What a vector of sums holds: neighbouring pixels of one map, or the same pixel of neighbouring maps.
    PIXELS
    FILTERS


cdef struct FilterBlocks:
    # The filters of a group, cut into `count` blocks of whole units.
    Py_ssize_t filters
    Py_ssize_t unit    # filters: one, or a vector of them where lanes are filters
    Py_ssize_t units
    Py_ssize_t padded  # filters in all units: the last vector may not be full
    Py_ssize_t count


cdef FilterBlocks make_filter_blocks(Py_ssize_t filters, Lanes lanes, const fc_kernels *ukernels) noexcept nogil:
    cdef FilterBlocks blocks
    cdef Py_ssize_t most = BYTE_TILE_VECTORS  # units of a block
    if lanes == PIXELS:
        most = ukernels.tile_filters
    while lanes == FILTERS and ukernels.filter_tile[ukernels.tile_filters][most] == NULL:
        most -= 1
    blocks.filters, blocks.unit = filters, 1 if lanes == PIXELS else ukernels.lanes
    blocks.units = ceil_div(filters, blocks.unit)
    blocks.padded, blocks.count = blocks.units * blocks.unit, ceil_div(blocks.units, most)
    if lanes == FILTERS and blocks.count % 2 and blocks.count > 3:
        blocks.count += 1  # two or four threads share an even number better
    return blocks


cdef inline Range nth_block(const FilterBlocks *blocks, Py_ssize_t n) noexcept nogil:
    """Return the filters of a block, those beyond the last one included that fill up its vectors."""
    cdef Range units = nth_part(blocks.units, blocks.count, n)
    return Range(units.first * blocks.unit, units.last * blocks.unit)


cdef inline Range filters_of(const FilterBlocks *blocks, Range some) noexcept nogil:
    """Return the filters of some neighbouring blocks."""
    return Range(nth_block(blocks, some.first).first, min(nth_block(blocks, some.last - 1).last, blocks.filters))


cdef list bank_pieces(const FilterBlocks *blocks, Py_ssize_t groups, Py_ssize_t taps):
    """Return where pieces of the bank begin that can be packed by themselves, and where the last one ends.

    They are whole groups, or whole blocks of a group's filters, of about PIECE_NUMBERS weights at most.
    """
    cdef Py_ssize_t group, block, end, start = 0, most = max(1, PIECE_NUMBERS // taps)
    if blocks.filters <= most:
        return [*range(0, groups * blocks.filters, most // blocks.filters * blocks.filters), groups * blocks.filters]
    starts = [0]
    for group in range(groups):
        for block in range(blocks.count):
            end = group * blocks.filters + min(nth_block(blocks, block).last, blocks.filters)
            if end - start >= most or block == blocks.count - 1:
                starts.append(end)
                start = end
    return starts
