# A convolution as its units see it, and how units are run. Part of _core.pyx.


cdef enum Lanes:
    # What lies side by side in a vector of sums: neighbouring pixels of a map, or the same pixel of neighbouring maps.
    PIXELS
    FILTERS


cdef enum:
    BLOCK_VECTORS = FILTER_TILE_VECTORS
    SLACK = 64         # numbers behind a strip or a panel that vectors may touch
    CACHE_BYTES = 1 << 20  # that a core has for itself
    BLOCK_TILES = 8    # at most, that meet one block of filters after the other
    STRIP_COLUMNS = 256  # that `direct` computes at a time
    LINE_BYTES = 64        # of the cache
    ALIGNED_BYTES = 1 << 15  # of arrays that are worth beginning at a line
    PIECE_NUMBERS = 1 << 19  # of weights that are converted and packed at a time
    ASK_PRODUCTS = 1 << 22  # after which a unit asks whether to stop: at most a few milliseconds


cdef struct SweepRun:
    # Sweeps of one kind, side by side, over the vectors of a row of a map from `first` on.
    const fc_sweep_variant *kind
    Py_ssize_t first, count


cdef struct Job:
    # One convolution by tiles, as its units see it. Steps count numbers.
    const fc_kernels *kernels
    const void *images         # (N, C, D, H, W)
    const void *weight         # (K, C / groups, kd, kh, kw), or as `pack_tiles` left it
    Py_ssize_t[5] weight_step
    const void *bias           # (K,)
    void *maps                 # (N, K, D', H', W')
    Py_ssize_t[4] image_step
    Py_ssize_t[3] size         # of an image
    Py_ssize_t[3] map_step
    Py_ssize_t[3] map_size
    Axis[3] axis
    int mode, activation, bits
    double low, high           # what the activation clips to
    Py_ssize_t groups, channels, filters, taps  # channels and filters of a group; taps over all its channels
    Lanes lanes
    bint packed                # the weights
    bint panels                # copy the pixels in the lanes tap by tap, or read them where they are
    bint in_place              # read the image, not a strip; pixels in the lanes then leave panels to further blocks
    bint far_maps              # lie beyond the cache: tiles fetch them before they write, others write past it
    bint by_position           # of the kernel: all channels of one, then those of the next one
    Py_ssize_t vectors         # of a tile, when lanes are pixels; of a row of a map, when sweeping
    Py_ssize_t strip_rows, strips, parts, chunk, block_tiles
    Py_ssize_t pitch, row_step, plane_step  # of a strip
    Py_ssize_t[3] step         # from what an output sees in a slot to what the next one sees
    Py_ssize_t width           # of a panel
    const Py_ssize_t *offset   # from a pixel to what each tap sees
    Py_ssize_t units
    const SweepRun *runs       # that cover the vectors of a row, when sweeping,
    Py_ssize_t[SWEEP_MAX_ROWS + 1] first_run  # those for so many rows at once from first_run[rows - 1] on
    const unsigned *masks      # of the lanes that see the image, when sweeping: `mask_row` says for which vectors
    Range plain                # vectors all of whose lanes see the image, for every tap
    Py_ssize_t lines           # of a strip, when sweeping
    Py_ssize_t zero_numbers    # of a row of the padding, 0 if there is none
    Py_ssize_t stacks          # of as many channels as there are lanes, when those are swept at once; else 0
    Py_ssize_t across          # stride of the columns that sweeps see, 1 in a strip
    bint pairs                 # of taps that lie a few vectors apart, for kernels of one row that sweep
    Py_ssize_t apart           # output rows whose kernels see the same lines
    Py_ssize_t strip_numbers, panel_numbers, sums_numbers, block_numbers


cdef inline bint is_stopped(Py_ssize_t *products, Py_ssize_t more) noexcept nogil:
    """Count products; every few milliseconds ask whether an interrupt wants the unit to return at once."""
    products[0] += more
    if products[0] < ASK_PRODUCTS:
        return False
    products[0] = 0
    return fc_stopping()


cdef Py_ssize_t workspace_bytes(const Job *job) noexcept nogil:
    cdef Py_ssize_t numbers = job.strip_numbers + job.panel_numbers + job.sums_numbers + job.block_numbers
    return numbers * job.bits // 8 + job.lines * 2 * sizeof(void *)


