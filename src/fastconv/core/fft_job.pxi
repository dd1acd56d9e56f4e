# Convolution by Fourier transforms of blocks that overlap (overlap-save: T. G. Stockham, "High-speed convolution and
# correlation", 1966): the job, its geometry and its workspace. Part of _core.pyx.
#
#     outputs of a block = inverse F [ sum over channels and depths of F(block) * conj F(kernel) ]
#
# Blocks are transformed in pairs, one as the real part and the other as the imaginary part of complex numbers: kernels
# are real, so their products keep these parts apart. A depth of the kernel is like a channel of its own: only rows and
# columns are transformed. In memory, a transform of rows x columns is
#
#     image (rows, columns) --y, turn--> (rows / lanes, columns, lanes) --x--> spectrum
#     maps (rows, columns) <--y-- (columns / lanes, rows, lanes) <--turn, x-- spectra, multiplied and summed
#
# where points along the middle axis are transformed and lanes lie side by side, real and then imaginary parts. A line,
# for kernels of one row, is folded into rows and columns: between the transforms of the two, numbers are turned by
# exp(-2 pi i k x / points), for bin k of column x (W. M. Gentleman and G. Sande, "Fast Fourier transforms: for fun and
# profit", 1966).
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, epilogue.pxi, blank.pxi.


cdef enum Fate:  # of a pair of blocks
    TRANSFORMED
    IN_DOUBLE   # to be transformed in double precision, for it has parts much darker than others
    DIRECTLY    # to be summed directly, for parts are too dark even for that, or sums are not finite


cdef struct FftPlaces:
    # Where things lie in a workspace, in numbers.
    Py_ssize_t spectra, sums, points, plane, bright, terms, blank


cdef struct FftJob:
    const fc_kernels *ukernels  # of the numbers that are transformed
    Arrays arrays
    Window window
    Epilogue epilogue
    bint narrows                # arrays are float, transforms are double
    bint is_line                # rows of the image are folded
    fc_fft y, x                 # along the rows and columns of a block
    const void *fold            # the twiddle factors between them, in columns of points; for lines
    Py_ssize_t points           # of a block
    Py_ssize_t[3] outputs       # of a unit along the depth, of a block along rows and columns
    int pair_axis               # along which the blocks of a pair are neighbours
    Py_ssize_t unit_pairs       # side by side; at most
    Py_ssize_t slot_step        # from one depth that is transformed to the next
    Py_ssize_t slots            # depths of a unit
    Py_ssize_t parts            # that the filters are cut into
    Range groups, filters       # of these groups, these filters of each
    const void *spectra         # of the kernels of those (groups, filters, C / groups, kd, spectrum)
    unsigned char *fate         # of all pairs (N, groups, depths, pairs)
    unsigned char wanted        # what fate pairs must have to be computed
    Py_ssize_t[3] cell          # size of the cells whose brightness is compared: slots, rows, columns
    bint fields_hold_cells      # every receptive field has a whole cell in it, apart from padding
    double[2] max_range         # of brightness, for a pair that is not IN_DOUBLE, and not DIRECTLY
    FftPlaces at


cdef struct FftBlock:
    # A block of outputs, and what they read.
    Range rows, columns         # of outputs; none if there is no such block
    Py_ssize_t first_row, first_column  # of the padded image
    Py_ssize_t input_rows, input_columns
    bint inside                 # all of it lies in the image


cdef struct FftUnit:
    Py_ssize_t n, group
    Range depths, pairs, filters
    unsigned char *fate         # (pairs,)


cdef inline Py_ssize_t blocks_along(const FftJob *job, int axis) noexcept nogil:
    return ceil_div(job.arrays.map_size[axis], job.outputs[axis])


cdef inline Py_ssize_t pairs_along(const FftJob *job, int axis) noexcept nogil:
    cdef Py_ssize_t blocks = blocks_along(job, axis)
    return ceil_div(blocks, 2) if axis == job.pair_axis else blocks


cdef inline Py_ssize_t count_pairs(const FftJob *job) noexcept nogil:
    return pairs_along(job, 1) * pairs_along(job, 2)


cdef FftUnit find_fft_unit(const FftJob *job, Py_ssize_t index) noexcept nogil:
    """Return the unit of this index: parts of filters vary fastest, then pairs, depths, groups and images."""
    cdef FftUnit unit
    cdef Py_ssize_t pairs = count_pairs(job), depths = blocks_along(job, 0), place
    unit.filters = nth_part(job.filters.last - job.filters.first, job.parts, index % job.parts)
    index //= job.parts
    place = index % ceil_div(pairs, job.unit_pairs) * job.unit_pairs
    unit.pairs = Range(place, min(place + job.unit_pairs, pairs))
    index //= ceil_div(pairs, job.unit_pairs)
    place = index % depths
    unit.depths = Range(place * job.outputs[0], min((place + 1) * job.outputs[0], job.arrays.map_size[0]))
    index //= depths
    unit.group = job.groups.first + index % (job.groups.last - job.groups.first)
    unit.n = index // (job.groups.last - job.groups.first)
    unit.fate = job.fate + ((unit.n * job.window.groups + unit.group) * depths + place) * pairs
    return unit


