# The layout of sweeps. Part of _core.pyx.
#
# Uses: job.pxi, epilogue.pxi, layout.pxi, sweep_job.pxi, sweep_tables.pxi, sweep.pxi.


@cython.final
cdef class SweepLayout(Layout):
    """Sweeps down the rows of one channel; lanes are pixels."""

    cdef SweepJob job

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef SweepLayout bound = SweepLayout.__new__(SweepLayout)
        bound.inherit(self)
        bound.job, bound.job.arrays = self.job, arrays[0]
        set_pads(&bound.job.window, pads)
        bound.tables = make_sweep_tables(&bound.job)
        bound.units = cut_sweep_job(&bound.job, 1)
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef SweepJob job = self.job
        cdef Py_ssize_t units = self.units
        set_addresses(&job.arrays, arrays)
        take_residual(&job.epilogue, arrays.residual)
        job.nontemporal = job.nontemporal and not job.epilogue.is_left
        if threads > 1:
            units = cut_sweep_job(&job, threads)
        if threads == 0:
            return units_of(self.unit, &job, sizeof(job), &job.arrays, &job.arrays, units, self.workspace, self)
        run_units(self.unit, &job, units, self.workspace, threads, keep_gil)


cdef Py_ssize_t cut_sweep_job(SweepJob *job, Py_ssize_t threads) noexcept nogil:
    """Cut a job into units for so many threads, of smaller strips if need be; return how many there are."""
    cdef Py_ssize_t others = job.arrays.batch * job.arrays.map_size[0] * job.parts
    job.strips = count_strips(&job.arrays, job.strip_rows, ceil_div(wanted_units(threads), others), 4)
    return others * job.strips


def sweep_layout(map_size, window, filters, bits, strip_rows, *, in_place, parts, nontemporal, zero_rows=True,
                 borders=False, pairs=False, channels=1):
    """Return a layout of sweeps, for groups of one channel and so many filters and maps of up to this size.

    Pairs, of complex numbers, take one channel of real weights, or the two of complex ones, and are read in place.
    In place is for, across the columns, stride 1, or stride 2 without dilation; with borders if outputs read columns
    beyond the image, other than zeros. Zero rows are those of the padding above and below the image, which maps of one
    row, for example, may not read.
    """
    cdef SweepLayout layout = SweepLayout.__new__(SweepLayout)
    cdef SweepJob *job = &layout.job
    cdef const Axis *axis = &job.window.axis[0]
    cdef Py_ssize_t numbers, columns
    make_window(&job.window, window, channels, filters)
    job.epilogue = make_epilogue(window[5])
    job.ukernels = ukernels_of(bits)
    job.in_place, job.borders, job.parts = in_place, in_place and borders, parts
    job.nontemporal, job.strip_rows, job.pairs = nontemporal, strip_rows, pairs
    job.stride_x = axis[2].stride if in_place else 1
    job.paired = axis[1].taps == 1 and job.stride_x == 1
    job.row_period = axis[1].dilation * axis[1].period // axis[1].stride
    job.lines = (job.strip_rows - 1) * axis[1].stride + axis[1].span
    job.pitch = <Py_ssize_t>map_size[2] + axis[2].reach
    job.zero_numbers = 0
    if zero_rows:
        job.zero_numbers = SLACK + <Py_ssize_t>map_size[2] * job.stride_x + axis[2].span
    numbers = job.window.taps + job.zero_numbers
    if not in_place or pairs:
        numbers += job.lines * axis[2].phases * job.pitch + SLACK
    if job.borders:  # of all vectors, at most
        columns = map_size[2] + job.ukernels.lanes
        numbers += job.lines * (columns * job.stride_x + 2 * axis[2].span) + SLACK
    layout.itemsize = <Py_ssize_t>bits // 8
    layout.workspace = numbers * layout.itemsize + row_pointers(job) * sizeof(void *)
    layout.filters = job.window.groups * job.window.filters
    layout.offsets = count_offsets(layout.filters, &job.epilogue) * (2 if pairs else 1)
    layout.weights = layout.filters * job.window.taps
    layout.unit = <fc_unit_fn>sweep_unit[float] if bits == 32 else <fc_unit_fn>sweep_unit[double]
    return layout
