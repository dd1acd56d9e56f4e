# How to compute a convolution: the sizes of blocks. Part of _core.pyx.


cdef class Layout:
    """How to compute a convolution, beyond what the arrays say: the kernel's geometry, and the sizes of blocks.

    Blocks are planned for maps of one size, and serve smaller ones as well. A window is
    (kernel, stride, dilation, groups, padding mode, activation).
    """

    cdef Job job
    cdef Py_ssize_t[::1] offsets

    cdef begin(self, map_size, window):
        cdef Py_ssize_t axis
        kernel, stride, dilation, groups, padding_mode, activation = window
        for axis in range(3):
            self.job.axis[axis] = make_axis(kernel[axis], stride[axis], dilation[axis])
            self.job.map_size[axis], self.job.step[axis] = map_size[axis], 1
        self.job.groups, self.job.mode, self.job.activation = groups, padding_mode, activation
        self.job.low = 0 if activation == RELU or activation == RELU6 else -INFINITY
        self.job.high = 6 if activation == RELU6 else INFINITY

    cdef void choose(self, Py_ssize_t channels, Py_ssize_t filters, Py_ssize_t bits, Py_ssize_t strip_rows):
        """Choose the instruction set, for numbers of so many bits, and the output rows that are computed at a time."""
        cdef Job *job = &self.job
        job.kernels = &isa.f32 if bits == 32 else &isa.f64
        job.channels, job.filters, job.bits = channels, filters, bits
        job.taps = job.channels * job.axis[0].taps * job.axis[1].taps * job.axis[2].taps
        job.parts = 1
        job.strip_rows = strip_rows
        job.pitch = (job.map_size[2] - 1) * job.step[2] + 1 + job.axis[2].reach
        job.row_step = job.axis[2].slots * job.pitch
        job.plane_step = ((job.strip_rows - 1) * job.step[1] + 1 + job.axis[1].reach) * job.row_step

    cdef sweep(self, filters, bits, strip_rows, in_place, parts, nontemporal, zero_rows):
        cdef Job *job = &self.job
        self.choose(1, filters, bits, strip_rows)
        job.in_place, job.parts, job.far_maps = in_place, parts, nontemporal
        job.across = job.axis[2].stride if in_place else 1
        job.pairs = job.axis[1].taps == 1 and job.across == 1
        job.apart = job.axis[1].dilation * job.axis[1].period // job.axis[1].stride
        job.lines = (job.strip_rows - 1) * job.axis[1].stride + job.axis[1].span
        job.strip_numbers = job.taps
        if zero_rows:
            job.zero_numbers = max(job.row_step, job.map_size[2] * job.across + job.axis[2].span) + SLACK
            job.strip_numbers += job.zero_numbers
        if not in_place:
            job.strip_numbers += job.lines * job.row_step + SLACK
        self.place_taps()

    cdef stack(self, filters, bits, strip_rows, parts):
        cdef Job *job = &self.job
        cdef Py_ssize_t lanes, pixels
        self.choose(1, filters, bits, strip_rows)
        lanes = job.kernels.lanes
        job.stacks = ceiling(job.groups, lanes)
        job.parts = min(<Py_ssize_t>parts, job.stacks)
        job.lines = (job.strip_rows - 1) * job.axis[1].stride + job.axis[1].span
        pixels = job.lines * (job.map_size[2] * job.axis[2].stride + job.axis[2].span)
        pixels += job.strip_rows * job.map_size[2]
        job.strip_numbers = (pixels + job.taps + 5 * lanes + 2) * lanes
        self.place_taps()

    cdef tile(self, channels, filters, bits, strip_rows, by_filters, packed, im2col, in_place, chunk, block_tiles,
              prefetch_maps, by_position):
        cdef Job *job = &self.job
        cdef Axis *along
        cdef Py_ssize_t axis
        job.lanes = FILTERS if by_filters else PIXELS
        job.by_position = by_position
        if job.lanes == FILTERS and not by_position:  # pixels need not lie side by side
            for axis in range(1, 3):
                along = &job.axis[axis]
                job.step[axis] = along.stride
                along[0] = make_axis(along.taps, 1, along.dilation)
        self.choose(channels, filters, bits, strip_rows)
        job.packed, job.panels, job.in_place, job.far_maps = packed, im2col, in_place, prefetch_maps
        job.vectors = job.kernels.tile_vectors[min(job.filters, job.kernels.tile_filters)]
        job.block_tiles = min(<Py_ssize_t>block_tiles, BLOCK_TILES)
        job.chunk = min(<Py_ssize_t>chunk, job.taps)
        job.width = (BLOCK_VECTORS if job.lanes == FILTERS else job.vectors) * job.kernels.lanes
        if not job.in_place:
            job.strip_numbers = job.channels * job.axis[0].taps * job.axis[1].slots * job.plane_step + SLACK
        if job.panels or (job.in_place and job.lanes == PIXELS):
            job.panel_numbers = job.block_tiles * panel_step(job)
        job.sums_numbers = job.filters * job.width
        if job.lanes == FILTERS:
            job.sums_numbers = (1 + job.strip_rows * job.map_size[2]) * packed_rows(job)
        job.block_numbers = 0 if job.packed or job.lanes == PIXELS else job.chunk * job.width
        self.place_taps()

    cdef place_taps(self):
        """Note where in a strip, and in a panel, each tap sees what belongs to a pixel."""
        cdef Job *job = &self.job
        cdef Py_ssize_t c, i, j, k, v, t = 0
        self.offsets = np.empty(job.taps, np.intp)
        job.offset = &self.offsets[0]
        for c in range(job.channels):
            for i in range(job.axis[0].taps):
                for j in range(job.axis[1].taps):
                    for v in range(job.axis[2].taps):
                        k = tap_in_order(job, v)
                        self.offsets[t] = (
                            (c * job.axis[0].taps + i) * job.axis[1].slots * job.plane_step
                            + j % job.axis[1].period * job.plane_step + tap_index(&job.axis[1], j) * job.row_step
                            + k % job.axis[2].period * job.pitch + tap_index(&job.axis[2], k))
                        t += 1

    def describe(self):
        """Say in words what was chosen."""
        cdef Job *job = &self.job
        where = "the image in place" if job.in_place else f"strips of {job.strip_rows} rows"
        if job.stacks:
            return f"sweeps down stacks of channels, {where}"
        if job.lines:
            return f"sweeps down {where}"
        lanes = "filters" if job.lanes == FILTERS else "pixels"
        where += ", position of the kernel by position" if job.by_position else ""
        return f"{lanes} in the lanes, {where}{', panels' if job.panels else ''}, chunks of {job.chunk} taps"

    @property
    def workspace(self):
        """Bytes that each thread works in."""
        return workspace_bytes(&self.job)

    @property
    def packed_numbers(self):
        """How many numbers the packed weights are."""
        return self.job.groups * packed_rows(&self.job) * self.job.taps

    @property
    def pieces(self):
        """Where pieces of the bank begin that can be packed one after another, and where the last one ends."""
        return pieces(&self.job, False)