cdef FftBlock find_fft_block(const FftJob *job, Py_ssize_t pair, int part) noexcept nogil:
    """Return a block of a pair."""
    cdef FftBlock block
    cdef Range[2] outputs
    cdef Py_ssize_t[2] first, input
    cdef Py_ssize_t across = pairs_along(job, 2), place
    cdef const Axis *window
    cdef int axis
    block.inside = True
    for axis in range(1, 3):
        window = &job.window.axis[axis]
        place = pair // across if axis == 1 else pair % across
        if axis == job.pair_axis:
            place = 2 * place + part
        place = min(place * job.outputs[axis], job.arrays.map_size[axis])
        outputs[axis - 1] = Range(place, min(place + job.outputs[axis], job.arrays.map_size[axis]))
        first[axis - 1] = place * window.stride - window.pad
        input[axis - 1] = (outputs[axis - 1].last - place - 1) * window.stride + window.span
        block.inside &= first[axis - 1] >= 0 and first[axis - 1] + input[axis - 1] <= job.arrays.image_size[axis]
    block.rows, block.columns = outputs[0], outputs[1]
    block.first_row, block.first_column, block.input_rows, block.input_columns = first[0], first[1], input[0], input[1]
    return block


cdef inline bint is_empty(const FftBlock *block) noexcept nogil:
    return block.rows.first == block.rows.last or block.columns.first == block.columns.last


cdef inline Py_ssize_t slot_depth(const FftJob *job, const FftUnit *unit, Py_ssize_t slot) noexcept nogil:
    """Return the depth in the image that a slot of a unit holds, -1 for one of zeros."""
    cdef const Axis *axis = &job.window.axis[0]
    return image_index(unit.depths.first * axis.stride - axis.pad + slot * job.slot_step, job.arrays.image_size[0],
                       job.window.padding_mode)


cdef inline Py_ssize_t slot_of_tap(const FftJob *job, Py_ssize_t depth, Py_ssize_t tap) noexcept nogil:
    """Return the slot that a tap reads for an output, whose depth is counted from the unit's first one."""
    cdef const Axis *axis = &job.window.axis[0]
    return (depth * axis.stride + tap * axis.dilation) // job.slot_step


cdef bint is_slot_read(const FftJob *job, const FftUnit *unit, Py_ssize_t slot) noexcept nogil:
    """Return whether an output reads a slot, that is not one of zeros."""
    cdef Py_ssize_t depth, tap
    if slot_depth(job, unit, slot) < 0:
        return False
    for depth in range(unit.depths.last - unit.depths.first):
        for tap in range(job.window.axis[0].taps):
            if slot_of_tap(job, depth, tap) == slot:
                return True
    return False


cdef inline Py_ssize_t spectrum_numbers(const FftJob *job) noexcept nogil:
    return 2 * job.points


cdef inline Py_ssize_t slot_place(const FftJob *job, Py_ssize_t pair, Py_ssize_t slot) noexcept nogil:
    """Return where the spectra of all channels lie in a workspace, for a pair counted from the unit's first one."""
    return job.at.spectra + (pair * job.slots + slot) * job.window.channels * spectrum_numbers(job)


cdef inline Py_ssize_t count_bands(const FftJob *job) noexcept nogil:
    return ceil_div(job.y.length, job.cell[1])


cdef inline Py_ssize_t bright_numbers(const FftJob *job) noexcept nogil:
    """Return the numbers of the brightness of one block: (cells along the depth, bands of rows, columns)."""
    return ceil_div(job.slots, job.cell[0]) * count_bands(job) * job.x.length


cdef inline Py_ssize_t mask_bytes(const FftJob *job) noexcept nogil:
    """Return the bytes of a mask of a block's outputs at one depth."""
    return job.outputs[1] * job.outputs[2]


cdef size_t divide_fft_workspace(FftJob *job, size_t itemsize) noexcept nogil:
    """Note where everything lies; return the bytes that it takes."""
    cdef Py_ssize_t line = LINE_BYTES // itemsize, place = 0
    cdef const Axis *axis = &job.window.axis[2]
    cdef Py_ssize_t terms = job.window.channels * job.window.axis[0].taps
    job.at.spectra = place
    place += job.unit_pairs * job.slots * job.window.channels * spectrum_numbers(job)
    job.at.sums = place  # also strips of two blocks
    place += spectrum_numbers(job)
    job.at.points = place
    place += 2 * job.ukernels.lanes * max(job.x.length, job.y.length)
    job.at.plane = place
    place += job.points if job.narrows or axis.stride > 1 else 0
    job.at.bright = place
    place += 2 * bright_numbers(job)
    job.at.terms = place
    place += ceil_div(2 * terms * sizeof(void *), LINE_BYTES) * line
    job.at.blank = place
    place += ceil_div(job.outputs[2] * sizeof(int) + (job.outputs[2] - 1) * axis.stride + axis.span + WORD
                      + (2 * job.unit_pairs * job.outputs[0] + 1) * mask_bytes(job), LINE_BYTES) * line
    return place * itemsize
