# The gradient of a filter bank: which pixels are summed when, and where what they meet is read. Part of _core.pyx.
#
#     gradient[k, c, t] = sum over images n and outputs o of
#                         maps[n, k, o] * images[n, c, o * stride + t * dilation - pad]
#
# where maps is the gradient of the maps. The outputs of all images make chunks, and each is summed by itself:
#
#     images -> strip (C, N, D', kd, rows, column phases, pitch)   padded copy of what the taps read for a chunk;
#                                                                  or the images in place, if there is no padding
#     strip, maps -> products of the chunk -> sums                 weight_direct.pxi, weight_dot.pxi
#
# Chunks depend on shapes alone, and threads share weights, never a sum: so the bits depend on neither threads nor ISA.
#
# Uses: geometry.pxd, kernels.pxd, job.pxi, rows.pxi.


cdef struct Chunks:
    # How the outputs (N, D', H', W') are cut: chunks are parts of one axis, at one place of the axes before it, and
    # have all of those behind it.
    Py_ssize_t[4] size
    int axis
    Py_ssize_t parts         # of this axis
    Py_ssize_t count         # of chunks
    Py_ssize_t[4] most       # outputs of a chunk along each axis


cdef struct Chunk:
    Py_ssize_t[4] first, some  # outputs along N, D', H' and W'
    Py_ssize_t pixels          # in all


cdef struct GradientJob:
    # What all ways to sum have in common; steps count numbers.
    const fc_kernels *ukernels
    Arrays arrays               # maps: their gradient, which is read; weight: the bank's gradient, which is written
    Window window
    Chunks chunks
    bint in_place               # read the images, not strips
    PaddedRow row               # of a strip
    Axis rows                   # of a strip, which has all of them: its stride is 1
    Py_ssize_t plane_step       # from one plane of a strip to the next
    Py_ssize_t channel_step     # from what a tap reads in one channel to the next
    Py_ssize_t[4] input_step    # from what a tap reads for an output to the next one, along N, D', H' and W'
    const Py_ssize_t *tap_offset  # from what the first tap reads to what each does (kd * kh * kw,)