@cython.final
cdef class DirectLayout(Layout):
    """Every filter slides over every image, in any dtype."""


@cython.final
cdef class TileLayout(Layout):
    """Register tiles of pixels and filters."""


@cython.final
cdef class SweepLayout(Layout):
    """Filters that see one channel sweep down its rows; lanes are pixels."""


@cython.final
cdef class StackLayout(Layout):
    """Filters that see one channel sweep down stacks of them; lanes are channels."""


def direct_layout(window):
    """Return the layout for `convolve_direct`."""
    cdef DirectLayout layout = DirectLayout.__new__(DirectLayout)
    layout.begin((1, 1, 1), window)
    return layout


def tile_layout(map_size, window, channels, filters, bits, strip_rows, *, by_filters, packed, im2col, in_place, chunk,
                block_tiles, prefetch_maps, by_position=False):
    """Return a layout of tiles, for channels and filters of a group.

    In place is for images without padding, with pixels in the lanes only for kernels of one tap and stride 1. By
    position is for filters in the lanes, whose packed weights lie in the order (K, kd, kh, kw, C), and zero-padding.
    """
    cdef TileLayout layout = TileLayout.__new__(TileLayout)
    layout.begin(map_size, window)
    layout.tile(channels, filters, bits, strip_rows, by_filters, packed, im2col, in_place, chunk, block_tiles,
                prefetch_maps, by_position)
    return layout


def sweep_layout(map_size, window, filters, bits, strip_rows, *, in_place, parts, nontemporal, zero_rows=True):
    """Return a layout of sweeps, for filters that see one channel.

    In place is for zero-padding and, across the columns, stride 1, or stride 2 without dilation. Zero rows are those of
    the padding, which maps of one row, for example, may not see.
    """
    cdef SweepLayout layout = SweepLayout.__new__(SweepLayout)
    layout.begin(map_size, window)
    layout.sweep(filters, bits, strip_rows, in_place, parts, nontemporal, zero_rows)
    return layout


def stack_layout(map_size, window, filters, bits, strip_rows, *, parts):
    """Return a layout of sweeps down stacks of channels, for filters that see one channel.

    It is for zero-padding and, across the columns, 3, 5 or 7 taps, stride 1 or 2 and no dilation.
    """
    cdef StackLayout layout = StackLayout.__new__(StackLayout)
    layout.begin(map_size, window)
    layout.stack(filters, bits, strip_rows, parts)
    return layout
