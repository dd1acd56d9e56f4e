# The layout of Winograd convolution, and what Python calls for it. Part of _core.pyx.
#
# Uses: buffers.pxd, job.pxi, epilogue.pxi, layout.pxi, filters.pxi, bank.pxi, memory.pxi, blank.pxi, winograd_job.pxi,
# winograd_filters.pxi, winograd.pxi, winograd_few.pxi.


cdef enum:
    MAX_RUN_TILES = 8   # tiles side by side that are transformed at a time
    RUN_NUMBERS = 6144  # between the transforms along the two axes: 24 KB of floats, which the L1 cache holds


@cython.final
cdef class WinogradLayout(Layout):
    """Winograd convolution by the forms of rows and columns, in blocks of so many tiles."""

    cdef WinogradJob job
    cdef list numbers    # that the job points into: phases, matrices, offsets

    @property
    def tile_size(self):
        """How many outputs lie from one tile to the next with the same remainder by the dilation, per axis."""
        cdef const Axis *axis = &self.job.window.axis[0]
        cdef const AxisTransform *y = &self.job.y
        cdef const AxisTransform *x = &self.job.x
        return 1, y.outputs * y.phases * axis[1].dilation, x.outputs * x.phases * axis[2].dilation

    @property
    def filter_blocks(self):
        """How many blocks the filters of a group make, and how many filters there are in a full one."""
        return self.job.blocks.count, FILTER_TILE_VECTORS * self.job.blocks.unit

    def pixels_read(self, int axis, Py_ssize_t outputs):
        """Return how many pixels along an axis the tiles read that so many outputs make, beyond these outputs, too."""
        cdef const Axis *along = &self.job.window.axis[axis]
        cdef const AxisTransform *transform = &self.job.y if axis == 1 else &self.job.x
        cdef Py_ssize_t tiles
        if axis == 0:
            return (outputs - 1) * along.stride + 1
        tiles = ceil_div(ceil_div(outputs + transform.phases - 1, along.dilation), transform.outputs * transform.phases)
        tiles += transform.shared_parts - 1
        return (((tiles - 1) * transform.tile_step * transform.part_step + farthest_input(transform)) * along.dilation
                + (along.dilation - 1) * along.stride + 1)

    @property
    def piece_bounds(self):
        """Where pieces of the bank begin that can be transformed one after another, and where the last one ends."""
        return bank_pieces(&self.job.blocks, self.job.window.groups, self.job.window.taps)

    cdef choose_forms(self, forms, splits):
        """Take the forms of the phases and the splits of rows and columns."""
        cdef WinogradJob *job = &self.job
        self.numbers = []
        self.choose_form(&job.y, forms[0], splits[0], job.window.axis[1].taps)
        self.choose_form(&job.x, forms[1], splits[1], job.window.axis[2].taps)
        job.views = job.y.parts * job.window.channels * job.x.parts
        job.channels = job.y.shared_parts * job.views * job.x.shared_parts
        job.split = job.y.parts * job.y.part_step * job.x.parts * job.x.part_step > 1
        job.shared = job.channels > job.views

    cdef choose_form(self, AxisTransform *transform, forms, split, Py_ssize_t kernel):
        """Take the forms of the phases and the split of one axis, for kernels of so many taps."""
        cdef Py_ssize_t p
        cdef Phase *phase
        cdef Memory memory = take_memory(len(forms) * sizeof(Phase), self.job.window.taps)
        first, last = forms[0], forms[len(forms) - 1]
        self.numbers.append(memory)
        transform.phase, transform.phases = <Phase *>memory.start, len(forms)
        transform.forms = 1 if first is last else 2
        transform.kernel, transform.taps = kernel, sum(form.taps for form in forms)
        transform.inputs = last.positions
        transform.positions = last.positions if first is last else first.positions + last.positions
        transform.outputs, transform.tile_step = last.outputs, last.outputs * last.stride
        transform.parts, transform.part_step, transform.part_offset = split
        transform.shared_parts, transform.skipped = 1, 0
        if transform.part_step == 1 and not self.job.tiles_in_lanes:
            transform.parts, transform.shared_parts = 1, transform.parts
        transform.products = transform.rows = 0
        positions, rows = [], []
        for p, form in enumerate(forms):
            phase = <Phase *>memory.start + p
            phase.form, phase.taps = self.find(form), form.taps
            phase.forward = phase.form.forward
            phase.positions, phase.rows = form.positions, len(form.G)
            phase.B, phase.A, phase.G = self.floats(form.B), self.floats(form.A), self.floats(form.G)
            phase.first_tap, phase.tap_step = 0, transform.part_step
            if self.job.transposed:
                phase.first_tap, phase.tap_step = kernel - transform.phases + p, -transform.phases
            phase.first_position = 0 if form is first else first.positions
            phase.first_product, phase.first_row = transform.products, transform.rows
            transform.products, transform.rows = transform.products + phase.positions, transform.rows + phase.rows
            positions += range(phase.first_position, phase.first_position + phase.positions)
            rows += (phase.first_row + row for row in form.row)
        transform.position, transform.row = self.integers(positions), self.integers(rows)

    cdef const fc_form *find(self, form):
        """Return the micro-kernels of a form."""
        cdef const fc_form *known = self.job.ukernels.forms
        while (known.outputs, known.taps, known.stride) != (form.outputs, form.taps, form.stride):
            known += 1
        return known

    cdef const void *floats(self, values) except NULL:
        return self.keep(values.astype(f"f{self.itemsize}"))

    cdef const Py_ssize_t *integers(self, values) except NULL:
        return <const Py_ssize_t *>self.keep(np.array(values, np.intp))

    cdef const void *keep(self, values) except NULL:
        """Return where a copy of an array lies that is kept for the job."""
        cdef bytes numbers = values.tobytes()
        self.numbers.append(numbers)
        return <const char *>numbers

    cdef Py_ssize_t divide_many(self) except -1:
        """Choose steps and places for blocks of tiles with channels, and then filters, in the lanes."""
        cdef WinogradJob *job = &self.job
        cdef const AxisTransform *y = &job.y
        cdef const AxisTransform *x = &job.x
        cdef Py_ssize_t lanes = job.ukernels.lanes, dilation = job.window.axis[2].dilation
        cdef Py_ssize_t tiles = job.tile_rows * job.tile_columns * dilation, products = y.inputs * x.products
        cdef Py_ssize_t row_tiles = job.tile_columns + x.shared_parts - 1, columns = input_columns(job, row_tiles)
        cdef Py_ssize_t transformed = (job.tile_rows + y.shared_parts - 1) * row_tiles * dilation, run_columns
        cdef ManySteps *many = &job.many
        cdef WorkspacePlaces *at = &job.at
        many.strip_step = (columns + 2 * lanes) * lanes
        many.run_tiles = min(max(2, RUN_NUMBERS // (y.positions * x.tile_step * lanes)), MAX_RUN_TILES)
        many.out_columns = many.run_tiles * x.outputs * x.phases * dilation
        # Odd numbers of vectors: neighbours, whole powers of two apart, would evict one another from the cache.
        many.tile_step = (ceil_div(job.views, lanes) // 2 * 2 + 1) * lanes
        many.position_step = (transformed * many.tile_step // lanes // 2 * 2 + 1) * lanes
        many.sums_step = (tiles * FILTER_TILE_VECTORS // 2 * 2 + 1) * lanes
        run_columns = many.run_tiles * x.tile_step + x.inputs
        at.strip = at.parts + ((lanes + 2 * x.parts) * columns + SLACK if job.split else 0)
        at.between = at.strip + y.inputs * many.strip_step
        at.tiles = at.between + max(y.positions * run_columns, y.outputs * many.run_tiles * x.inputs) * lanes
        at.sums = at.tiles + y.positions * x.positions * many.position_step
        at.out = at.sums + products * many.sums_step
        at.chunk = at.kernels = at.blank = at.out + y.outputs * many.out_columns * lanes
        if not job.packed:
            at.kernels = at.chunk + chunk_numbers(job)
            at.blank = at.kernels + gathered_numbers(job)
        rows = np.add.outer(np.arange(y.shared_parts) * dilation * row_tiles * many.tile_step,
                            np.arange(y.parts * job.window.channels) * x.parts)
        parts = np.add.outer(np.arange(x.shared_parts) * many.tile_step, np.arange(x.parts))
        many.offset = self.integers(np.add.outer(rows, parts))
        return 0

    cdef Py_ssize_t divide_few(self) except -1:
        """Choose steps and places for a row of tiles with tiles in the lanes."""
        cdef WinogradJob *job = &self.job
        cdef const AxisTransform *y = &job.y
        cdef const AxisTransform *x = &job.x
        cdef Py_ssize_t lanes = job.ukernels.lanes, vectors = ceil_div(job.tile_columns, lanes)
        cdef FewSteps *few = &job.few
        cdef WorkspacePlaces *at = &job.at
        few.tile_pixels = x.tile_step * x.part_step
        few.pitch = vectors * lanes + farthest_input(x) // few.tile_pixels
        few.strip_step = ceil_div(few.tile_pixels * few.pitch, lanes) * lanes
        few.lines = farthest_input(y) + 1
        few.channel_step = few.lines * few.strip_step
        few.tile_step = job.channels * y.positions * x.positions * lanes
        at.strip = at.parts
        at.between = at.strip + job.window.channels * few.channel_step
        at.tiles = at.between + y.parts * job.window.channels * y.positions * few.strip_step + SLACK
        at.sums = at.tiles + vectors * few.tile_step
        at.out = at.sums + FEW_MAX_FILTERS * y.outputs * x.positions * lanes
        at.blank = at.out + x.outputs * lanes
        return 0


def winograd_layout(window, channels, filters, bits, forms, splits, few, tile_rows, tile_columns, line_tiles, *,
                    packed=True, transposed=False):
    """Return a layout of these forms and splits of rows and columns, for channels and filters of a group.

    An axis has one form, or one for each phase of a transposed convolution. Blocks have up to tile_rows x tile_columns
    tiles; with few channels, lanes are tiles. Kernels in parts, and few channels, need packed weights. If maps bypass
    the cache, line_tiles make a cache line of outputs; else they are 0.
    """
    cdef WinogradLayout layout = WinogradLayout.__new__(WinogradLayout)
    cdef WinogradJob *job = &layout.job
    cdef Axis *axis = job.window.axis
    cdef Py_ssize_t mask_bytes
    make_window(&job.window, window, channels, filters)
    job.epilogue = make_epilogue(window[5])
    job.ukernels = ukernels_of(bits)
    job.blocks = make_filter_blocks(filters, FILTERS, job.ukernels)
    job.transposed, job.tiles_in_lanes, job.nontemporal, job.packed = transposed, few, line_tiles > 0, packed
    job.tile_rows, job.tile_columns, job.line_tiles = tile_rows, tile_columns, max(1, <Py_ssize_t>line_tiles)
    layout.itemsize = <Py_ssize_t>bits // 8
    layout.choose_forms(forms, splits)
    if transposed:
        axis[1] = make_axis(job.y.phase[job.y.phases - 1].taps, 1, 1)
        axis[2] = make_axis(job.x.phase[job.x.phases - 1].taps, 1, 1)
    job.at.parts = FILTER_TILE_VECTORS * job.ukernels.lanes  # behind the zeros
    if few:
        layout.divide_few()
        layout.unit = <fc_unit_fn>winograd_few_unit[float] if bits == 32 else <fc_unit_fn>winograd_few_unit[double]
    else:
        layout.divide_many()
        layout.unit = <fc_unit_fn>winograd_unit[float] if bits == 32 else <fc_unit_fn>winograd_unit[double]
    job.blank_rows = (job.tile_rows + 1) * job.y.outputs  # a block's first and last rows of tiles may both be parts
    job.blank_columns = job.tile_columns * job.x.outputs * axis[2].dilation
    mask_bytes = (job.blank_columns - 1) * axis[2].stride + axis[2].span + WORD + job.blank_rows * job.blank_columns
    job.blank_numbers = job.blank_columns + ceil_div(mask_bytes, 4)
    layout.workspace = job.at.blank * layout.itemsize + 4 * job.blank_numbers
    layout.packed_numbers = job.window.groups * transformed_numbers(job)
    layout.filters = job.window.groups * job.window.filters
    layout.offsets = count_offsets(layout.filters, &job.epilogue)
    return layout


def convolve_winograd(images, weight, transformed, bias, maps, pads, WinogradLayout layout, blocks, Py_ssize_t threads,
                      residual=None):
    """Convolve images with a filter bank by Winograd's forms.

    images and maps as for `convolve`; weight (K, C / groups, 1, kh, kw) may have any steps, and transformed is what
    `pack_winograd` made of it, or None if the layout has no packed weights. A map is cut into blocks of tiles, and the
    filters of a group into parts: blocks is (row blocks, column blocks, parts), or None for blocks as large as can be
    and all filters.
    """
    cdef WinogradJob job = layout.job
    cdef Py_ssize_t units
    if bias is None:
        bias = bytes(layout.offsets * layout.itemsize)
    measure_arrays(&job.arrays, images, maps)
    set_residual(&job.arrays, residual, maps)
    take_residual(&job.epilogue, job.arrays.residual)
    job.nontemporal = job.nontemporal and not job.epilogue.is_left
    set_pads(&job.window, pads)
    if job.transposed:
        set_transposed_pads(&job)
    job.bank = bank_of(weight, layout.itemsize, job.window.taps)
    job.arrays.bias = numbers_of(bias, layout.offsets, layout.itemsize)
    job.arrays.slopes = <const char *>job.arrays.bias + layout.filters * layout.itemsize
    if job.packed:
        job.transformed = numbers_of(transformed, layout.packed_numbers, layout.itemsize)
    if blocks is None:
        job.row_blocks, job.parts = ceil_div(count_tiles(&job, &job.y, 1), job.tile_rows), 1
        job.column_blocks = ceil_div(count_tiles(&job, &job.x, 2), job.tile_columns)
    else:
        job.row_blocks, job.column_blocks, job.parts = blocks
    units = (job.arrays.batch * job.arrays.map_size[0] * job.window.groups * job.window.axis[1].dilation
             * job.row_blocks * job.column_blocks * job.parts)
    if threads == 0:
        return units_of(layout.unit, &job, sizeof(job), &job.arrays, &job.arrays, units, layout.workspace, layout)
    run_units(layout.unit, &job, units, layout.workspace, threads)


cdef void set_transposed_pads(WinogradJob *job) noexcept nogil:
    """Replace the pads of a transposed convolution by what lies in front of the first tile's input and of the map."""
    cdef Axis *axis = job.window.axis
    axis[0].pad = -axis[0].pad
    set_transposed_pad(&axis[1], &job.y)
    set_transposed_pad(&axis[2], &job.x)


cdef void set_transposed_pad(Axis *axis, AxisTransform *transform) noexcept nogil:
    # Input 0 is the first that tiles from output `first` on read.
    cdef Py_ssize_t first = transform.taps - transform.phases - axis.pad
    transform.skipped = -first % transform.phases
    if transform.skipped < 0:
        transform.skipped += transform.phases
    axis.pad = (first + transform.skipped) // transform.phases


def pack_winograd(weight, packed, Py_ssize_t first, WinogradLayout layout):
    """Transform a piece of the bank, weight (some filters from `first` on, C / groups, 1, kh, kw), of any steps.

    packed holds all of it, group by group, block by block of filters. If transposed, weight is the whole bank
    (C, K / groups * taps), and the piece ends before filter `last` of all groups.
    """
    cdef WinogradJob *job = &layout.job
    cdef Bank bank = bank_of(weight, layout.itemsize, layout.job.window.taps)
    workspace = empty((gathered_numbers(job) + staged_numbers(job),), weight.dtype)
    cdef void *to = view_of(packed, 1, True).start
    cdef void *room = view_of(workspace, 1, True).start
    with nogil:
        if layout.itemsize == sizeof(float):
            transform_filters(<float *>to, <float *>room, job, &bank, first)
        else:
            transform_filters(<double *>to, <double *>room, job, &bank, first)
