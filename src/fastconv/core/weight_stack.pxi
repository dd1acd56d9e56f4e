# The gradient of kernels of a single channel: dot products of maps that are interleaved; lanes are channels. Part of
# _core.pyx.
#
#     images (N, groups, D, H, W)      -> strip (N, D', kd, rows, pitch, DOT_SUMS)   padded copy, channels innermost
#     maps (N, K, D', H', W')          -> pixels of one plane (rows, columns, DOT_SUMS)
#
# What fc_dot keeps apart as partial sums are then the sums of DOT_SUMS channels: short rows fill vectors as well as
# long ones, strides and dilations are only steps, and nothing is left to add up.
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, weight_gradient_job.pxi, weight_dot.pxi.


cdef void weight_stack_unit(real *workspace, const WeightDotJob *job, Py_ssize_t index) noexcept nogil:
    """Compute the weights of up to DOT_SUMS groups of one channel."""
    cdef const GradientJob *gradient = &job.gradient
    cdef const Window *window = &gradient.window
    cdef Py_ssize_t group = index * DOT_SUMS, count = min(DOT_SUMS, window.groups - group)
    cdef Py_ssize_t n, image, depth, filter, products = 0
    cdef real *maps = workspace + job.maps
    cdef Py_ssize_t numbers = window.filters * window.taps * DOT_SUMS
    cdef real *sums = workspace + job.sums  # (filters, taps, DOT_SUMS)
    cdef real *chunk_sums = workspace + job.chunk_sums
    cdef fc_dot request
    cdef Chunk chunk
    # Channels that are missing are zeros, and so are the first sums.
    memset(sums if count == DOT_SUMS else workspace, 0,
           (numbers + (0 if count == DOT_SUMS else job.sums)) * sizeof(real))
    request.image_step, request.stride = gradient.input_step[2], window.axis[2].stride
    for n in range(gradient.chunks.count):
        chunk = nth_chunk(&gradient.chunks, n)
        if is_stopped(&products, chunk.pixels * window.filters * window.taps * DOT_SUMS):
            return
        memset(chunk_sums, 0, numbers * sizeof(real))
        fill_stack_strip(workspace, gradient, &chunk, group, count)
        request.lines, request.columns = chunk.some[2], chunk.some[3] * DOT_SUMS
        request.gradient_step = request.columns
        for image in range(chunk.some[0]):
            for depth in range(chunk.some[1]):
                for filter in range(window.filters):
                    gradient.ukernels.transpose(
                        maps, DOT_SUMS, <const real *>gradient.arrays.maps + chunk_maps_at(
                            gradient, &chunk, group * window.filters + filter, image, depth),
                        window.filters * gradient.arrays.map_step[1], count, chunk.some[2] * chunk.some[3])
                    dot_plane(chunk_sums + filter * window.taps * DOT_SUMS,
                              workspace + image * gradient.input_step[0] + depth * gradient.input_step[1],
                              <const real *>maps, job, 1, &request)
        add_chunk_sums(sums, chunk_sums, numbers)
    for filter in range(window.filters):
        gradient.ukernels.transpose(
            <real *>gradient.arrays.weight + (group * window.filters + filter) * window.taps,
            window.filters * window.taps, sums + filter * window.taps * DOT_SUMS, DOT_SUMS, window.taps, count)


cdef void fill_stack_strip(real *strip, const GradientJob *job, const Chunk *chunk, Py_ssize_t channel,
                           Py_ssize_t count) noexcept nogil:
    """Copy what all taps read of some channels for a chunk of outputs, interleaved."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[0]
    cdef const real *image
    cdef real *to
    cdef Py_ssize_t n, depth, i, z, line, y
    for n in range(chunk.some[0]):
        image = <const real *>arrays.images + image_at(arrays, chunk.first[0] + n, channel)
        for depth in range(chunk.some[1]):
            for i in range(axis[0].taps):
                z = depth_at(&job.window, arrays, chunk.first[1] + depth, i)
                to = strip + n * job.input_step[0] + depth * job.input_step[1] + i * job.plane_step
                for line in range((chunk.some[2] - 1) * axis[1].stride + axis[1].span):
                    y = image_index(chunk.first[2] * axis[1].stride - axis[1].pad + line, arrays.image_size[1],
                                    job.window.padding_mode)
                    if z < 0 or y < 0:
                        memset(to, 0, job.row.pitch * DOT_SUMS * sizeof(real))
                    else:
                        fill_stack_row(to, image + z * arrays.image_step[2] + y * arrays.image_step[3], job,
                                       chunk.first[3] * axis[2].stride - axis[2].pad, count)
                    to += job.row.pitch * DOT_SUMS


cdef void fill_stack_row(real *to, const real *row, const GradientJob *job, Py_ssize_t first,
                         Py_ssize_t count) noexcept nogil:
    """Copy a row of some channels, padded, from position `first` on: (pitch, DOT_SUMS)."""
    cdef Py_ssize_t step = job.arrays.image_step[1], columns = job.arrays.image_size[2], index, lane, x
    cdef Range inside = Range(min(max(0, -first), job.row.pitch), 0)
    inside.last = max(inside.first, min(job.row.pitch, columns - first))
    if inside.first < inside.last:
        job.ukernels.transpose(to + inside.first * DOT_SUMS, DOT_SUMS, row + first + inside.first, step, count,
                               inside.last - inside.first)
    for index in range(job.row.pitch):
        if inside.first <= index < inside.last:
            continue
        x = image_index(first + index, columns, job.window.padding_mode)
        for lane in range(count):
            to[index * DOT_SUMS + lane] = row[lane * step + x] if x >= 0 else 0
