# Winograd convolution, part of _core.pyx: tiles of outputs from fewer multiplications, by the forms of _winograd.py.
#
# A block of tiles is transformed for all channels, pixels of `lanes` channels side by side; at every position of a
# transformed tile a bank of filters, transformed likewise, meets all tiles; what they add up to is transformed back.
# Dilated kernels see every d-th pixel: outputs with the same remainder by d make tiles of their own. Kernels may be
# split into parts, every stride-th tap or as many neighbouring ones as a tile has outputs: virtual channels (part of
# the rows, channel, part of the columns), of stride 1. Parts of every stride-th tap meet a view of their own of the
# image; parts of neighbouring ones share a channel's tiles, each part those a tile further on.
# Few channels are blended: lanes are tiles side by side, and sums are transformed back while they are in registers.
# There every part has a view of its own.

cdef enum:
    MOST_RUN_TILES = 8
    RUN_NUMBERS = 6144   # that are in the cache on the way from one axis to the other
    BLEND_FILTERS = 4    # that are added up and transformed back in one go
    CHUNK_CHANNELS = 64  # added up by themselves, so that rounding errors stay small
    MOST_UNITS = 8       # for every thread, if that many will do
    TRANSFORM = 18       # products that a number of a transformed tile costs, for every channel and every filter
    FETCH = 3            # products that a transformed weight costs, for every block of tiles
    CUT = 8              # products that a tile costs every channel, of a row that two blocks share

cdef struct Nest:
    # The forms of rows and columns as the kernels take them, for outputs of `axis[1]` and `axis[2]`.
    const fc_form *form
    const void *B
    const void *A
    const void *G
    const Py_ssize_t *row  # of G, for every position
    Py_ssize_t taps
    Py_ssize_t positions, rows, outputs, step  # inputs from one tile to the next
    Py_ssize_t parts, part_step, apart         # each sees pixels part_step from one another, from part * apart on
    Py_ssize_t sharing                         # parts of which each sees tiles one further on

cdef struct Winograd:
    Job job
    Nest y, x
    const void *bank                          # transformed: the weights themselves serve sums that are not finite
    Py_ssize_t channels                       # of a group, for every part of a kernel
    Py_ssize_t views                          # of these channels, that are transformed: sharing parts have one
    bint splits, shares, blends
    Py_ssize_t tile_rows, tile_columns        # of a block at most
    Py_ssize_t row_blocks, column_blocks      # of a map
    Py_ssize_t line_tiles                     # that blocks have no parts of
    Py_ssize_t run_tiles                      # transformed at a time
    Py_ssize_t strip_step, between_columns, out_columns
    Py_ssize_t tile_step, position_step, sums_step
    const Py_ssize_t *offset                  # from a tile's first number to every channel's
    Py_ssize_t lines, pitch, channel_step     # of a strip, when blending: a line has (apart, pitch) pixels
    Py_ssize_t apart                          # pixels from one tile to the next
    Py_ssize_t part_numbers, strip_numbers, between_numbers, tiles_numbers, sums_numbers, out_numbers
    Py_ssize_t blank_rows, blank_columns      # outputs of a block at most, which may see nothing but zeros
    Py_ssize_t blank_numbers                  # of four bytes

cdef struct Block:
    # Some tiles of one image, row by row: of the first and the last row perhaps a part; and some of the filters.
    Py_ssize_t n, group, depth, phase
    Range rows, columns, blocks
    Range places               # counted from the first tile of the first row on
    Py_ssize_t tiles           # with every remainder by the dilation of the columns


cdef Py_ssize_t count_tiles_of(const Job *job, const Nest *nest, int axis) noexcept nogil:
    """Return how many tiles an axis of the maps has, for every remainder by the dilation."""
    return ceiling(ceiling(job.map_size[axis], job.axis[axis].dilation), nest.outputs)


cdef Range row_tiles(const Block *block, Py_ssize_t row) noexcept nogil:
    """Return which tiles of a row belong to a block, counted from its first column on."""
    cdef Py_ssize_t columns = block.columns.last - block.columns.first, first = (row - block.rows.first) * columns
    return Range(max(0, block.places.first - first), min(columns, block.places.last - first))