cdef Chunks cut_outputs(const Arrays *arrays, Py_ssize_t limit) noexcept nogil:
    """Cut outputs (N, D', H', W') into chunks of up to `limit` pixels, or of one."""
    cdef Chunks chunks
    cdef Py_ssize_t inner = 1
    cdef int axis
    chunks.size[0] = arrays.batch
    for axis in range(3):
        chunks.size[axis + 1] = arrays.map_size[axis]
    chunks.most, chunks.axis = chunks.size, 3
    while chunks.axis and inner * chunks.size[chunks.axis] <= limit:
        inner *= chunks.size[chunks.axis]
        chunks.axis -= 1
    chunks.parts = chunks.count = ceil_div(chunks.size[chunks.axis], max(1, limit // inner))
    chunks.most[chunks.axis] = ceil_div(chunks.size[chunks.axis], chunks.parts)
    for axis in range(chunks.axis):
        chunks.most[axis] = 1
        chunks.count *= chunks.size[axis]
    return chunks


cdef Chunk nth_chunk(const Chunks *chunks, Py_ssize_t n) noexcept nogil:
    cdef Chunk chunk
    cdef Range part = nth_part(chunks.size[chunks.axis], chunks.parts, n % chunks.parts)
    cdef int axis
    n //= chunks.parts
    chunk.pixels = 1
    for axis in range(3, -1, -1):
        chunk.first[axis], chunk.some[axis] = 0, chunks.size[axis]
        if axis == chunks.axis:
            chunk.first[axis], chunk.some[axis] = part.first, part.last - part.first
        elif axis < chunks.axis:
            chunk.first[axis], chunk.some[axis] = n % chunks.size[axis], 1
            n //= chunks.size[axis]
        chunk.pixels *= chunk.some[axis]
    return chunk


cdef Py_ssize_t bind_gradient_job(GradientJob *job, const Arrays *arrays, Py_ssize_t limit, bint phases,
                                  Py_ssize_t channels) noexcept:
    """Bind a job to arrays of these sizes and steps; return the numbers of a strip of so many channels.

    Chunks have up to `limit` pixels; with phases, columns of strips are split by their remainder by the stride.
    """
    cdef const Axis *axis = &job.window.axis[0]
    cdef const Py_ssize_t *most = &job.chunks.most[0]
    cdef Py_ssize_t across = 1 if phases else axis[2].stride, row_step
    job.arrays, job.chunks = arrays[0], cut_outputs(arrays, limit)
    if job.in_place:
        job.channel_step = arrays.image_step[1]
        job.input_step[0], job.input_step[1] = arrays.image_step[0], axis[0].stride * arrays.image_step[2]
        job.input_step[2], job.input_step[3] = axis[1].stride * arrays.image_step[3], axis[2].stride
        return 0
    job.rows = make_axis(axis[1].taps, 1, axis[1].dilation)
    job.row.axis = axis[2] if phases else make_axis(axis[2].taps, 1, axis[2].dilation)
    job.row.axis.pad, job.rows.pad = axis[2].pad, axis[1].pad
    job.row.ukernels, job.row.padding_mode = job.ukernels, job.window.padding_mode
    job.row.columns, job.row.source_step = arrays.image_size[2], arrays.image_step[3]
    job.row.pitch = (most[3] - 1) * across + 1 + job.row.axis.reach
    row_step = job.row.axis.phases * job.row.pitch
    job.plane_step = ((most[2] - 1) * axis[1].stride + axis[1].span) * row_step
    job.input_step[3], job.input_step[2] = across, axis[1].stride * row_step
    job.input_step[1] = axis[0].taps * job.plane_step
    job.input_step[0] = most[1] * job.input_step[1]
    job.channel_step = most[0] * job.input_step[0]
    return channels * job.channel_step + SLACK


cdef void note_gradient_taps(Py_ssize_t *offset, GradientJob *job) noexcept:
    """Note the numbers from what the first tap reads to what each tap of one channel does."""
    cdef const Axis *axis = &job.window.axis[0]
    cdef Py_ssize_t i, j, k
    job.tap_offset = offset
    for i in range(axis[0].taps):
        for j in range(axis[1].taps):
            for k in range(axis[2].taps):
                if job.in_place:
                    offset[0] = (i * axis[0].dilation * job.arrays.image_step[2]
                                 + j * axis[1].dilation * job.arrays.image_step[3] + k * axis[2].dilation)
                else:
                    offset[0] = (i * job.plane_step + (j * axis[1].dilation * job.row.axis.phases
                                                       + k % job.row.axis.period) * job.row.pitch
                                 + index_in_phase(&job.row.axis, k))
                offset += 1


cdef void fill_chunk_strip(real *strip, const GradientJob *job, const Chunk *chunk, Range channels) noexcept nogil:
    """Copy what all taps read of some channels, counted over all groups, for a chunk of outputs."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[0]
    cdef const real *image
    cdef const real *plane
    cdef real *to
    cdef Py_ssize_t n, depth, c, i, z
    cdef PaddedRow row = job.row
    row.axis.pad -= chunk.first[3] * axis[2].stride
    for c in range(channels.first, channels.last):  # in this order: a row may overrun into what is copied later
        for n in range(chunk.some[0]):
            image = <const real *>arrays.images + image_at(arrays, chunk.first[0] + n, c)
            for depth in range(chunk.some[1]):
                to = strip + (c - channels.first) * job.channel_step + n * job.input_step[0] + depth * job.input_step[1]
                for i in range(axis[0].taps):
                    z = depth_at(&job.window, arrays, chunk.first[1] + depth, i)
                    plane = NULL if z < 0 else image + z * arrays.image_step[2]
                    fill_plane(to, plane, &row, &job.rows, 0, chunk.first[2] * axis[1].stride,
                               (chunk.some[2] - 1) * axis[1].stride + axis[1].span, arrays)
                    to += job.plane_step


cdef inline const real *chunk_input(const real *strip, const GradientJob *job, const Chunk *chunk,
                                    Py_ssize_t channel) noexcept nogil:
    """Return what the first tap reads for the first output of a chunk, in a channel, the first one of the strip."""
    cdef Py_ssize_t axis, offset = 0
    if not job.in_place:
        return strip
    for axis in range(4):
        offset += chunk.first[axis] * job.input_step[axis]
    return <const real *>job.arrays.images + channel * job.channel_step + offset


cdef inline Py_ssize_t chunk_maps_at(const GradientJob *job, const Chunk *chunk, Py_ssize_t filter, Py_ssize_t n,
                                     Py_ssize_t depth) noexcept nogil:
    """Return the place in `maps` of a chunk's first output in the n-th of its images and a depth, for a filter."""
    return chunk.first[3] + map_at(&job.arrays, chunk.first[0] + n, filter, chunk.first[1] + depth, chunk.first[2])
