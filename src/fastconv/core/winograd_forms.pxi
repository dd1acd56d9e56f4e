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

    cdef begin(self, window, channels, filters, bits, forms, splits, blends, tile_rows, tile_columns, line_tiles):
        cdef Winograd *w = &self.w
        cdef Job *job = &w.job
        cdef Py_ssize_t axis, lanes
        kernel, stride, dilation, groups, padding_mode, activation = window
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

    @property
    def filter_blocks(self):
        """How many blocks the filters of a group make, and how many filters there are in a full one."""
        return filter_blocks(&self.w.job), BLOCK_VECTORS * self.w.job.kernels.lanes

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


def winograd_layout(window, channels, filters, bits, forms, splits, few, tile_rows, tile_columns, line_tiles):
    """Return a layout of these forms and splits of rows and columns, for channels and filters of a group."""
    cdef WinogradLayout layout = WinogradLayout.__new__(WinogradLayout)
    layout.begin(window, channels, filters, bits, forms, splits, few, tile_rows, tile_columns, line_tiles)
    return layout


cdef Py_ssize_t packed_numbers(const Winograd *w) noexcept nogil:
    """Return how many numbers the transformed filters of a group are."""
    return ceiling(w.job.filters, w.job.kernels.lanes) * w.job.kernels.lanes * w.channels * w.y.rows * w.x.rows


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
    w.job.kernels.transform_filter(&request, w.y.rows, rows)
    request.matrix, request.runs, request.run_step = w.x.G, w.y.rows, columns * lanes
    if w.blends:
        request.to = packed + filter * w.channels * w.y.rows * w.x.rows + channel * w.y.rows * lanes
        request.to_step, request.to_run_step = w.channels * w.y.rows * lanes, lanes
    else:
        request.to = packed + channel * width + filter
        request.to_step, request.to_run_step = w.channels * width, w.x.rows * w.channels * width
    for i in range(columns):
        request.source[i] = between + i * lanes
    w.job.kernels.transform_filter(&request, w.x.rows, columns)


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
