# Sweeps over images and maps of any types, block by block, in the caches. Part of _core.pyx.
#
#     image (N, C, D, H, W) --pad, widen--> block --sweeps--> sums of the block --narrow--> maps (N, K, D', H', W')
#
# A block is what some outputs of the maps of one group read of its channel, without a padding of its own: the sweeps,
# down the block or down its columns and along its rows, know no other image.
#
# Uses: buffers.pxd, geometry.pxd, kernels.pxd, job.pxi, border.pxi, layout.pxi, sweep_tables.pxi, sweep_layout.pxi,
# separable.pxi, convert.pxi, epilogue.pxi.


cdef struct SweepBlocksJob:
    SeparableJob sweeps        # of a block: both passes, or only `down`
    fc_unit_fn unit            # of them
    bint is_separable
    View images, maps
    PaddedLine line            # of the images
    Move move                  # of sums to the maps
    const char *values         # of each channel, where the padding mode is ZEROS
    int[3] mode
    Py_ssize_t[3] pad, stride, span
    Py_ssize_t rows, columns   # of a block, of the maps
    Py_ssize_t strips, parts   # down and across a map
    Py_ssize_t filters         # of a group
    Py_ssize_t pitch           # numbers of a row of a block
    Py_ssize_t bytes           # of a number of a block


