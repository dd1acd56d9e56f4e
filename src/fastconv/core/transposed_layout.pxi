# The layout of transposed convolution by register tiles: where things lie, and how weights are packed.
# Part of _core.pyx.
#
# Uses: geometry.pxd, buffers.pxd, job.pxi, epilogue.pxi, filters.pxi, layout.pxi, transposed_job.pxi, transposed.pxi.


cdef enum:
    CONFLICT_NUMBERS = 256  # pixels of the strip a multiple of this apart would evict each other from the cache
    PACK_TAPS = 16          # taps of a kernel that are packed at a time


@cython.final
cdef class TransposedLayout(Layout):
    """Register tiles with filters in the lanes, phase by phase of the outputs."""

    cdef TransposedJob job

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef TransposedLayout bound = TransposedLayout.__new__(TransposedLayout)
        bound.inherit(self)
        bound.job, bound.job.arrays = self.job, arrays[0]
        set_pads(&bound.job.window, pads)
        bound.tables = take_memory(self.job.window.taps * sizeof(Py_ssize_t), self.job.window.taps)
        note_taps(<Py_ssize_t *>bound.tables.start, &bound.job)
        bound.job.offset = <const Py_ssize_t *>bound.tables.start
        bound.units = cut_transposed_job(&bound.job, 1)
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef TransposedJob job = self.job
        cdef Py_ssize_t units = self.units
        set_addresses(&job.arrays, arrays)
        take_residual(&job.epilogue, arrays.residual)
        if threads > 1:
            units = cut_transposed_job(&job, threads)
        run_units(self.unit, &job, units, self.workspace, threads, keep_gil)

    @property
    def piece_bounds(self):
        """At which channels pieces of the bank begin that can be packed by themselves, and where the last one ends."""
        cdef Py_ssize_t channels = self.job.window.groups * self.job.window.channels
        cdef Py_ssize_t step = max(1, PIECE_NUMBERS * channels // self.packed_numbers)
        return [*range(0, channels, step), channels]


cdef Py_ssize_t cut_transposed_job(TransposedJob *job, Py_ssize_t threads) noexcept nogil:
    """Cut a job into units for so many threads: smaller strips first, then fewer filters; return how many there are."""
    cdef Py_ssize_t others = job.arrays.batch * job.arrays.map_size[0] * job.window.groups
    cdef Py_ssize_t rows = phase_size(job, 1), wanted = ceil_div(wanted_units(threads), others)
    job.strips = max(ceil_div(rows, job.strip_rows), min(wanted, rows // 4))
    job.parts = min(job.blocks.count, max(1, wanted // job.strips))
    return others * job.strips * job.parts


cdef void note_taps(Py_ssize_t *offset, const TransposedJob *job) noexcept nogil:
    """Note the numbers from the strip's first pixel to what each tap reads for output 0 of its phase."""
    cdef const Axis *axis = &job.window.axis[0]
    cdef Py_ssize_t n, c, place, input
    cdef Triple tap
    for n in range(job.window.taps // job.window.channels):
        tap = nth_tap(&job.window, n)
        place = place_of_tap(&job.window, tap)
        input = (tap.z // axis[0].period * job.plane_step + input_in_strip(&axis[1], tap.y) * job.row_step
                 + input_in_strip(&axis[2], tap.x) * job.pixel_step)
        for c in range(job.window.channels):
            offset[place + c] = input + c


cdef inline Py_ssize_t input_in_strip(const Axis *axis, Py_ssize_t tap) noexcept nogil:
    """Return the same as `tap_input`, counted from the first pixel of a strip, which the last tap reads."""
    return tap_input(axis, tap) - tap_input(axis, axis.taps - 1)


cdef Py_ssize_t divide_transposed_workspace(TransposedJob *job, map_size) except -1:
    """Note the shape of the strip, and where bias and sums lie behind it; return the numbers of them all."""
    cdef const Axis *axis = &job.window.axis[0]
    cdef Py_ssize_t line = LINE_BYTES // 4, columns = ceil_div(<Py_ssize_t>map_size[2], axis[2].stride), strip
    job.pixel_step = ceil_div(job.window.channels, line) * line
    if job.pixel_step % CONFLICT_NUMBERS == 0:
        job.pixel_step += line
    job.row_step = (columns + transposed_reach(&axis[2])) * job.pixel_step
    job.plane_step = (job.strip_rows + transposed_reach(&axis[1])) * job.row_step
    strip = ceil_div(axis[0].taps, axis[0].period) * job.plane_step
    job.bias, job.sums = strip, strip + ceil_div(job.blocks.padded, line) * line
    return job.sums + (job.strip_rows * min(axis[1].stride, <Py_ssize_t>map_size[1])
                       * columns * min(axis[2].stride, <Py_ssize_t>map_size[2]) * job.width)


def transposed_layout(map_size, window, channels, filters, bits, strip_rows, chunk):
    """Return a layout of transposed convolution, for channels and filters of a group and maps of up to this size.

    A strip has so many rows of each phase at most, and sums of so many taps are added up at a time.
    """
    cdef TransposedLayout layout = TransposedLayout.__new__(TransposedLayout)
    cdef TransposedJob *job = &layout.job
    make_window(&job.window, window, channels, filters)
    job.epilogue = make_epilogue(window[5])
    job.ukernels = ukernels_of(bits)
    job.blocks = make_filter_blocks(filters, FILTERS, job.ukernels)
    job.strip_rows, job.chunk = strip_rows, chunk
    job.width = FILTER_TILE_VECTORS * job.ukernels.lanes
    layout.itemsize = <Py_ssize_t>bits // 8
    layout.workspace = divide_transposed_workspace(job, map_size) * layout.itemsize
    layout.weights = layout.packed_numbers = job.window.groups * job.blocks.padded * job.window.taps
    layout.filters = job.window.groups * job.window.filters
    layout.offsets = count_offsets(layout.filters, &job.epilogue)
    layout.unit = <fc_unit_fn>transposed_unit[float] if bits == 32 else <fc_unit_fn>transposed_unit[double]
    return layout


def pack_transposed(weight, packed, Py_ssize_t first, TransposedLayout layout, bint flip):
    """Pack a piece of the bank, weight (some channels from `first` on, K / groups * taps); flip turns the kernels."""
    cdef View some = view_of(weight, 2, False)
    cdef void *to = view_of(packed, 1, True).start
    cdef Range channels = Range(first, first + some.shape[0])
    with nogil:
        if layout.itemsize == sizeof(float):
            pack_channels(<float *>to, <const float *>some.start, &layout.job, channels, flip)
        else:
            pack_channels(<double *>to, <const double *>some.start, &layout.job, channels, flip)


cdef void pack_channels(real *packed, const real *weight, const TransposedJob *job, Range channels,
                        bint flip) noexcept nogil:
    """Pack the weights (channels, K, taps) of some channels, counted over all groups, in the order of the phases."""
    cdef Py_ssize_t all_taps = job.window.taps // job.window.channels, block, n, channel, t
    cdef Py_ssize_t[PACK_TAPS] place
    cdef Range filters, taps
    cdef const real *source
    for block in range(job.blocks.count):
        filters = nth_block(&job.blocks, block)
        for n in range(ceil_div(all_taps, PACK_TAPS)):
            taps = Range(n * PACK_TAPS, min((n + 1) * PACK_TAPS, all_taps))
            for t in range(taps.first, taps.last):
                place[t - taps.first] = place_of_tap(&job.window, nth_tap(&job.window, all_taps - 1 - t if flip else t))
            source = weight + filters.first * all_taps + taps.first
            for channel in range(channels.first, channels.last):
                pack_taps(packed, source, place, taps.last - taps.first, job, filters, channel)
                source += job.blocks.filters * all_taps


cdef void pack_taps(real *packed, const real *weight, const Py_ssize_t *place, Py_ssize_t count,
                    const TransposedJob *job, Range filters, Py_ssize_t channel) noexcept nogil:
    """Transpose some taps of one channel and a block of filters (K, taps), and put the rows where tiles read them."""
    cdef real[PACK_TAPS * FILTER_TILE_VECTORS * 16] rows  # (taps, width)
    cdef Py_ssize_t t, width = filters.last - filters.first
    cdef Py_ssize_t inside = min(filters.last, job.blocks.filters) - filters.first
    packed += ((channel // job.window.channels * job.blocks.padded + filters.first) * job.window.taps
               + channel % job.window.channels * width)
    job.ukernels.transpose(rows, width, weight, job.window.taps // job.window.channels, inside, count)
    for t in range(count):
        memset(rows + t * width + inside, 0, (width - inside) * sizeof(real))
        memcpy(packed + place[t] * width, rows + t * width, width * sizeof(real))
