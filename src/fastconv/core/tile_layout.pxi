# The layout of convolution by register tiles: how large its blocks are, and where things lie. Part of _core.pyx.
#
# Uses: buffers.pxd, job.pxi, epilogue.pxi, filters.pxi, bank.pxi, layout.pxi, tile_job.pxi, strips.pxi, tiles.pxi,
# by_position.pxi.


@cython.final
cdef class TileLayout(Layout):
    """Register tiles of pixels and filters."""

    cdef TileJob job

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef TileLayout bound = TileLayout.__new__(TileLayout)
        cdef Py_ssize_t tap, packed
        bound.inherit(self)
        bound.job, bound.job.arrays = self.job, arrays[0]
        set_pads(&bound.job.window, pads)
        if self.job.in_place:
            packed = self.job.chunk if self.job.packs_pixels else 0
            bound.tables = take_memory((self.job.window.taps + packed) * sizeof(Py_ssize_t), self.job.window.taps)
            for tap in range(self.job.window.taps):
                (<Py_ssize_t *>bound.tables.start)[tap] = tap_in_image(&bound.job, tap)
            bound.job.offset = <const Py_ssize_t *>bound.tables.start
            bound.job.packed_offset = bound.job.offset + self.job.window.taps
            for tap in range(packed):
                (<Py_ssize_t *>bound.job.packed_offset)[tap] = tap * self.job.ukernels.tile_filters
        bound.units = cut_tile_job(&bound.job, 1)
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef TileJob job = self.job
        cdef Py_ssize_t units = self.units
        set_addresses(&job.arrays, arrays)
        take_residual(&job.epilogue, arrays.residual)
        if threads > 1:
            units = cut_tile_job(&job, threads)
        if threads == 0:
            return units_of(self.unit, &job, sizeof(job), &job.arrays, &job.arrays, units, self.workspace, self)
        run_units(self.unit, &job, units, self.workspace, threads, keep_gil)

    @property
    def piece_bounds(self):
        """Where pieces of the bank begin that can be packed one after another, and where the last one ends."""
        return bank_pieces(&self.job.blocks, self.job.window.groups, self.job.window.taps)