def sweep_blocks(images, int image_type, maps, int map_type, tuple weights, bias, tuple border, stride, tuple block,
                 tuple layouts, size_t workspace, Py_ssize_t threads):
    """Convolve images (N, C, D, H, W) into maps (N, K, D', H', W'), of types of NUMBER_TYPES; or return False.

    That is where rows are not contiguous, or the CPU lacks instructions for a type. Integers are rounded to nearest,
    ties to even, and saturate. weights: of each pass, (K, taps); bias (K,), followed by slopes, or None. border:
    padding in front of each axis, the modes, the values (C,) where these are ZEROS, and the planes that rows hold pixel
    by pixel, side by side. block: rows and columns of a map at a time, for which the layouts, of one pass or of two,
    and their workspace are.
    """
    cdef SweepBlocksJob job
    cdef SweepLayout down = layouts[0], along = layouts[len(layouts) - 1]
    cdef Arrays arrays
    cdef tuple tables
    cdef Memory table
    cdef Py_ssize_t axis, numbers, itemsize = down.itemsize, trail = border[3]
    cdef Py_ssize_t filters = maps.shape[1], offsets = count_offsets(filters, &along.job.epilogue)
    job.images, job.maps = view_of(images, 5, False), view_of(maps, 5, True)
    job.move = make_move(map_type, job.maps.itemsize, True, itemsize)
    job.line = PaddedLine(make_move(image_type, job.images.itemsize, False, itemsize), itemsize,
                          job.images.shape[4] // trail, trail, border[1][2])
    if not is_known(&job.move) or not is_known(&job.line.move):
        return False
    if (job.images.step[4] != 1 and job.images.shape[4] > 1) or (job.maps.step[4] != 1 and job.maps.shape[4] > 1):
        return False
    no_bias = bytes(offsets * itemsize)
    job.rows, job.columns, job.bytes, job.filters = block[0], block[1], itemsize, down.job.window.filters
    job.strips, job.parts = ceil_div(job.maps.shape[3], job.rows), ceil_div(job.maps.shape[4], job.columns)
    job.values = <const char *>numbers_of(border[2], job.images.shape[1], itemsize)
    job.span[1], job.span[2] = down.job.window.axis[1].span, along.job.window.axis[2].span
    for axis in range(3):
        job.pad[axis], job.mode[axis], job.stride[axis] = border[0][axis], border[1][axis], stride[axis]
    memset(&arrays, 0, sizeof(Arrays))
    arrays.batch = arrays.image_size[0] = arrays.map_size[0] = 1
    arrays.map_size[1], arrays.map_size[2] = job.rows, job.columns
    arrays.map_step[1] = job.rows * job.columns
    arrays.image_size[1] = (job.rows - 1) * job.stride[1] + job.span[1]
    arrays.image_size[2] = (job.columns - 1) * job.stride[2] + job.span[2]
    job.pitch = ceil_div(arrays.image_size[2], LINE_BYTES) * LINE_BYTES + LINE_BYTES // sizeof(float)
    arrays.image_step[3] = job.pitch
    arrays.weight = numbers_of(weights[len(layouts) - 1], filters * along.job.window.taps, itemsize)
    arrays.bias = numbers_of(no_bias if bias is None else bias, offsets, itemsize)
    arrays.slopes = <const char *>arrays.bias + filters * itemsize
    job.is_separable = len(layouts) == 2
    if job.is_separable:
        tables = join_passes(&job.sweeps, down, along, &arrays, 1, (0, 0, 0))
        job.sweeps.down.arrays.weight = numbers_of(weights[0], filters * down.job.window.taps, itemsize)
        job.sweeps.down.arrays.bias = numbers_of(no_bias, offsets, itemsize)
        job.unit = separable_unit_of(itemsize)
    else:
        job.sweeps.down = down.job
        job.sweeps.down.arrays = arrays
        table = make_sweep_tables(&job.sweeps.down)
        job.unit = down.unit
    job.sweeps.down.strips = 1
    numbers = arrays.image_size[1] * job.pitch + job.filters * arrays.map_step[1] + 2 * SLACK
    run_units(<fc_unit_fn>block_unit, &job,
              job.maps.shape[0] * (job.maps.shape[1] // job.filters) * job.maps.shape[2] * job.strips * job.parts,
              numbers * itemsize + workspace, threads)
    return True


cdef void block_unit(char *block, const SweepBlocksJob *job, Py_ssize_t index) noexcept nogil:
    """Compute a block of the maps of one group."""
    cdef SeparableJob sweeps = job.sweeps
    cdef const View *maps = &job.maps
    cdef Py_ssize_t part = index % job.parts, strip = index // job.parts, plane = strip // job.strips
    cdef Py_ssize_t group = plane // maps.shape[2], z = plane % maps.shape[2], groups = maps.shape[1] // job.filters
    cdef Py_ssize_t n = group // groups, first, filter, row, rows, columns
    cdef char *sums = block + (sweeps.down.arrays.image_size[1] * job.pitch + SLACK) * job.bytes
    cdef char *workspace = sums + (job.filters * job.rows * job.columns + SLACK) * job.bytes
    cdef char *map
    cdef Arrays *last = &sweeps.down.arrays
    group %= groups
    strip %= job.strips
    first = group * job.filters
    rows = min(job.rows, maps.shape[3] - strip * job.rows)
    columns = min(job.columns, maps.shape[4] - part * job.columns)
    block = pad_block(block, job, n, group, z, strip, part, rows, columns)
    if job.is_separable:
        last = &sweeps.along.arrays
        last.image_size[1] = last.map_size[1] = rows
        last.weight = <const char *>last.weight + first * sweeps.along.window.taps * job.bytes
    sweeps.down.arrays.weight = <const char *>sweeps.down.arrays.weight + first * sweeps.down.window.taps * job.bytes
    last.bias, last.slopes = <const char *>last.bias + first * job.bytes, <const char *>last.slopes + first * job.bytes
    last.maps, sweeps.down.arrays.images, sweeps.down.arrays.map_size[1] = sums, block, rows
    job.unit(workspace, &sweeps, 0)
    for filter in range(job.filters):
        map = <char *>maps.start + job.move.itemsize * (
            n * maps.step[0] + (first + filter) * maps.step[1] + z * maps.step[2]
            + strip * job.rows * maps.step[3] + part * job.columns)
        for row in range(rows):
            convert(sums + (filter * job.rows + row) * job.columns * job.bytes,
                    map + row * maps.step[3] * job.move.itemsize, columns, &job.move)


cdef char *pad_block(char *block, const SweepBlocksJob *job, Py_ssize_t n, Py_ssize_t channel, Py_ssize_t z,
                     Py_ssize_t strip, Py_ssize_t part, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """Fill a block with what some outputs read of a channel, and return its first number; z: their depth."""
    cdef const View *images = &job.images
    cdef Py_ssize_t trail = job.line.trail, line, y
    cdef Py_ssize_t depth = image_index(z * job.stride[0] - job.pad[0], images.shape[2], job.mode[0])
    cdef const char *value = job.values + channel * job.bytes
    cdef const char *pixels
    cdef char *row
    cdef Range needed
    needed.first = (part * job.columns * job.stride[2] - job.pad[2]) // trail
    needed.last = needed.first + ((columns - 1) * job.stride[2] + job.span[2]) // trail
    block += max(0, -needed.first) * trail * -job.bytes & (LINE_BYTES - 1)  # pixels, not the padding, begin at a line
    row = block
    for line in range((rows - 1) * job.stride[1] + job.span[1]):
        y = image_index(strip * job.rows * job.stride[1] + line - job.pad[1], images.shape[3], job.mode[1])
        if depth < 0 or y < 0:
            repeat_number(row, value, (needed.last - needed.first) * trail, job.bytes)
        else:
            pixels = <const char *>images.start + images.itemsize * (
                n * images.step[0] + channel * images.step[1] + depth * images.step[2] + y * images.step[3])
            pad_line(row, pixels, needed, &job.line, value)
        row += job.pitch * job.bytes
    return block
