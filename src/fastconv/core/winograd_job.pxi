# Winograd convolution: the job, its blocks of tiles, and what is done to outputs that transforms get wrong.
# Part of _core.pyx.
#
#     tile (m x m outputs) = A [ sum over channels of (G g G^T) * (B d B^T) ] A^T        g: kernel, d: the tile's input
#
# The forms, their matrices A, B and G of each axis, come from Python. Kernels may be split into parts, along each axis:
# every stride-th tap (a stride of s makes s parts), or as many neighbouring taps as a tile has outputs (long kernels).
# A channel of one part is a virtual channel, whose kernel has stride 1. The order of virtual channels is
# (part of the rows, channel, part of the columns). Parts of neighbouring taps share the channel's transformed tiles:
# part p multiplies those p tiles further on. Dilated kernels read every d-th pixel: outputs with the same remainder
# by the dilation make tiles of their own.
#
# Uses: job.pxi, epilogue.pxi, filters.pxi, bank.pxi, blank.pxi.


cdef struct AxisTransform:
    # The transforms along rows or columns; sizes and steps count pixels.
    const fc_form *form
    void (*forward)(const fc_transform *) noexcept nogil  # of a tile's inputs by B, as a rule the form's
    const void *B              # (positions, inputs)
    const void *A              # (outputs, positions): back
    const void *G              # (rows, taps): of a kernel
    const Py_ssize_t *row      # of G, for every position (positions,)
    Py_ssize_t taps, inputs, positions, rows, outputs  # as many inputs as positions
    Py_ssize_t tile_step       # from the input of one tile to the next one's
    Py_ssize_t parts           # of a kernel that have an input of their own: part p reads every part_step-th pixel from
    Py_ssize_t part_step, part_offset  # p * part_offset on
    Py_ssize_t shared_parts    # that have one input in common


cdef struct ManySteps:
    # Where lanes are channels, and then filters; steps count numbers.
    Py_ssize_t run_tiles       # transformed at a time
    Py_ssize_t strip_step      # from one line of the strip to the next
    Py_ssize_t tile_step       # from one transformed tile to the next,
    Py_ssize_t position_step   # and from one position of them to the next
    Py_ssize_t sums_step       # from one position of the sums to the next
    Py_ssize_t out_columns     # pixels of a row of outputs
    const Py_ssize_t *offset   # from a tile's first number to that of each virtual channel


cdef struct FewSteps:
    # Where lanes are tiles, for few channels; steps count numbers.
    Py_ssize_t lines           # of the strip, which a row of tiles reads
    Py_ssize_t tile_pixels     # from one tile to the next: a line of the strip is (tile_pixels, pitch)
    Py_ssize_t pitch
    Py_ssize_t strip_step, channel_step  # from one line of the strip, and from one channel, to the next
    Py_ssize_t tile_step       # from one vector of transformed tiles to the next


cdef struct WorkspacePlaces:
    # Where things lie in a workspace, in numbers; whole vectors of zeros come first.
    Py_ssize_t parts, strip, between, tiles, sums, out, blank


cdef struct WinogradJob:
    const fc_kernels *ukernels
    Arrays arrays
    Window window
    Epilogue epilogue
    FilterBlocks blocks
    AxisTransform y, x
    const void *transformed    # weights
    Bank bank                  # as given, for outputs that are summed directly
    Py_ssize_t channels        # virtual ones of a group
    Py_ssize_t views           # of these, that have transformed tiles of their own
    bint split                 # kernels have parts by stride, or of neighbouring taps that lanes of tiles do not share
    bint shared                # kernels have parts that share tiles
    bint tiles_in_lanes        # few channels
    bint nontemporal           # maps bypass the cache
    Py_ssize_t tile_rows, tile_columns  # of a block at most
    Py_ssize_t line_tiles      # tiles side by side that are cut into blocks together: a cache line of outputs
    Py_ssize_t row_blocks, column_blocks, parts  # that a map's tiles, and the blocks of filters, are cut into
    ManySteps many
    FewSteps few
    WorkspacePlaces at
    Py_ssize_t blank_rows, blank_columns  # outputs of a block at most, in the mask of those that read only zeros
    Py_ssize_t blank_numbers   # of four bytes, for the search for them