cdef Py_ssize_t input_columns(const Winograd *w, Py_ssize_t tile_columns) noexcept nogil:
    """Return how many columns of a virtual channel so many tiles side by side see."""
    cdef const Axis *axis = &w.job.axis[2]
    return ((tile_columns - 1) * w.x.step + w.x.positions - 1) * axis.dilation + (axis.dilation - 1) * axis.stride + 1


cdef Py_ssize_t farthest(const Nest *nest) noexcept nogil:
    """Return how many pixels the last input of a tile's last part lies behind the first one."""
    return (nest.positions - 1) * nest.part_step + (nest.parts - 1) * nest.apart


cdef Py_ssize_t line_position(const Winograd *w, const Block *block, Py_ssize_t line) noexcept nogil:
    """Return the row of the image that a line of the padded image is, -1 for zeros."""
    cdef const Axis *axis = &w.job.axis[1]
    return source(line * axis.dilation + block.phase * axis.stride - axis.pad, w.job.size[1], w.job.mode)


@cython.final
cdef class WinogradLayout:
    """How to compute a convolution with the forms of rows and columns, in blocks of so many tiles."""

    cdef Winograd w
    cdef list matrices
    cdef list part_taps  # of rows and columns: those of the kernel that make the parts (parts, taps)
    cdef Py_ssize_t[::1] rows, offsets

    def __init__(self, kernel, stride, dilation, groups, padding_mode, activation, channels, filters, bits, forms,
                 splits, blends, tile_rows, tile_columns, line_tiles):
        cdef Winograd *w = &self.w
        cdef Job *job = &w.job
        cdef Py_ssize_t axis, lanes
        for axis in range(3):
            job.axis[axis] = make_axis(kernel[axis], stride[axis], dilation[axis])
        job.groups, job.mode, job.activation = groups, padding_mode, activation
        job.low = 0 if activation == RELU or activation == RELU6 else -INFINITY
        job.high = 6 if activation == RELU6 else INFINITY
        job.kernels = &isa.f32 if bits == 32 else &isa.f64
        job.channels, job.filters, job.bits = channels, filters, bits
        job.taps = job.channels * job.axis[1].taps * job.axis[2].taps
        job.lanes = FILTERS
        job.parts = 1
        w.blends = blends
        lanes = job.kernels.lanes
        self.matrices = []
        self.rows = np.array(forms[0].row + forms[1].row, np.intp)
        self.nest(&w.y, forms[0], splits[0], &self.rows[0])
        self.nest(&w.x, forms[1], splits[1], w.y.row + w.y.positions)
        w.views = w.y.parts * job.channels * w.x.parts
        w.channels = w.y.sharing * w.views * w.x.sharing
        w.splits = w.y.parts * w.y.part_step * w.x.parts * w.x.part_step > 1
        w.shares = w.channels > w.views
        self.part_taps = [np.arange(split.parts)[:, None] * split.apart + np.arange(form.taps) * split.step
                          for form, split in zip(forms, splits, strict=True)]
        w.tile_rows, w.tile_columns, w.line_tiles = tile_rows, tile_columns, max(1, line_tiles)
        job.far_maps = line_tiles > 0
        if blends:
            self.lay_out_blends()
        else:
            self.lay_out_products()
        w.blank_rows = (w.tile_rows + 1) * w.y.outputs  # a block may have parts of its first and its last row of tiles
        w.blank_columns = w.tile_columns * w.x.outputs * job.axis[2].dilation
        w.blank_numbers = w.blank_columns + ceiling(
            (w.blank_columns - 1) * job.axis[2].stride + job.axis[2].span + WORD + w.blank_rows * w.blank_columns, 4)

    cdef lay_out_products(self):
        """Find room for blocks of tiles with channels, and then filters, in the lanes."""
        cdef Winograd *w = &self.w
        cdef Job *job = &w.job
        cdef Py_ssize_t lanes = job.kernels.lanes, columns = input_columns(w, w.tile_columns + w.x.sharing - 1)
        cdef Py_ssize_t dilation = job.axis[2].dilation, tiles = w.tile_rows * w.tile_columns * dilation
        cdef Py_ssize_t line_tiles = w.tile_columns + w.x.sharing - 1
        cdef Py_ssize_t transformed = (w.tile_rows + w.y.sharing - 1) * line_tiles * dilation
        w.strip_step = (columns + 2 * lanes) * lanes
        w.run_tiles = min(max(2, RUN_NUMBERS // (w.y.positions * w.x.step * lanes)), MOST_RUN_TILES)
        w.between_columns = w.run_tiles * w.x.step + w.x.positions
        w.out_columns = w.run_tiles * w.x.outputs * dilation
        # An odd number of lines: what lies at the same place of neighbours does not share its place in the cache.
        w.tile_step = (ceiling(w.views, lanes) // 2 * 2 + 1) * lanes
        w.position_step = (transformed * w.tile_step // lanes // 2 * 2 + 1) * lanes
        w.sums_step = (tiles * BLOCK_VECTORS // 2 * 2 + 1) * lanes
        if w.splits:
            w.part_numbers = (lanes + 2 * w.x.parts) * columns + SLACK
        w.strip_numbers = w.y.positions * w.strip_step
        w.between_numbers = max(w.y.positions * w.between_columns, w.y.outputs * w.run_tiles * w.x.positions) * lanes
        w.tiles_numbers = w.y.positions * w.x.positions * w.position_step
        w.sums_numbers = w.y.positions * w.x.positions * w.sums_step
        w.out_numbers = w.y.outputs * w.out_columns * lanes
        rows = np.add.outer(np.arange(w.y.sharing) * dilation * line_tiles * w.tile_step,
                            np.arange(w.y.parts * job.channels) * w.x.parts)
        parts = np.add.outer(np.arange(w.x.sharing) * w.tile_step, np.arange(w.x.parts))
        self.offsets = np.add.outer(rows, parts).ravel()
        w.offset = &self.offsets[0]

    cdef lay_out_blends(self):
        """Find room for a row of tiles with tiles in the lanes."""
        cdef Winograd *w = &self.w
        cdef Py_ssize_t lanes = w.job.kernels.lanes, vectors = ceiling(w.tile_columns, lanes)
        w.apart = w.x.step * w.x.part_step
        w.pitch = vectors * lanes + farthest(&w.x) // w.apart
        w.strip_step = ceiling(w.apart * w.pitch, lanes) * lanes
        w.lines = farthest(&w.y) + 1
        w.channel_step = w.lines * w.strip_step
        w.tile_step = w.channels * w.y.positions * w.x.positions * lanes
        w.strip_numbers = w.job.channels * w.channel_step
        w.between_numbers = w.y.parts * w.job.channels * w.y.positions * w.strip_step + SLACK
        w.tiles_numbers = vectors * w.tile_step
        w.sums_numbers = BLEND_FILTERS * w.y.outputs * w.x.positions * lanes
        w.out_numbers = w.x.outputs * lanes

    cdef nest(self, Nest *nest, form, split, const Py_ssize_t *row):
        cdef const fc_form *known = self.w.job.kernels.forms
        while (known.outputs, known.taps, known.stride) != (form.outputs, form.taps, form.stride):
            known += 1
        nest.form, nest.row = known, row
        nest.positions, nest.rows, nest.outputs, nest.taps = form.positions, len(form.G), form.outputs, form.taps
        nest.step = nest.outputs * form.stride
        nest.parts, nest.part_step, nest.apart = split
        nest.sharing = 1
        if nest.part_step == 1 and not self.w.blends:
            nest.parts, nest.sharing = 1, nest.parts
        nest.B, nest.A, nest.G = self.matrix(form.B), self.matrix(form.A), self.matrix(form.G)

    cdef const void *matrix(self, values) except NULL:
        cdef bytes numbers = values.astype(f"f{self.w.job.bits // 8}").tobytes()
        self.matrices.append(numbers)
        return <const char *>numbers

    @property
    def tile_size(self):
        """How many outputs lie from one tile to the next with the same remainder by the dilation, per axis."""
        return 1, self.w.y.outputs * self.w.job.axis[1].dilation, self.w.x.outputs * self.w.job.axis[2].dilation

    def seen(self, int axis, Py_ssize_t outputs):
        """Return how many pixels along an axis the tiles see that so many outputs make, beyond these outputs, too."""
        cdef const Axis *along = &self.w.job.axis[axis]
        cdef const Nest *nest = &self.w.y if axis == 1 else &self.w.x
        cdef Py_ssize_t tiles
        if axis == 0:
            return (outputs - 1) * along.stride + 1
        tiles = ceiling(ceiling(outputs, along.dilation), nest.outputs) + nest.sharing - 1
        return (((tiles - 1) * nest.step * nest.part_step + farthest(nest)) * along.dilation
                + (along.dilation - 1) * along.stride + 1)

    @property
    def packed_numbers(self):
        """How many numbers the transformed weights are."""
        return self.w.job.groups * packed_numbers(&self.w)

    @property
    def pieces(self):
        """Where pieces of the bank begin that can be transformed one after another, and where the last one ends."""
        return pieces(&self.w.job, True)

    @property
    def workspace(self):
        """Bytes that each thread works in."""
        cdef Winograd *w = &self.w
        numbers = (BLOCK_VECTORS * w.job.kernels.lanes + w.part_numbers + w.strip_numbers + w.between_numbers
                   + w.tiles_numbers + w.sums_numbers + w.out_numbers)
        return numbers * w.job.bits // 8 + 4 * w.blank_numbers


cdef Py_ssize_t packed_numbers(const Winograd *w) noexcept nogil:
    """Return how many numbers the transformed filters of a group are."""
    return ceiling(w.job.filters, w.job.kernels.lanes) * w.job.kernels.lanes * w.channels * w.y.rows * w.x.rows


def pack_winograd(const real[:, ::1] weight, real[::1] packed, Py_ssize_t first, WinogradLayout layout):
    """Transform a piece of the bank, weight (some filters from `first` on, C / groups * taps).

    packed holds all of it, group by group, block by block of filters.
    """
    cdef Winograd *w = &layout.w
    dtype = np.dtype(np.float32 if real is float else np.float64)
    cdef Py_ssize_t lanes = w.job.kernels.lanes, kernel = w.y.taps * w.x.taps
    cdef real[::1] workspace = empty(((2 * lanes + lanes * kernel + w.y.rows * w.x.taps) * lanes,), dtype)
    cdef const real[:, ::1] kernels = weight
    if w.splits or w.shares:
        kernels = split_kernels(np.asarray(weight), layout)
    with nogil:
        transform_filters(&packed[0], &kernels[0, 0], w, &workspace[0], Range(first, first + weight.shape[0]))


cdef split_kernels(weight, WinogradLayout layout):
    """Return the parts of kernels as kernels of virtual channels: (K, part, channel, part, taps)."""
    cdef Winograd *w = &layout.w
    y, x = layout.part_taps
    kernels = np.zeros((weight.shape[0], w.job.channels, y.max() + 1, x.max() + 1), weight.dtype)
    taps = weight.reshape(-1, w.job.channels, w.job.axis[1].taps, w.job.axis[2].taps)
    kernels[:, :, : taps.shape[2], : taps.shape[3]] = taps
    kernels = kernels[:, :, y[:, None, :, None], x[None, :, None, :]]  # (K, channel, part, part, taps)
    return np.ascontiguousarray(kernels.swapaxes(1, 2)).reshape(weight.shape[0], -1)


cdef void transform_filters(real *packed, const real *weight, const Winograd *w, real *workspace,
                            Range filters) noexcept nogil:
    """Transform filters (K, virtual channels, taps), `lanes` filters and channels at a time."""
    cdef const Job *job = &w.job
    cdef Py_ssize_t lanes = job.kernels.lanes, kernel = w.y.taps * w.x.taps, taps = w.channels * kernel
    cdef real *strip = workspace + lanes * lanes  # (channels, kh, kw, filters)
    cdef real *between = strip + (lanes * kernel + lanes) * lanes
    cdef real *to
    cdef Py_ssize_t block, vector, group, first, part, c, channels, rows, i
    cdef Range some, here
    while filters.first < filters.last:
        group = filters.first // job.filters
        some = Range(filters.first % job.filters, min(filters.last - group * job.filters, job.filters))
        for block in range(filter_blocks(job)):
            here = filter_block(job, block)
            to = packed + group * packed_numbers(w) + here.first * w.channels * w.y.rows * w.x.rows
            for vector in range((here.last - here.first) // lanes):
                first = here.first + vector * lanes
                if not some.first <= first < some.last:
                    continue
                for part in range(ceiling(w.channels, lanes)):
                    c = part * lanes
                    channels = min(lanes, w.channels - c)
                    rows = min(lanes, job.filters - first)
                    job.kernels.gather(strip, weight + (first - some.first) * taps + c * kernel, taps, rows,
                                       channels * kernel, c * kernel, taps - c * kernel)
                    for i in range(channels):
                        expand_kernel(to, strip + i * kernel * lanes, between, w, c + i, first - here.first,
                                      here.last - here.first)
        weight += (some.last - some.first) * taps
        filters.first += some.last - some.first


cdef void expand_kernel(real *packed, const real *kernel, real *between, const Winograd *w, Py_ssize_t channel,
                        Py_ssize_t filter, Py_ssize_t width) noexcept nogil:
    """Transform one channel's kernels (kh, kw, filters), `lanes` of a block of `width` from `filter` on.

    They go to (row of G for y, for x, channel, block); for blends to (vector, row for x, channel, row for y, lanes).
    """
    cdef fc_transform request
    cdef Py_ssize_t lanes = w.job.kernels.lanes, rows = w.y.taps, columns = w.x.taps, i
    request.matrix, request.runs, request.run_step = w.y.G, columns, lanes
    request.to, request.to_run_step, request.to_step = between, lanes, columns * lanes
    for i in range(rows):
        request.source[i] = kernel + i * columns * lanes
    w.job.kernels.expand(&request, w.y.rows, rows)
    request.matrix, request.runs, request.run_step = w.x.G, w.y.rows, columns * lanes
    if w.blends:
        request.to = packed + filter * w.channels * w.y.rows * w.x.rows + channel * w.y.rows * lanes
        request.to_step, request.to_run_step = w.channels * w.y.rows * lanes, lanes
    else:
        request.to = packed + channel * width + filter
        request.to_step, request.to_run_step = w.channels * width, w.x.rows * w.channels * width
    for i in range(columns):
        request.source[i] = between + i * lanes
    w.job.kernels.expand(&request, w.x.rows, columns)


def winograd(const real[:, :, :, :, :] images, packed, const real[:] bias, real[:, :, :, :, :] maps,
             pads, WinogradLayout layout, Py_ssize_t threads):
    """Convolve images with a filter bank by Winograd's forms.

    images and maps as for `tiles`; packed is all numbers of weight (K, C / groups * taps), and what `pack_winograd`
    made of it.
    """
    cdef Winograd w = layout.w
    cdef Job *job = &w.job
    cdef const real[::1] weight = packed[0], transformed = packed[1]
    if bias is None:
        bias = np.zeros(maps.shape[1], np.float32 if real is float else np.float64)
    see_arrays(job, images, maps, pads)
    job.weight, job.bias, w.bank = &weight[0], &bias[0], &transformed[0]
    share_out_tiles(&w, maps.shape[0], threads)
    run(<fc_unit_fn>winograd_unit[real], job, layout.workspace, threads)


cdef void share_out_tiles(Winograd *w, Py_ssize_t images, Py_ssize_t threads) noexcept nogil:
    """Make blocks of the tiles; for several threads smaller ones, or parts of the filters, so that all end soon.

    Every part transforms the images again, and every block meets all the weights.
    """
    cdef Job *job = &w.job
    cdef Py_ssize_t rows = count_tiles_of(job, &w.y, 1), columns = count_tiles_of(job, &w.x, 2)
    cdef Py_ssize_t others = images * job.map_size[0] * job.groups * job.axis[1].dilation
    cdef Py_ssize_t blocks = filter_blocks(job), most = MOST_UNITS * threads if threads > 1 else 0
    cdef Py_ssize_t row_blocks, column_blocks, parts, units, width, tiles, filters
    cdef double some, largest, mean, cut, time, least = INFINITY
    cdef Range narrow = Range(ceiling(columns, w.tile_columns), ceiling(columns, w.line_tiles))
    if w.blends:  # vectors of tiles side by side
        narrow.last = narrow.first
    for row_blocks in range(ceiling(rows, w.tile_rows), rows + 1):
        for column_blocks in range(narrow.first, narrow.last + 1):
            units = others * row_blocks * column_blocks
            if units > most and least < INFINITY:
                break
            width = ceiling(ceiling(columns, w.line_tiles), column_blocks) * w.line_tiles
            tiles = ceiling(rows, row_blocks) * width if w.blends or w.shares else ceiling(rows * width, row_blocks)
            some = <double>rows * columns / (row_blocks * column_blocks)
            if w.shares:  # tiles beyond the block
                cut = TRANSFORM * w.views * (
                    (ceiling(rows, row_blocks) + w.y.sharing - 1) * (width + w.x.sharing - 1) - tiles)
            else:
                cut = CUT * w.channels * width if rows % row_blocks and not w.blends else 0
            for parts in range(1, max(1, min(blocks, most // units)) + 1):
                filters = min(job.filters, ceiling(blocks, parts) * BLOCK_VECTORS * job.kernels.lanes)
                largest = unit_time(w, tiles, filters) + cut
                mean = unit_time(w, some, <double>job.filters / parts) + cut
                time = min(ceiling(units * parts, threads) * largest,
                           (units * parts * mean + (threads - 1) * largest) / threads)
                if time < 1.01 * least:  # rather too many units than too few: threads may be held up
                    least = min(least, time)
                    job.units, job.parts = units * parts, parts
                    w.row_blocks, w.column_blocks = row_blocks, column_blocks


cdef double unit_time(const Winograd *w, double tiles, double filters) noexcept nogil:
    """Return how long so many tiles with the same remainder by the dilation take for so many filters."""
    cdef double products = w.channels * filters
    return tiles * w.job.axis[2].dilation * (products + TRANSFORM * (w.views + filters)) + FETCH * products


cdef Block find_tiles(const Winograd *w, Py_ssize_t index) noexcept nogil:
    cdef const Job *job = &w.job
    cdef Block block
    cdef Py_ssize_t columns, rows = count_tiles_of(job, &w.y, 1)
    block.blocks = share(filter_blocks(job), job.parts, index % job.parts)
    index //= job.parts
    columns = count_tiles_of(job, &w.x, 2)
    block.columns = share(ceiling(columns, w.line_tiles), w.column_blocks, index % w.column_blocks)
    block.columns = Range(block.columns.first * w.line_tiles, min(columns, block.columns.last * w.line_tiles))
    index //= w.column_blocks
    columns = block.columns.last - block.columns.first
    if w.blends or w.shares:
        block.rows = share(rows, w.row_blocks, index % w.row_blocks)
        block.places = Range(0, (block.rows.last - block.rows.first) * columns)
    else:
        block.places = share(rows * columns, w.row_blocks, index % w.row_blocks)
        block.rows = Range(block.places.first // columns, ceiling(block.places.last, columns))
        block.places.first -= block.rows.first * columns
        block.places.last -= block.rows.first * columns
    index //= w.row_blocks
    block.phase = index % job.axis[1].dilation
    index //= job.axis[1].dilation
    block.depth = index % job.map_size[0]
    index //= job.map_size[0]
    block.group, block.n = index % job.groups, index // job.groups
    block.tiles = (block.places.last - block.places.first) * job.axis[2].dilation
    return block


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


cdef void clear_blanks(int *room, const Winograd *w, const Block *block, real _) noexcept nogil:
    """Set outputs that see only zeros to what the bias alone gives, for what tiles make of their neighbours is not 0.

    NaN stays: it comes from weights that are not finite.
    """
    cdef const Job *job = &w.job
    cdef Py_ssize_t across = w.x.outputs * job.axis[2].dilation, filter, row, o
    cdef Py_ssize_t z = source(block.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef unsigned char *mask = <unsigned char *>(room + w.blank_numbers) - w.blank_rows * w.blank_columns
    cdef const unsigned char *blank
    cdef real *map
    cdef real bias
    cdef Range tiles, filters = Range(filter_block(job, block.blocks.first).first,
                                      min(filter_block(job, block.blocks.last - 1).last, job.filters))
    cdef Plane plane
    plane.pixels = NULL
    if z >= 0:
        plane.pixels = (<const real *>job.images + block.n * job.image_step[0] + z * job.image_step[2]
                        + block.group * job.channels * job.image_step[1])
    plane.step, plane.size, plane.axis, plane.mode = &job.image_step[1], job.size, job.axis, job.mode
    plane.channels, plane.phase = job.channels, block.phase
    plane.rows = Range(block.rows.first * w.y.outputs, min(
        block.rows.last * w.y.outputs, ceiling(job.map_size[1] - block.phase, job.axis[1].dilation)))
    plane.columns = Range(block.columns.first * across, min(block.columns.last * across, job.map_size[2]))
    plane.down, plane.blank = room, <unsigned char *>(room + w.blank_columns)
    if not find_blanks(mask, w.blank_columns, &plane, <real>0):
        return
    for row in range(plane.rows.first, plane.rows.last):
        tiles = row_tiles(block, row // w.y.outputs)
        tiles = Range(tiles.first * across, min(tiles.last * across, plane.columns.last - plane.columns.first))
        blank = mask + (row - plane.rows.first) * w.blank_columns
        if memchr(blank + tiles.first, True, tiles.last - tiles.first) == NULL:
            continue
        for filter in range(filters.first, filters.last):
            bias = (<const real *>job.bias)[block.group * job.filters + filter]
            bias = job.low if bias < job.low else job.high if bias > job.high else bias
            if job.activation > RELU6:
                activate(&bias, 1, job.activation)
            map = (<real *>job.maps + block.n * job.map_step[0] + (block.group * job.filters + filter) * job.map_step[1]
                   + block.depth * job.map_step[2] + plane.columns.first
                   + (row * job.axis[1].dilation + block.phase) * job.map_size[2])
            for o in range(tiles.first, tiles.last):
                if blank[o] and map[o] == map[o]:
                    map[o] = bias


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


cdef void sum_again(real *map, const real *out, Py_ssize_t step, const Winograd *w, const Block *block,
                    Py_ssize_t filter, Py_ssize_t row, Py_ssize_t column, Py_ssize_t count) noexcept nogil:
    """Sum directly where an output is not finite: a transform spreads NaN and infinity over its tile."""
    cdef const Job *job = &w.job
    cdef Py_ssize_t p, c, i, j, x, y
    cdef Py_ssize_t z = source(block.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef const real *image = (<const real *>job.images + block.n * job.image_step[0] + z * job.image_step[2]
                              + block.group * job.channels * job.image_step[1])
    cdef const real *weight
    cdef real total
    for p in range(count):
        if isfinite(out[p * step]):
            continue
        weight = <const real *>job.weight + (block.group * job.filters + filter) * job.taps
        total = (<const real *>job.bias)[block.group * job.filters + filter]
        for c in range(job.channels):
            for i in range(job.axis[1].taps):
                y = seen(&job.axis[1], row, i, job.size[1], job.mode)
                for j in range(job.axis[2].taps):
                    x = seen(&job.axis[2], column + p, j, job.size[2], job.mode)
                    if y >= 0 and x >= 0 and z >= 0:
                        total += weight[0] * image[c * job.image_step[1] + y * job.image_step[3] + x]
                    else:
                        total += weight[0] * 0
                    weight += 1
        map[p] = job.low if total < job.low else job.high if total > job.high else total


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
    cdef fc_blend request
    request.matrix, request.channels, request.runs, request.to = w.y.A, w.channels, w.x.positions, sums
    filter = filters.first
    while filter < min(filters.last, job.filters):
        request.weight = (bank + filter // lanes * lanes * w.channels * w.y.rows * w.x.rows) + filter % lanes
        request.filters = min(min(BLEND_FILTERS, lanes), job.filters - filter)
        for vector in range(ceiling(columns, lanes)):
            request.tiles = tiles + vector * w.tile_step
            w.y.form.blend(&request)
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
    cdef fc_finish request
    request.matrix, request.source, request.rows, request.columns = w.x.A, sums, rows, count
    request.map, request.ahead = map, map + BLEND_FILTERS * job.map_step[1]
    request.row_step = dilation * job.map_size[2]
    request.bias = (<const real *>job.bias)[block.group * job.filters + filter]
    request.low, request.high, request.far = job.low, job.high, job.far_maps
    if w.x.form.finish(&request):
        request.map, request.rows, request.bias, request.far = out, 1, 0, False
        request.low, request.high = -INFINITY, INFINITY
        for k in range(rows):
            request.source = sums + k * w.x.positions * job.kernels.lanes
            w.x.form.finish(&request)
            sum_again(map + k * request.row_step, out, 1, w, block, filter, row + k * dilation, column, count)
    if job.activation > RELU6:
        for k in range(rows):
            activate(map + k * request.row_step, count, job.activation)
