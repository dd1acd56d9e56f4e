# Winograd convolution: the job and its blocks of tiles. Part of _core.pyx.
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
# Transposed convolution: along each axis, the outputs with one remainder by the stride s are a phase, which is a
# convolution of stride 1 with every s-th tap, the last one first. A tile makes the s * m neighbouring outputs that read
# its input with their last taps: phase p of them has the taps k - s + p, k - 2 s + p, ... of all k, so that the first
# phase has the fewest taps, and the last one the most, one more at most. Phases with as many taps have one form, and
# share transformed tiles. The first tile begins up to s - 1 outputs in front of the map. For the loops over tiles and
# their input, the window is that of the last phase.
#
# Uses: job.pxi, epilogue.pxi, filters.pxi, bank.pxi.


cdef struct Phase:
    # A form of rows or columns, and what it makes of a tile: all of its outputs, or those of a phase.
    const fc_form *form
    void (*forward)(const fc_transform *) noexcept nogil  # of a tile's inputs by B, as a rule the form's
    const void *B              # (positions, inputs)
    const void *A              # (outputs, positions): back
    const void *G              # (rows, taps): of a kernel
    Py_ssize_t taps, positions, rows
    Py_ssize_t first_tap       # of the kernel, and the step to the next one
    Py_ssize_t tap_step
    Py_ssize_t first_position  # of the form's in a transformed tile
    Py_ssize_t first_product, first_row  # of the phase's among those of all phases


cdef struct AxisTransform:
    # The transforms along rows or columns; sizes and steps count pixels.
    const Phase *phase         # (phases,)
    Py_ssize_t phases          # the stride of a transposed convolution, else 1
    Py_ssize_t forms           # 2 if the last phase has another form than the first one
    Py_ssize_t kernel          # taps of a kernel as given,
    Py_ssize_t taps            # and of the kernel of a virtual channel
    Py_ssize_t inputs          # of a tile
    Py_ssize_t positions       # of a transformed tile, for all forms
    Py_ssize_t products        # of a tile, and rows of all transformed kernels, for all phases
    Py_ssize_t rows
    const Py_ssize_t *position  # of the transformed tile (products,)
    const Py_ssize_t *row      # of the transformed kernel (products,)
    Py_ssize_t outputs         # of a tile in each phase
    Py_ssize_t skipped         # outputs of the first tile that lie in front of the map
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
    Py_ssize_t sums_step       # from the sums of one product to the next
    Py_ssize_t out_columns     # pixels of a row of outputs
    const Py_ssize_t *offset   # from a tile's first number to that of each virtual channel


cdef struct FewSteps:
    # Where lanes are tiles, for few channels; steps count numbers.
    Py_ssize_t lines           # of the strip, which a row of tiles reads
    Py_ssize_t tile_pixels     # from one tile to the next: a line of the strip is (tile_pixels, pitch)
    Py_ssize_t pitch
    Py_ssize_t strip_step, channel_step  # from one line of the strip, and from one channel, to the next
    Py_ssize_t tile_step       # from one vector of transformed tiles to the next


cdef enum:
    CHUNK_CHANNELS = 64  # that are summed before the next ones are added: rounding errors stay small


cdef struct WorkspacePlaces:
    # Where things lie in a workspace, in numbers; whole vectors of zeros come first.
    Py_ssize_t parts, strip, between, tiles, sums, out, chunk, kernels, blank


cdef struct WinogradJob:
    const fc_kernels *ukernels
    Arrays arrays
    Window window
    Epilogue epilogue
    FilterBlocks blocks
    AxisTransform y, x
    bint packed                # the filters: transformed beforehand, rather than by every unit, chunk by chunk
    const void *transformed    # weights, if packed
    Bank bank                  # as given, for units that transform it, and for outputs that are summed directly
    Py_ssize_t channels        # virtual ones of a group
    Py_ssize_t views           # of these, that have transformed tiles of their own
    bint split                 # kernels have parts by stride, or of neighbouring taps that lanes of tiles do not share
    bint shared                # kernels have parts that share tiles
    bint transposed            # convolution
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
    return ceil_div(ceil_div(job.arrays.map_size[axis] + transform.skipped, job.window.axis[axis].dilation),
                    transform.outputs * transform.phases)


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


cdef inline const Phase *phase_of_form(const AxisTransform *transform, Py_ssize_t form) noexcept nogil:
    """Return a phase that has a form of an axis: the first phase the first one, the last phase the last one."""
    return &transform.phase[form * (transform.phases - 1)]


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


cdef inline Py_ssize_t map_row(const WinogradJob *job, const Block *block, Py_ssize_t row_phase,
                               Py_ssize_t output) noexcept nogil:
    """Return the row of the maps that is this output of a block's tiles in a phase of the rows."""
    return (output * job.y.phases + row_phase) * job.window.axis[1].dilation + block.phase - job.y.skipped


cdef Py_ssize_t transformed_numbers(const WinogradJob *job) noexcept nogil:
    """Return how many numbers the transformed filters of a group are."""
    return job.blocks.padded * job.channels * job.y.rows * job.x.rows
