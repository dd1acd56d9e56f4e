# The layout of transposed convolution with pixels in the lanes. Part of _core.pyx.
#
# Uses: buffers.pxd, geometry.pxd, job.pxi, epilogue.pxi, filters.pxi, layout.pxi, transposed_job.pxi,
# interleaved_job.pxi, interleaved.pxi.


@cython.final
cdef class InterleavedLayout(Layout):
    """Phases of a transposed convolution, interleaved row by row; lanes are pixels."""

    cdef InterleavedJob job

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef InterleavedLayout bound = InterleavedLayout.__new__(InterleavedLayout)
        cdef const Axis *axis
        cdef Py_ssize_t n
        bound.inherit(self)
        bound.job, bound.job.arrays = self.job, arrays[0]
        for n in range(3):
            axis = &self.job.window.axis[n]
            bound.job.shift[n] = (<Py_ssize_t>pads[n] - axis.pad) // axis.stride
        bound.units = cut_interleaved_job(&bound.job, 1)
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef InterleavedJob job = self.job
        cdef Py_ssize_t units = self.units
        set_addresses(&job.arrays, arrays)
        take_residual(&job.epilogue, arrays.residual)
        job.nontemporal = job.nontemporal and not job.epilogue.is_left
        if threads > 1:
            units = cut_interleaved_job(&job, threads)
        run_units(self.unit, &job, units, self.workspace, threads, keep_gil)


cdef Py_ssize_t cut_interleaved_job(InterleavedJob *job, Py_ssize_t threads) noexcept nogil:
    """Cut a job into units for so many threads, of fewer groups first, then of smaller strips."""
    cdef Py_ssize_t rows = ceil_div(job.arrays.map_size[1], job.window.axis[1].stride)
    cdef Py_ssize_t wanted = ceil_div(wanted_units(threads), job.arrays.batch)
    job.parts = min(job.window.groups, wanted)
    job.strips = max(ceil_div(rows, job.strip_rows), min(rows, ceil_div(wanted, job.parts)))
    return job.arrays.batch * job.strips * job.parts


def interleaved_layout(map_size, window, pads, channels, filters, bits, strip_rows, *, chunk, nontemporal):
    """Return a layout of interleaved phases, for maps of up to this size.

    Pads are the remainders by the stride; those of arrays may be larger or smaller by whole strides.
    """
    cdef InterleavedLayout layout = InterleavedLayout.__new__(InterleavedLayout)
    cdef InterleavedJob *job = &layout.job
    cdef Axis *axis = job.window.axis
    cdef Py_ssize_t n, phases, rows
    make_window(&job.window, window, channels, filters)
    set_pads(&job.window, pads)
    for n in range(3):
        job.reach[n] = Range(tap_input(&axis[n], axis[n].taps - 1), tap_input(&axis[n], 0) + 1)
    job.epilogue = make_epilogue(window[5])
    job.ukernels = ukernels_of(bits)
    job.blocks = make_filter_blocks(filters, PIXELS, job.ukernels)
    job.nontemporal, job.strip_rows, job.chunk = nontemporal, strip_rows, chunk
    job.pitch = ceil_div(map_size[2], axis[2].stride) + job.reach[2].last - job.reach[2].first - 1
    rows = job.strip_rows + job.reach[1].last - job.reach[1].first - 1
    # An odd number of cache lines, so that channels do not evict each other.
    job.channel_step = (ceil_div(rows * job.pitch, LINE_BYTES // sizeof(float)) | 1) * (LINE_BYTES // sizeof(float))
    job.sums = channels * job.channel_step + SLACK
    layout.itemsize = <Py_ssize_t>bits // 8
    layout.workspace = (job.sums + axis[2].stride * job.ukernels.tile_filters * INTERLEAVED_VECTORS
                        * job.ukernels.lanes) * layout.itemsize
    layout.filters = job.window.groups * job.window.filters
    layout.offsets = count_offsets(layout.filters, &job.epilogue)
    layout.packed_numbers = layout.weights = layout.filters * job.window.taps
    phases = axis[1].stride * axis[2].stride
    layout.tables = take_memory((job.window.taps + phases + 1) * sizeof(Py_ssize_t), job.window.taps)
    job.offset = <const Py_ssize_t *>layout.tables.start
    job.first = job.offset + job.window.taps
    note_phases(<Py_ssize_t *>job.offset, <Py_ssize_t *>job.first, job)
    layout.unit = <fc_unit_fn>interleaved_unit[float] if bits == 32 else <fc_unit_fn>interleaved_unit[double]
    return layout


def pack_interleaved(weight, packed, InterleavedLayout layout):
    """Pack weights (C, K / groups, kd, kh, kw), of any strides, as `convolve` reads them."""
    cdef View bank = view_of(weight, 5, False)
    cdef void *to = view_of(packed, 1, True).start
    with nogil:
        if layout.itemsize == sizeof(float):
            pack_phases(<float *>to, <const float *>bank.start, &bank.step[0], &layout.job)
        else:
            pack_phases(<double *>to, <const double *>bank.start, &bank.step[0], &layout.job)