cdef struct Block:
    # Some tiles of one image, for some blocks of the filters of one group.
    Py_ssize_t n, group, depth
    Py_ssize_t z               # the depth in the image that they read, -1 for zeros
    Py_ssize_t phase           # the remainder of their rows by the dilation
    Range rows, columns        # of tiles
    Range places               # of tiles, row by row, counted from the first one of the first row: the first and the
    Range blocks               # last row may be parts; blocks of filters
    Py_ssize_t tiles           # with every remainder by the dilation of the columns


cdef struct MapRun:
    # Neighbouring outputs in one row of one map.
    Py_ssize_t filter          # of the group
    Py_ssize_t row, column, count


cdef Py_ssize_t count_tiles(const WinogradJob *job, const AxisTransform *transform, int axis) noexcept nogil:
    """Return how many tiles an axis of the maps has, for every remainder by the dilation."""
    return ceil_div(ceil_div(job.arrays.map_size[axis], job.window.axis[axis].dilation), transform.outputs)


cdef Block find_block(const WinogradJob *job, Py_ssize_t index) noexcept nogil:
    """Return the block of this index: parts of filters vary fastest, then columns of tiles, rows, and the rest."""
    cdef Block block
    cdef Py_ssize_t columns = count_tiles(job, &job.x, 2), rows = count_tiles(job, &job.y, 1)
    block.blocks = nth_part(job.blocks.count, job.parts, index % job.parts)
    index //= job.parts
    block.columns = nth_part(ceil_div(columns, job.line_tiles), job.column_blocks, index % job.column_blocks)
    block.columns = Range(block.columns.first * job.line_tiles, min(columns, block.columns.last * job.line_tiles))
    index //= job.column_blocks
    columns = block.columns.last - block.columns.first
    if job.tiles_in_lanes or job.shared:  # whole rows of tiles
        block.rows = nth_part(rows, job.row_blocks, index % job.row_blocks)
        block.places = Range(0, (block.rows.last - block.rows.first) * columns)
    else:
        block.places = nth_part(rows * columns, job.row_blocks, index % job.row_blocks)
        block.rows = Range(block.places.first // columns, ceil_div(block.places.last, columns))
        block.places.first -= block.rows.first * columns
        block.places.last -= block.rows.first * columns
    index //= job.row_blocks
    block.phase = index % job.window.axis[1].dilation
    index //= job.window.axis[1].dilation
    block.depth = index % job.arrays.map_size[0]
    index //= job.arrays.map_size[0]
    block.group, block.n = index % job.window.groups, index // job.window.groups
    block.tiles = (block.places.last - block.places.first) * job.window.axis[2].dilation
    block.z = depth_at(&job.window, &job.arrays, block.depth, 0)
    return block


cdef Range row_tiles(const Block *block, Py_ssize_t row) noexcept nogil:
    """Return which tiles of a row belong to a block, counted from its first column on."""
    cdef Py_ssize_t columns = block.columns.last - block.columns.first, first = (row - block.rows.first) * columns
    return Range(max(0, block.places.first - first), min(columns, block.places.last - first))


cdef Py_ssize_t input_columns(const WinogradJob *job, Py_ssize_t tile_columns) noexcept nogil:
    """Return how many columns of a virtual channel so many tiles side by side read."""
    cdef const Axis *axis = &job.window.axis[2]
    return (((tile_columns - 1) * job.x.tile_step + job.x.inputs - 1) * axis.dilation
            + (axis.dilation - 1) * axis.stride + 1)


cdef Py_ssize_t farthest_input(const AxisTransform *transform) noexcept nogil:
    """Return how many pixels the last input of a tile's last part lies behind the first one of its first part."""
    return (transform.inputs - 1) * transform.part_step + (transform.parts - 1) * transform.part_offset


cdef Py_ssize_t line_row(const WinogradJob *job, const Block *block, Py_ssize_t line) noexcept nogil:
    """Return the row of the image that a line of the block's padded input is, -1 for zeros."""
    cdef const Axis *axis = &job.window.axis[1]
    return image_index(line * axis.dilation + block.phase * axis.stride - axis.pad, job.arrays.image_size[1],
                       job.window.padding_mode)


cdef inline const real *input_plane(const WinogradJob *job, const Block *block, Py_ssize_t channel,
                                    real _) noexcept nogil:
    """Return the plane of the image that a block reads of a channel of its group, unless its z is -1."""
    channel += block.group * job.window.channels
    return (<const real *>job.arrays.images + image_at(&job.arrays, block.n, channel)
            + block.z * job.arrays.image_step[2])


cdef inline real *run_in_map(const WinogradJob *job, const Block *block, MapRun run, real _) noexcept nogil:
    """Return the place of the first output of a run."""
    return (<real *>job.arrays.maps + map_at(&job.arrays, block.n, block.group * job.window.filters + run.filter,
                                             block.depth, run.row) + run.column)


cdef Py_ssize_t transformed_numbers(const WinogradJob *job) noexcept nogil:
    """Return how many numbers the transformed filters of a group are."""
    return job.blocks.padded * job.channels * job.y.rows * job.x.rows


cdef void recompute_nonfinite(real *map, const real *out, Py_ssize_t step, const WinogradJob *job, const Block *block,
                              MapRun run) noexcept nogil:
    """Sum outputs directly that are not finite: a transform spreads NaN and infinity over its tile.

    map is the run's first output, and out, `step` apart, are its outputs before bias and activation.
    """
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[0]
    cdef Py_ssize_t p, c, i, j, x, y, tap, filter = block.group * job.window.filters + run.filter
    cdef const real *image = input_plane(job, block, 0, <real>0)
    cdef const real *weight
    cdef real total
    for p in range(run.count):
        if isfinite(out[p * step]):
            continue
        weight = <const real *>job.bank.start + filter * job.bank.filter_step
        total = (<const real *>arrays.bias)[filter]
        for c in range(job.window.channels):
            for i in range(axis[1].taps):
                y = input_index(&axis[1], run.row, i, arrays.image_size[1], job.window.padding_mode)
                for j in range(axis[2].taps):
                    x = input_index(&axis[2], run.column + p, j, arrays.image_size[2], job.window.padding_mode)
                    tap = c * job.bank.step[0] + i * job.bank.step[2] + j * job.bank.step[3]
                    if y >= 0 and x >= 0 and block.z >= 0:
                        total += weight[tap] * image[c * arrays.image_step[1] + y * arrays.image_step[3] + x]
                    else:
                        total += weight[tap] * 0
        map[p] = clip(total, &job.epilogue)


cdef void clear_blanks(real *workspace, const WinogradJob *job, const Block *block) noexcept nogil:
    """Set outputs that read only zeros to what the bias alone gives.

    Transforms leave rounding errors of their neighbours there. A NaN stays: it comes from weights that are not finite.
    """
    cdef Py_ssize_t across = job.x.outputs * job.window.axis[2].dilation, filter, row, o
    cdef int *room = <int *>(workspace + job.at.blank)
    cdef unsigned char *mask = <unsigned char *>(room + job.blank_numbers) - job.blank_rows * job.blank_columns
    cdef const unsigned char *blank
    cdef real *map
    cdef real value
    cdef Range tiles, filters = filters_of(&job.blocks, block.blocks)
    cdef OutputPlane plane
    plane.pixels = NULL if block.z < 0 else input_plane(job, block, 0, <real>0)
    plane.step, plane.size, plane.axis = &job.arrays.image_step[1], &job.arrays.image_size[0], &job.window.axis[0]
    plane.padding_mode, plane.channels, plane.phase = job.window.padding_mode, job.window.channels, block.phase
    plane.rows = Range(block.rows.first * job.y.outputs, min(block.rows.last * job.y.outputs, ceil_div(
        job.arrays.map_size[1] - block.phase, job.window.axis[1].dilation)))
    plane.columns = Range(block.columns.first * across, min(block.columns.last * across, job.arrays.map_size[2]))
    plane.run, plane.blank = room, <unsigned char *>(room + job.blank_columns)
    if not find_blanks(mask, job.blank_columns, &plane, <real>0):
        return
    for row in range(plane.rows.first, plane.rows.last):
        tiles = row_tiles(block, row // job.y.outputs)
        tiles = Range(tiles.first * across, min(tiles.last * across, plane.columns.last - plane.columns.first))
        blank = mask + (row - plane.rows.first) * job.blank_columns
        if memchr(blank + tiles.first, True, tiles.last - tiles.first) == NULL:
            continue
        for filter in range(filters.first, filters.last):
            value = clip((<const real *>job.arrays.bias)[block.group * job.window.filters + filter], &job.epilogue)
            finish_runs(&value, 1, 0, 1, &job.epilogue)
            map = run_in_map(job, block, MapRun(filter, row * job.window.axis[1].dilation + block.phase,
                                                plane.columns.first, 0), <real>0)
            for o in range(tiles.first, tiles.last):
                if blank[o] and map[o] == map[o]:
                    map[o] = value
