# The gradient of a filter bank of few channels: dot products of rows as they lie, lanes are pixels. Part of _core.pyx.
#
#     for a chunk of pixels:                      whose strip and gradients stay in the cache
#         for some filters, and some weights:     as many as a tile of dot products has
#             micro-kernel fc_dot                 down the lines of the chunk
#         add the sums of the chunk to those of all
#     add up the partial sums of every weight
#
# A group of one filter has a tile of its own: line m of the gradient meets line u + m of the strip through row u of the
# kernel. So tiles are some rows of the kernel, for which the gradient is shifted by a line each, times taps of a row,
# and every line of the strip is loaded once for all of these rows. With a stride, rows of one phase are neighbours. How
# many rows a tile has depends on the ISA, and so does where the lines are parted; so sums go on from those in memory,
# product after product, and begin anew with every chunk.
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, weight_gradient_job.pxi.


cdef struct WeightDotJob:
    GradientJob gradient
    bint stacks               # interleave the maps of DOT_SUMS groups: weight_stack.pxi
    bint shifts               # gradients of one filter by lines, rather than take those of some filters
    Py_ssize_t parts          # that the filters of a group are cut into
    Py_ssize_t maps, sums     # places in the workspace, in numbers; of interleaved gradients, for stacks
    Py_ssize_t chunk_sums     # the same of the sums of one chunk


cdef void weight_dot_unit(real *workspace, const WeightDotJob *job, Py_ssize_t index) noexcept nogil:
    """Compute the weights of some filters of a group."""
    cdef const GradientJob *gradient = &job.gradient
    cdef const Window *window = &gradient.window
    cdef Py_ssize_t group = index // job.parts, n, image, depth, products = 0
    cdef Range filters = nth_part(window.filters, job.parts, index % job.parts)
    cdef Range channels = Range(group * window.channels, (group + 1) * window.channels)
    cdef Py_ssize_t numbers = (filters.last - filters.first) * window.taps * DOT_SUMS
    cdef real *sums = workspace + job.sums  # (filters, taps, DOT_SUMS)
    cdef real *chunk_sums = workspace + job.chunk_sums
    cdef const real *input
    cdef fc_dot request
    cdef Chunk chunk
    request.gradient_step, request.image_step, request.stride = gradient.arrays.map_size[2], gradient.input_step[2], 1
    memset(sums, 0, numbers * sizeof(real))
    for n in range(gradient.chunks.count):
        chunk = nth_chunk(&gradient.chunks, n)
        if is_stopped(&products, chunk.pixels * (filters.last - filters.first) * window.taps):
            return
        if not gradient.in_place:
            fill_chunk_strip(workspace, gradient, &chunk, channels)
        memset(chunk_sums, 0, numbers * sizeof(real))
        input = chunk_input(workspace, gradient, &chunk, channels.first)
        request.lines, request.columns = chunk.some[2], chunk.some[3]
        for image in range(chunk.some[0]):
            for depth in range(chunk.some[1]):
                dot_plane(chunk_sums, input + image * gradient.input_step[0] + depth * gradient.input_step[1],
                          <const real *>gradient.arrays.maps + chunk_maps_at(
                              gradient, &chunk, group * window.filters + filters.first, image, depth),
                          job, filters.last - filters.first, &request)
        add_chunk_sums(sums, chunk_sums, numbers)
    gradient.ukernels.add_dot_sums(
        <real *>gradient.arrays.weight + (group * window.filters + filters.first) * window.taps, sums,
        (filters.last - filters.first) * window.taps)


cdef inline void add_chunk_sums(real *sums, const real *chunk_sums, Py_ssize_t numbers) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(numbers):
        sums[index] += chunk_sums[index]


cdef void dot_plane(real *sums, const real *input, const real *maps, const WeightDotJob *job, Py_ssize_t filters,
                    const fc_dot *lines) noexcept nogil:
    """Add the products of some lines of one plane: of what all taps read, with the gradients of some filters."""
    cdef const GradientJob *gradient = &job.gradient
    cdef Py_ssize_t tiles = ceil_div(filters, gradient.ukernels.dot_gradients), tile, i
    cdef fc_dot request = lines[0]
    cdef Range some
    if job.shifts:
        dot_shifted(sums, input, maps, gradient, lines)
        return
    request.sums_step = gradient.window.taps * DOT_SUMS
    for tile in range(tiles):
        some = nth_part(filters, tiles, tile)
        for i in range(some.last - some.first):
            request.gradient[i] = maps + (some.first + i) * gradient.arrays.map_step[1]
        dot_taps(sums + some.first * request.sums_step, input, gradient, &request, some.last - some.first,
                 Range(0, gradient.window.taps))


cdef void dot_taps(real *sums, const real *input, const GradientJob *job, fc_dot *request, Py_ssize_t gradients,
                   Range taps) noexcept nogil:
    """Add the products of some rows of gradients with what some taps of a filter read."""
    cdef Py_ssize_t kernel = job.window.taps // job.window.channels, tile, i, tap
    cdef Py_ssize_t count = taps.last - taps.first, tiles = ceil_div(count, job.ukernels.dot_images)
    cdef Range some
    for tile in range(tiles):
        some = nth_part(count, tiles, tile)
        for i in range(some.last - some.first):
            tap = taps.first + some.first + i
            request.image[i] = input + tap // kernel * job.channel_step + job.tap_offset[tap % kernel]
        request.sums = sums + (taps.first + some.first) * DOT_SUMS
        job.ukernels.dot[gradients][some.last - some.first](request)


cdef void dot_shifted(real *sums, const real *input, const real *maps, const GradientJob *job,
                      const fc_dot *whole) noexcept nogil:
    """Add the products of a single filter, for rows of its kernel that read lines of one phase."""
    cdef const Axis *axis = &job.window.axis[1]
    cdef Py_ssize_t row_taps = job.window.axis[2].taps, planes = job.window.taps // (axis.taps * row_taps)
    cdef Py_ssize_t plane, phase, tiles, tile, first_tap, line, m
    cdef fc_dot request = whole[0]
    cdef Range rows, some
    request.sums_step = axis.stride * row_taps * DOT_SUMS
    for plane in range(planes):
        for phase in range(min(axis.taps, axis.stride)):
            first_tap = (plane * axis.taps + phase) * row_taps
            tiles = ceil_div(ceil_div(axis.taps - phase, axis.stride), job.ukernels.dot_gradients)
            for tile in range(tiles):
                rows = nth_part(ceil_div(axis.taps - phase, axis.stride), tiles, tile)
                line = rows.first
                while line < whole.lines + rows.last - 1:
                    # Line by line of the strip, those that meet all rows at once: row m meets line `line - m`.
                    some = Range(max(rows.first, line - whole.lines + 1), min(rows.last, line + 1))
                    request.lines = max(1, whole.lines + rows.first - line) if some.last == rows.last else 1
                    for m in range(some.first, some.last):
                        request.gradient[m - some.first] = maps + (line - m) * request.gradient_step
                    dot_taps(sums + some.first * request.sums_step, input + line * request.image_step, job, &request,
                             some.last - some.first, Range(first_tap, first_tap + row_taps))
                    line += request.lines
