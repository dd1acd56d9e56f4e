# The layout of convolution by Fourier transforms, its twiddle factors, and what Python calls. Part of _core.pyx.
#
# Uses: buffers.pxd, job.pxi, epilogue.pxi, layout.pxi, fft_job.pxi, fft_input.pxi, fft.pxi.


cdef double TWO_PI = 2 * math.pi


@cython.final
cdef class FftLayout:
    """Blocks of one size, and how many are transformed together."""

    cdef readonly Py_ssize_t workspace    # bytes that each thread works in
    cdef readonly Py_ssize_t numbers      # of a kernel's spectrum
    cdef Py_ssize_t itemsize              # of the arrays
    cdef FftJob job
    cdef Memory tables                    # that the job points into

    def __init__(self, window, weight_shape, Py_ssize_t bits, Py_ssize_t array_bits, size, outputs, int pair_axis,
                 Py_ssize_t unit_pairs, cell, max_range):
        """Transforms of so many bits for arrays of others; size: (rows, columns) of a block, or (points,) of a line.

        outputs (depths of a unit, rows and columns of a block); cell (slots, rows, columns) and max_range: see FftJob.
        """
        cdef FftJob *job = &self.job
        cdef Py_ssize_t axis, depths = outputs[0]
        cdef const Axis *depth = &job.window.axis[0]
        make_window(&job.window, window, weight_shape[1], <Py_ssize_t>weight_shape[0] // <Py_ssize_t>window[3])
        job.epilogue = make_epilogue(window[5])
        job.ukernels, self.itemsize, job.narrows = ukernels_of(bits), array_bits // 8, bits > array_bits
        job.is_line, job.pair_axis, job.unit_pairs = len(size) == 1, pair_axis, unit_pairs
        rows, columns = fold_line(size[0]) if job.is_line else size
        job.y.length, job.x.length, job.points = rows, columns, rows * columns
        for axis in range(3):
            job.outputs[axis], job.cell[axis] = outputs[axis], cell[axis]
        job.max_range = max_range
        job.slot_step = depth.dilation if depths == 1 else math.gcd(depth.stride, depth.dilation)
        job.slots = ((depths - 1) * depth.stride + depth.span - 1) // job.slot_step + 1
        self.workspace, self.numbers = divide_fft_workspace(job, bits // 8), spectrum_numbers(job)
        self.make_tables(bits)

    cdef make_tables(self, Py_ssize_t bits):
        """Compute the twiddle factors."""
        cdef FftJob *job = &self.job
        cdef Py_ssize_t numbers
        choose_passes(&job.y)
        choose_passes(&job.x)
        numbers = job.y.twiddle_numbers + job.x.twiddle_numbers + (2 * job.points if job.is_line else 0)
        self.tables = take_memory(numbers * bits // 8, job.window.taps)
        if bits == 32:
            fill_tables(<float *>self.tables.start, job)
        else:
            fill_tables(<double *>self.tables.start, job)


def fold_line(Py_ssize_t points):
    """Return the rows and columns of a line of so many points; of either, whole vectors of any kind."""
    cdef Py_ssize_t rows = 16
    while (rows * 2) * (rows * 2) <= points and points % (rows * 2 * 16) == 0:
        rows *= 2
    return rows, points // rows


cdef choose_passes(fc_fft *fft):
    """Choose the passes of a transform: few of them, of radices 4 and 8, and others first."""
    cdef Py_ssize_t length = fft.length, m = fft.length
    fft.passes = fft.twiddle_numbers = 0
    while m > 1:
        if m % 3 == 0 or m % 5 == 0:
            radix = 3 if m % 3 == 0 else 5
        else:
            radix = 4 if m in (4, 16, 32, 128, 1024) or m % 8 else 8
        if m % radix or fft.passes == FFT_MAX_PASSES:
            raise ValueError(f"the core has no transform of {length} points")
        fft.radix[fft.passes] = radix
        fft.passes += 1
        m //= radix
        fft.twiddle_numbers += 2 * (radix - 1) * m


cdef void root_of_unity(double *to, Py_ssize_t index, Py_ssize_t n) noexcept nogil:
    """Compute cosine and sine of -2 pi index / n, index from 0 to n - 1, by those of an angle of an eighth at most."""
    cdef Py_ssize_t eighths = 8 * index, quarter
    cdef double cosine, sine, swapped
    quarter = (eighths + n) // (2 * n)
    cosine, sine = cos(TWO_PI * (index - quarter * n / 4.0) / n), sin(TWO_PI * (index - quarter * n / 4.0) / n)
    if quarter % 2:
        swapped = cosine
        cosine, sine = -sine, swapped
    if quarter % 4 >= 2:
        cosine, sine = -cosine, -sine
    to[0], to[1] = cosine, -sine


cdef void fill_tables(real *to, FftJob *job) noexcept nogil:
    job.y.twiddles = to
    to = fill_twiddles(to, &job.y)
    job.x.twiddles = to
    to = fill_twiddles(to, &job.x)
    job.fold = to
    if job.is_line:
        fill_fold(to, job)


cdef real *fill_twiddles(real *to, const fc_fft *fft) noexcept nogil:
    """Compute the twiddle factors of all passes; return the place behind them."""
    cdef Py_ssize_t m = fft.length, n, passed, j, q
    cdef double[2] root
    for passed in range(fft.passes):
        n = m
        m //= fft.radix[passed]
        for j in range(m):
            for q in range(1, fft.radix[passed]):
                root_of_unity(root, j * q, n)
                to[0], to[1] = root[0], root[1]
                to += 2
    return to


cdef void fill_fold(real *to, const FftJob *job) noexcept nogil:
    """Compute what points of folded lines are multiplied by, (columns / lanes, rows, sine and cosine, lanes)."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, n, row, lane, bin, place, m, radix, weight, passed
    cdef double[2] root
    for n in range(job.x.length // lanes):
        for row in range(job.y.length):
            bin, place, m, weight = 0, row, job.y.length, 1
            for passed in range(job.y.passes):  # row, in reversed digits
                radix = job.y.radix[passed]
                m //= radix
                bin += place // m * weight
                place, weight = place % m, weight * radix
            for lane in range(lanes):
                root_of_unity(root, bin * (n * lanes + lane) % job.points, job.points)
                to[lane], to[lanes + lane] = root[1], root[0]
            to += 2 * lanes


def pack_fft(weight, spectra, FftLayout layout, Py_ssize_t threads):
    """Transform kernels (K, C / groups, kd, kh, kw) to spectra; both are of the dtype of the transforms."""
    cdef FftJob job = layout.job
    cdef Py_ssize_t taps = job.window.axis[1].taps * job.window.axis[2].taps, kernels = weight.size // taps
    cdef Py_ssize_t itemsize = weight.itemsize, numbers
    job.arrays.weight = numbers_of(weight, weight.size, itemsize)
    job.spectra = numbers_of(spectra, kernels * layout.numbers, itemsize)
    numbers = job.at.points + 2 * job.ukernels.lanes * max(job.x.length, job.y.length)
    run_units(<fc_unit_fn>kernel_spectrum_unit[float] if itemsize == sizeof(float)
              else <fc_unit_fn>kernel_spectrum_unit[double], &job, kernels, numbers * itemsize, threads)


def convolve_fft(images, spectra, bias, maps, pads, FftLayout layout, fate, wanted, part, Py_ssize_t threads,
                 residual=None):
    """Convolve the pairs of blocks whose fate is the wanted one, and note which must be computed otherwise.

    images, bias, maps, pads and residual: as for `convolve`.
    spectra: of the kernels of part, (first group, last, first filter of each, last); fate (N, groups, depths, pairs).
    """
    cdef FftJob job = layout.job
    cdef Py_ssize_t filters = job.window.groups * job.window.filters, units
    cdef Py_ssize_t offsets = count_offsets(filters, &job.epilogue), bits = 32
    zeros = bytes(offsets * layout.itemsize)
    measure_arrays(&job.arrays, images, maps)
    set_residual(&job.arrays, residual, maps)
    take_residual(&job.epilogue, job.arrays.residual)
    set_pads(&job.window, pads)
    job.arrays.bias = numbers_of(zeros if bias is None else bias, offsets, layout.itemsize)
    job.arrays.slopes = <const char *>job.arrays.bias + filters * layout.itemsize
    job.groups, job.filters = Range(part[0], part[1]), Range(part[2], part[3])
    job.spectra = numbers_of(spectra, spectra.size, spectra.itemsize)
    if fate.size != job.arrays.batch * job.window.groups * blocks_along(&job, 0) * count_pairs(&job):
        raise ValueError("the core takes a fate of every pair here")
    job.fate = <unsigned char *>view_of(fate, 1, True).start
    job.wanted = wanted
    job.fields_hold_cells = fields_hold_cells(&job)
    units = (job.arrays.batch * (job.groups.last - job.groups.first) * blocks_along(&job, 0)
             * ceil_div(count_pairs(&job), job.unit_pairs))
    job.parts = min(job.filters.last - job.filters.first, ceil_div(wanted_units(threads), units))
    run_units(<fc_unit_fn>fft_unit[float] if spectra.itemsize == sizeof(float) else <fc_unit_fn>fft_unit[double],
              &job, units * job.parts, layout.workspace, threads)


cdef bint fields_hold_cells(const FftJob *job) noexcept:
    """Return whether every receptive field has a whole cell of the image in it, apart from the padding."""
    cdef Py_ssize_t axis, before, after, cell
    cdef const Axis *window
    for axis in range(3):
        window = &job.window.axis[axis]
        cell = job.cell[axis]
        if axis == 0:
            cell *= job.slot_step
        elif job.is_line:
            cell = 1 if axis == 1 else job.cell[1] * job.cell[2]
        if window.dilation > 1:
            return False
        before, after = 0, 0
        if job.window.padding_mode == ZEROS:
            before = window.pad
            after = (job.arrays.map_size[axis] - 1) * window.stride + window.span - before - job.arrays.image_size[axis]
        if min(job.arrays.image_size[axis], window.span - max(0, max(before, after))) < 2 * cell - 1:
            return False
    return True