cdef see_arrays(Job *job, const number[:, :, :, :, :] images, number[:, :, :, :, :] maps, pads):
    """Note where images (N, C, D, H, W) and maps (N, K, D', H', W') lie."""
    cdef Py_ssize_t axis
    job.images, job.maps = &images[0, 0, 0, 0, 0], &maps[0, 0, 0, 0, 0]
    for axis in range(3):
        job.axis[axis].pad = pads[axis]
        job.size[axis], job.map_size[axis] = images.shape[axis + 2], maps.shape[axis + 2]
        job.map_step[axis] = maps.strides[axis] // <Py_ssize_t>sizeof(number)
    for axis in range(4):
        job.image_step[axis] = images.strides[axis] // <Py_ssize_t>sizeof(number)


cdef int check_signals() noexcept with gil:
    return PyErr_CheckSignals()


cdef run(fc_unit_fn unit, const Job *job, size_t workspace, Py_ssize_t threads, bint keep_gil=False):
    """Run all units of a job, without the GIL as a rule, until a signal handler raises an exception."""
    cdef int status
    if keep_gil:
        status = fc_run(unit, job, job.units, workspace, threads, check_signals)
    else:
        with nogil:
            status = fc_run(unit, job, job.units, workspace, threads, check_signals)
    if status == -1:
        raise MemoryError(f"no memory for a workspace of {workspace} bytes")
    if status == -2:
        raise_pending()


cdef Py_ssize_t filter_blocks(const Job *job) noexcept nogil:
    """Return into how many blocks the filters of a group fall."""
    cdef Py_ssize_t blocks
    if job.lanes == PIXELS:
        return ceiling(job.filters, job.kernels.tile_filters)
    blocks = ceiling(ceiling(job.filters, job.kernels.lanes), BLOCK_VECTORS)
    return blocks + 1 if blocks % 2 and blocks > 3 else blocks  # threads share an even number better


cdef Range filter_block(const Job *job, Py_ssize_t block) noexcept nogil:
    """Return the filters of a block, in whole vectors when lanes are filters."""
    cdef Range vectors
    if job.lanes == PIXELS:
        return share(job.filters, filter_blocks(job), block)
    vectors = share(ceiling(job.filters, job.kernels.lanes), filter_blocks(job), block)
    return Range(vectors.first * job.kernels.lanes, vectors.last * job.kernels.lanes)


cdef Py_ssize_t packed_rows(const Job *job) noexcept nogil:
    """Return for how many filters of a group there is room: those in the lanes fill up vectors."""
    return job.filters if job.lanes == PIXELS else ceiling(job.filters, job.kernels.lanes) * job.kernels.lanes


cdef struct Unit:
    # One strip of output rows of one image, and some of the filters.
    Py_ssize_t n, group, depth, first_row, rows, pixels
    Range blocks
    Py_ssize_t columns, row_vectors  # of what vectors of pixels must not reach beyond: a row where it lies, or all rows
    Py_ssize_t vectors, tiles


cdef Unit find_unit(const Job *job, Py_ssize_t index) noexcept nogil:
    cdef Unit unit
    cdef Range rows
    unit.blocks = share(filter_blocks(job), job.parts, index % job.parts)
    index //= job.parts
    rows = share(job.map_size[1], job.strips, index % job.strips)
    index //= job.strips
    unit.depth = index % job.map_size[0]
    index //= job.map_size[0]
    unit.group = 0 if job.lines else index % job.groups
    unit.n = index if job.lines else index // job.groups
    unit.first_row, unit.rows = rows.first, rows.last - rows.first
    unit.pixels = unit.rows * job.map_size[2]
    unit.columns = job.map_size[2]
    if job.lanes == PIXELS and (job.panels or job.in_place):
        unit.columns = unit.pixels
    unit.row_vectors = ceiling(unit.columns, job.kernels.lanes)
    unit.vectors = unit.row_vectors * (unit.rows if unit.columns < unit.pixels else 1)
    if job.lanes == FILTERS:
        unit.tiles = ceiling(unit.pixels, job.kernels.tile_filters)
    else:
        unit.tiles = 0 if job.lines else ceiling(unit.vectors, job.vectors)
    return unit


cdef Range unit_filters(const Job *job, const Unit *unit) noexcept nogil:
    """Return the filters of a group that a unit computes."""
    return Range(filter_block(job, unit.blocks.first).first,
                 min(filter_block(job, unit.blocks.last - 1).last, job.filters))


cdef Py_ssize_t tap_in_order(const Job *job, Py_ssize_t v) noexcept nogil:
    """Return which tap of a row comes v-th."""
    return fc_paired_tap(job.axis[2].taps, v) if job.pairs else v