cdef Py_ssize_t cut_tile_job(TileJob *job, Py_ssize_t threads) noexcept nogil:
    """Cut a job into units for so many threads, of fewer images, smaller strips or fewer filters; return how many."""
    # In place, a row may be one pixel, of kernels of one tap: a strip has at least 8 vectors of them.
    cdef Py_ssize_t least_rows = 8 * job.ukernels.lanes if job.in_place and not job.by_position else 4
    cdef Py_ssize_t others = job.arrays.map_size[0] * job.window.groups, wanted = wanted_units(threads)
    job.batches = min(job.arrays.batch, max(ceil_div(job.arrays.batch, job.images), ceil_div(wanted, others)))
    others *= job.batches
    wanted = ceil_div(wanted, others)
    job.strips = count_strips(&job.arrays, job.strip_rows, wanted, least_rows)
    job.parts = min(job.blocks.count, max(1, wanted // job.strips))
    if not job.in_place:
        job.parts = even_parts(job.parts, others * job.strips, threads)
    if job.in_place and job.lanes == FILTERS and not job.packed and job.tap_step == 1:  # weights are read row by row
        job.parts = job.blocks.count
    return others * job.strips * job.parts


cdef Py_ssize_t even_parts(Py_ssize_t most, Py_ssize_t units, Py_ssize_t threads) noexcept nogil:
    """Return the fewest parts of units that threads can share evenly, since each part fills a strip of its own."""
    cdef Py_ssize_t parts
    for parts in range(1, most):
        if units * parts % threads == 0:
            return parts
    return most


cdef Py_ssize_t tap_in_image(const TileJob *job, Py_ssize_t tap) noexcept nogil:
    """Return the numbers from a pixel's input to what a tap reads, in an image that is read in place."""
    cdef const Axis *axis = &job.window.axis[0]
    cdef const Py_ssize_t *image_step = &job.arrays.image_step[0]
    cdef Py_ssize_t n, offset = 0
    if job.by_position:
        offset = tap % job.window.channels * image_step[1]
        tap //= job.window.channels
    for n in range(2, -1, -1):
        offset += tap % axis[n].taps * axis[n].dilation * (image_step[n + 2] if n < 2 else job.arrays.pixel_step)
        tap //= axis[n].taps
    return offset + tap * image_step[1]


cdef void note_taps_in_strip(Py_ssize_t *offset, const TileJob *job) noexcept nogil:
    """Note the numbers from a pixel's input to what each tap reads, in a strip."""
    cdef const Axis *axis = &job.window.axis[0]
    cdef Py_ssize_t c, i, j, k, t = 0
    for c in range(job.window.channels):
        for i in range(axis[0].taps):
            for j in range(axis[1].taps):
                for k in range(axis[2].taps):
                    offset[t] = (
                        ((c * axis[0].taps + i) * axis[1].phases + j % axis[1].period) * job.strip.plane_step
                        + index_in_phase(&axis[1], j) * job.strip.row_step
                        + k % axis[2].period * job.strip.pitch + index_in_phase(&axis[2], k))
                    t += 1


cdef void shape_strip(TileJob *job, map_size) except *:
    """Choose the geometry of strips: with filters in the lanes, pixels need not lie side by side, nor in phases."""
    cdef Axis *axis = job.window.axis
    cdef StripShape *strip = &job.strip
    strip.down = strip.across = 1
    if job.lanes == FILTERS and not job.by_position:
        strip.down, strip.across = axis[1].stride, axis[2].stride
        axis[1] = make_axis(axis[1].taps, 1, axis[1].dilation)
        axis[2] = make_axis(axis[2].taps, 1, axis[2].dilation)
    strip.pitch = (<Py_ssize_t>map_size[2] - 1) * strip.across + 1 + axis[2].reach
    if strip.pitch >= ALIGNED_PITCH and job.lanes == PIXELS and axis[2].stride == 1:  # an odd number of lines: or rows
        strip.pitch = (ceil_div(strip.pitch, LINE_NUMBERS) | 1) * LINE_NUMBERS  # would evict each other from the cache
    strip.row_step = axis[2].phases * strip.pitch
    strip.plane_step = ((job.strip_rows - 1) * strip.down + 1 + axis[1].reach) * strip.row_step


cdef Py_ssize_t divide_workspace(TileJob *job, map_size, bint merges) except -1:
    """Note where panels, sums and a packed block lie behind the strip, and return the numbers of them all."""
    cdef Py_ssize_t strip = 0, panels = 0, sums, block
    if not job.in_place:
        strip = LINE_NUMBERS + job.images * image_strip(job) + SLACK
    if job.im2col or (job.in_place and job.lanes == PIXELS):
        panels = job.block_tiles * panel_step(job)
    elif job.packs_pixels:
        panels = job.block_tiles * packed_step(job)
    sums = job.blocks.filters * job.width
    if job.lanes == FILTERS:
        sums = job.images * job.strip_rows * <Py_ssize_t>map_size[2]
        if not job.by_position:
            sums = min(ceil_div(sums, job.ukernels.pixel_unit) * job.ukernels.pixel_unit,
                       job.block_tiles * job.ukernels.tile_filters)
        sums = (1 if merges else 1 + sums) * job.blocks.padded
    block = 0 if job.packed or job.lanes == PIXELS else job.chunk * job.width
    job.panels, job.sums, job.block = strip, strip + panels, strip + panels + sums
    job.merged = job.block + block
    return job.merged + (job.blocks.filters * merged_step(job) if merges and job.lanes == PIXELS else 0)


def tile_layout(map_size, window, channels, filters, bits, strip_rows, *, by_filters, packed, im2col, in_place, chunk,
                block_tiles, prefetch_maps, by_position=False, filters_innermost=False, images=1, flip=None,
                requantized=None, channels_last=False, nontemporal=False):
    """Return a layout of register tiles, for channels and filters of a group and maps of up to this size.

    Weights that are not packed lie as (K, C / groups * taps), or with filters innermost as (C, K / groups).
    In place is for images without padding, with pixels in the lanes only for kernels of one tap and stride 1. By
    position is for zero-padding and filters in the lanes. With these, a unit may take several images.
    A flip, of four bytes, makes a layout for integers, with filters in the lanes: numbers hold several channels, as
    `pack_pixels` packs them, and are flipped in strips; sums are of 32 bits. Requantized to bytes, with a zero point,
    and with a sign or not, these take multipliers (K,) behind the packed weights.
    Channels may come last, in maps and perhaps in images, without a stride along the columns or a residual: with pixels
    in the lanes, maps may be written by non-temporal stores; with filters in the lanes, these must fill whole vectors,
    and the activation be a clip.
    """
    cdef TileLayout layout = TileLayout.__new__(TileLayout)
    cdef TileJob *job = &layout.job
    make_window(&job.window, window, channels, filters)
    job.epilogue = make_epilogue(window[5])
    job.ukernels = ukernels_of(bits) if flip is None else byte_kernels
    job.flip = 0 if flip is None else flip
    job.lanes = FILTERS if by_filters else PIXELS
    job.blocks = make_filter_blocks(filters, job.lanes, job.ukernels)
    job.packed, job.im2col, job.in_place, job.by_position = packed, im2col, in_place, by_position
    job.filter_step, job.tap_step = (1, filters) if filters_innermost else (job.window.taps, 1)
    job.prefetch_maps, job.strip_rows, job.images = prefetch_maps, strip_rows, images
    job.nontemporal = nontemporal
    job.block_tiles, job.chunk = min(<Py_ssize_t>block_tiles, BLOCK_TILES), min(<Py_ssize_t>chunk, job.window.taps)
    job.vectors = BYTE_TILE_VECTORS
    if job.lanes == PIXELS:
        job.vectors = job.ukernels.tile_vectors[min(job.window.filters, job.ukernels.tile_filters)]
    job.width = job.vectors * job.ukernels.lanes
    # Tiles of few pixels read few numbers of each cache line, and weights so often that they do not stay beside them.
    job.packs_pixels = (job.lanes == FILTERS and in_place and not by_position and flip is None
                        and job.ukernels.tile_filters == PACKED_PIXELS and job.blocks.count >= PACK_BLOCKS)
    job.requantizes = requantized is not None
    if job.requantizes:
        job.zero, job.is_signed = requantized
    shape_strip(job, map_size)
    layout.itemsize = <Py_ssize_t>bits // 8
    layout.workspace = divide_workspace(job, map_size, channels_last) * layout.itemsize
    layout.packed_numbers = job.window.groups * job.blocks.padded * job.window.taps
    layout.filters = job.window.groups * job.window.filters
    layout.offsets = count_offsets(layout.filters, &job.epilogue)
    layout.weights = layout.packed_numbers if job.packed else layout.filters * job.window.taps
    if job.requantizes:
        layout.weights += layout.filters
    if not job.in_place:
        layout.tables = take_memory(job.window.taps * sizeof(Py_ssize_t), job.window.taps)
        note_taps_in_strip(<Py_ssize_t *>layout.tables.start, job)
        job.offset = <const Py_ssize_t *>layout.tables.start
    if job.by_position:
        layout.unit = <fc_unit_fn>position_unit[float] if bits == 32 else <fc_unit_fn>position_unit[double]
    else:
        layout.unit = <fc_unit_fn>tile_unit[float] if bits == 32 else <fc_unit_fn>tile_unit[double]
    return layout


def pack_tiles(weight, packed, Py_ssize_t first, TileLayout layout):
    """Pack a piece of the bank, weight (some filters from `first` on, C / groups, kd, kh, kw), as `convolve` reads it.

    weight may have any steps; by position, its axes are in the order (K, kd, kh, kw, C / groups).
    """
    cdef Bank bank = bank_of(weight, layout.itemsize, layout.job.window.taps)
    cdef void *to = view_of(packed, 1, True).start
    with nogil:
        if layout.itemsize == sizeof(float):
            pack_filters(<float *>to, &layout.job, &bank, first)
        else:
            pack_filters(<double *>to, &layout.job, &bank, first)
