# Winograd convolution: filters transformed, G g G^T, and laid out for the products with tiles. Part of _core.pyx.
#
#     bank (K, C / groups, 1, kh, kw)
#       -> kernels (vectors of filters, channels, kh, kw, lanes)        a block of filters, some channels at a time
#       -> staged (row of G for y, row of G for x, virtual channels, filters)        transformed in registers;
#          or (row of G for x, virtual channels, row of G for y, lanes)              a vector, where lanes are tiles
#       -> transformed                                                  the same of all channels, block by block
#
# A row of G for every page: written vector by vector, `transformed` would be slow.
#
# Uses: filters.pxi, bank.pxi, winograd_job.pxi.


cdef enum:
    STAGED_NUMBERS = 8192  # at a time: the second-level cache holds them, and runs are long enough to be written fast
    ROW_GAP = 16            # numbers between the rows of `staged`, which may else evict each other


cdef Py_ssize_t staged_channels(const WinogradJob *job) noexcept nogil:
    """Return how many channels are transformed at a time."""
    cdef Py_ssize_t numbers = job.y.rows * job.x.rows * FILTER_TILE_VECTORS * job.ukernels.lanes
    return max(1, min(job.window.channels, STAGED_NUMBERS // (numbers * job.x.parts * job.x.shared_parts)))


cdef Py_ssize_t gathered_numbers(const WinogradJob *job) noexcept nogil:
    """Return the room that gathered kernels take, with a square of lanes behind."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, kernel = job.window.taps // job.window.channels
    return (FILTER_TILE_VECTORS * staged_channels(job) * kernel + lanes) * lanes


cdef Py_ssize_t staged_numbers(const WinogradJob *job) noexcept nogil:
    """Return the room that transformed kernels take."""
    cdef Py_ssize_t width = FILTER_TILE_VECTORS * job.ukernels.lanes
    return job.y.rows * job.x.rows * (staged_channels(job) * job.x.parts * job.x.shared_parts * width + ROW_GAP)


cdef void transform_filters(real *transformed, real *workspace, const WinogradJob *job, const Bank *bank,
                            Py_ssize_t first) noexcept nogil:
    """Transform a piece of the bank, the filters from `first` on."""
    cdef FilterBlocks blocks = job.blocks
    cdef Py_ssize_t last = first + bank.filters, group, block, row
    cdef Range filters
    if job.tiles_in_lanes:
        blocks.count = blocks.units
    for group in range(first // blocks.filters, ceil_div(last, blocks.filters)):
        for block in range(blocks.count):
            filters = nth_block(&blocks, block)
            row = group * blocks.filters + filters.first - first
            if not 0 <= row < bank.filters:
                continue
            transform_block(transformed + group * transformed_numbers(job) + block_at(job, filters), workspace, job,
                            bank, row, filters)


cdef inline Py_ssize_t block_at(const WinogradJob *job, Range filters) noexcept nogil:
    """Return the place of a block among the transformed filters of its group."""
    return filters.first * job.channels * job.y.rows * job.x.rows


cdef void transform_block(real *transformed, real *workspace, const WinogradJob *job, const Bank *bank, Py_ssize_t row,
                          Range filters) noexcept nogil:
    """Transform a block of filters, the first of which is this row of the bank."""
    cdef Py_ssize_t first = 0, last
    while first < job.window.channels:
        last = min(first + staged_channels(job), job.window.channels)
        transform_some(transformed, workspace, job, bank, row, filters, Range(first, last))
        first = last


cdef void transform_some(real *transformed, real *workspace, const WinogradJob *job, const Bank *bank, Py_ssize_t row,
                         Range filters, Range channels) noexcept nogil:
    """Transform some channels of a block of filters."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, width = filters.last - filters.first, vectors = width // lanes
    cdef Py_ssize_t x_parts = job.x.parts * job.x.shared_parts, kernel = bank.taps // job.window.channels
    cdef Py_ssize_t some = (channels.last - channels.first) * x_parts, rows = job.y.rows * job.x.rows
    cdef Py_ssize_t last = row + job.blocks.filters - filters.first, vector, part, i
    cdef Py_ssize_t gathered = (channels.last - channels.first) * kernel * lanes  # numbers of a vector of filters
    cdef Py_ssize_t row_step
    cdef real *staged = workspace + gathered_numbers(job)
    cdef real *to
    gather_block(workspace, job, bank, Range(row, last), vectors, channels)
    if job.tiles_in_lanes:  # a row of `staged` has the rows of G for y of every channel
        rows, width = job.x.rows, job.y.rows * lanes
    row_step = some * width + ROW_GAP
    for part in range(job.y.parts * job.y.shared_parts):
        for vector in range(vectors):
            transform_kernels(staged + vector * lanes, workspace + vector * gathered, job, bank, part, some, width,
                              row_step)
        to = transformed + (part * job.window.channels + channels.first) * x_parts * width
        for i in range(rows):
            memcpy(to + i * job.channels * width, staged + i * row_step, some * width * sizeof(real))


cdef Py_ssize_t chunk_numbers(const WinogradJob *job) noexcept nogil:
    """Return the room that a chunk of a block of transformed filters takes."""
    cdef Py_ssize_t channels = min(job.channels, CHUNK_CHANNELS)
    return job.y.rows * job.x.rows * (channels * FILTER_TILE_VECTORS * job.ukernels.lanes + ROW_GAP)


cdef void transform_chunk(real *transformed, real *workspace, const WinogradJob *job, Py_ssize_t group, Range filters,
                          Range channels) noexcept nogil:
    """Transform some channels of a block of whole filters: (row of G for y, row of G for x, channels, filters).

    Rows of G lie ROW_GAP apart.
    """
    cdef Py_ssize_t lanes = job.ukernels.lanes, width = filters.last - filters.first, vectors = width // lanes
    cdef Py_ssize_t row_step = (channels.last - channels.first) * width + ROW_GAP, first = channels.first, some, vector
    cdef Py_ssize_t row = group * job.blocks.filters + filters.first, last = (group + 1) * job.blocks.filters
    cdef Py_ssize_t kernel = job.bank.taps // job.channels
    while first < channels.last:
        some = min(staged_channels(job), channels.last - first)
        gather_block(workspace, job, &job.bank, Range(row, last), vectors, Range(first, first + some))
        for vector in range(vectors):
            transform_kernels(transformed + vector * lanes, workspace + vector * some * kernel * lanes, job,
                              &job.bank, 0, some, width, row_step)
        transformed += some * width
        first += some


cdef void gather_block(real *kernels, const WinogradJob *job, const Bank *bank, Range rows, Py_ssize_t vectors,
                       Range channels) noexcept nogil:
    """Gather some channels of so many vectors of filters, rows of the bank: (vectors, channels, kh, kw, lanes)."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, vector
    for vector in range(vectors):
        gather_kernels(kernels, job, bank, Range(rows.first, min(rows.first + lanes, rows.last)), channels)
        kernels += (channels.last - channels.first) * (bank.taps // job.window.channels) * lanes
        rows.first += lanes


cdef inline bint lies_turned(const WinogradJob *job, const Bank *bank) noexcept nogil:
    """Return whether the numbers of a kernel lie side by side, the last tap first."""
    return bank.run_step == -1 and bank.run * job.window.channels >= bank.taps


cdef void gather_kernels(real *kernels, const WinogradJob *job, const Bank *bank, Range filters,
                         Range channels) noexcept nogil:
    """Transpose some channels of a vector of filters into (channels, kh, kw, lanes), turned kernels as they lie."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, kernel = bank.taps // job.window.channels, count = kernel
    cdef Py_ssize_t rows = filters.last - filters.first, tap = channels.first * kernel, last = channels.last * kernel
    cdef Py_ssize_t place, last_row = max(0, (rows - 1) * bank.filter_step)  # in memory
    cdef bint turned = lies_turned(job, bank)
    if not turned and (bank.run_step != 1 or bank.run < kernel):
        memset(kernels, 0, (last - tap) * lanes * sizeof(real))
        transpose_taps(kernels, lanes, bank, filters, Range(tap, last), job.ukernels)
        return
    if bank.run == bank.taps and not turned:
        count = last - tap
    while tap < last:
        place = filters.first * bank.filter_step + tap_in_bank(bank, tap + kernel - 1 if turned else tap)
        job.ukernels.gather(kernels, <const real *>bank.start + place, bank.filter_step, rows, count, 0,
                            bank.room - place - last_row)
        kernels += count * lanes
        tap += count


cdef void transform_kernels(real *staged, const real *kernels, const WinogradJob *job, const Bank *bank,
                            Py_ssize_t y_part, Py_ssize_t channels, Py_ssize_t width,
                            Py_ssize_t row_step) noexcept nogil:
    """Transform one part of the kernels of a vector of filters by rows, and all parts by columns, for all phases."""
    cdef Py_ssize_t lanes = job.ukernels.lanes, parts = job.x.parts * job.x.shared_parts, part, i, j
    cdef const Phase *y
    cdef const Phase *x
    cdef Py_ssize_t[KERNEL_MAX_TAPS * KERNEL_MAX_TAPS] offset
    cdef fc_kernel_transform request
    request.source, request.offset = kernels, offset
    request.channels, request.channel_step = channels // parts, bank.taps // job.window.channels * lanes
    request.to_channel_step, request.to_column_step = parts * width, row_step
    request.to_row_step = lanes if job.tiles_in_lanes else job.x.rows * request.to_column_step
    for i in range(job.y.phases):
        y = &job.y.phase[i]
        request.y, request.y_rows, request.y_taps = y.G, y.rows, y.taps
        for j in range(job.x.phases):
            x = &job.x.phase[j]
            request.x, request.x_rows, request.x_taps = x.G, x.rows, x.taps
            for part in range(parts):
                find_taps(offset, job, bank, y_part * job.y.part_offset, part * job.x.part_offset, y, x)
                request.to = (staged + part * width + y.first_row * request.to_row_step
                              + x.first_row * request.to_column_step)
                job.ukernels.transform_kernels(&request)


cdef void find_taps(Py_ssize_t *offset, const WinogradJob *job, const Bank *bank, Py_ssize_t first_row,
                    Py_ssize_t first_column, const Phase *y, const Phase *x) noexcept nogil:
    """Find where the taps of a phase, and of a part, lie in a gathered kernel; -1 for those beyond, which are zero."""
    cdef Py_ssize_t rows = job.y.kernel, columns = job.x.kernel, i, j, row, column, tap
    cdef bint turned = lies_turned(job, bank)
    for i in range(y.taps):
        row = first_row + y.first_tap + i * y.tap_step
        for j in range(x.taps):
            column = first_column + x.first_tap + j * x.tap_step
            tap = row * columns + column
            if turned:
                tap = rows * columns - 1 - tap
            offset[i * x.taps + j] = tap * job.ukernels.lanes if row < rows and column < columns else -1
