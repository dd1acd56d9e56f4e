# Kernels that slide over an image, for every dtype. Part of _core.pyx.


cdef inline void add_stepping(number *out, Py_ssize_t columns, const number *image, Py_ssize_t step, Py_ssize_t plane,
                              Py_ssize_t channels, const number *weight, Py_ssize_t weight_plane) noexcept nogil:
    """Add one tap of a filter to a run of columns: out[o] += sum over c of weight[c] * image[c, o * step]."""
    cdef const number *image1
    cdef const number *image2
    cdef const number *image3
    cdef number weight0, weight1, weight2, weight3
    cdef Py_ssize_t o, quads = channels // 4
    for _ in range(quads):  # four channels a pass, so that out is loaded and stored a quarter as often
        image1 = image + plane
        image2 = image1 + plane
        image3 = image2 + plane
        weight0 = weight[0]
        weight1 = weight[weight_plane]
        weight2 = weight[2 * weight_plane]
        weight3 = weight[3 * weight_plane]
        for o in range(columns):
            out[o] = (out[o] + weight0 * image[o * step] + weight1 * image1[o * step]
                      + weight2 * image2[o * step] + weight3 * image3[o * step])
        image = image3 + plane
        weight += 4 * weight_plane
    for _ in range(channels - 4 * quads):
        weight0 = weight[0]
        for o in range(columns):
            out[o] = out[o] + weight0 * image[o * step]
        image += plane
        weight += weight_plane


cdef void add_channels(number *out, Py_ssize_t columns, const number *image, Py_ssize_t step, Py_ssize_t plane,
                       Py_ssize_t channels, const number *weight, Py_ssize_t weight_plane) noexcept nogil:
    """Do `add_stepping`: with a step known to the compiler, it turns the columns into vectors."""
    if step == 1:
        add_stepping(out, columns, image, 1, plane, channels, weight, weight_plane)
    elif step == 2:
        add_stepping(out, columns, image, 2, plane, channels, weight, weight_plane)
    else:
        add_stepping(out, columns, image, step, plane, channels, weight, weight_plane)


def inside_fraction(Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation, Py_ssize_t pad, Py_ssize_t size,
                    Py_ssize_t outputs):
    """Return which part of an axis' products sees the image, not zeros around it."""
    cdef Axis axis = make_axis(taps, stride, dilation)
    cdef Range some
    cdef Py_ssize_t tap
    cdef double total = 0
    axis.pad = pad
    for tap in range(taps):
        some = seeing(&axis, tap, size, Range(0, outputs))
        total += some.last - some.first
    return total / (<double>taps * outputs)


cdef void slide(number *out, const number *image, const number *weight, Py_ssize_t depth, Py_ssize_t row,
                Py_ssize_t first, Py_ssize_t last, const Job *job) noexcept nogil:
    """Slide one filter along columns first..last of one output row, and add up what it sees.

    out (W',), image (C, D, H, W), weight (C, kd, kh, kw).
    """
    cdef const Py_ssize_t *image_step = &job.image_step[1]
    cdef const Py_ssize_t *weight_step = &job.weight_step[1]
    cdef Py_ssize_t stride = job.axis[2].stride, columns = job.size[2]
    cdef Py_ssize_t i, j, k, o, z, y, x, products = 0
    cdef Range inside
    cdef const number *image_row
    cdef const number *tap
    for i in range(job.axis[0].taps):
        z = seen(&job.axis[0], depth, i, job.size[0], job.mode)
        if z < 0:
            continue
        for j in range(job.axis[1].taps):
            y = seen(&job.axis[1], row, j, job.size[1], job.mode)
            if y < 0:
                continue
            if is_stopped(&products, (last - first) * job.axis[2].taps * job.channels):
                return
            image_row = image + z * image_step[1] + y * image_step[2]
            for k in range(job.axis[2].taps):
                tap = weight + i * weight_step[1] + j * weight_step[2] + k * weight_step[3]
                inside = seeing(&job.axis[2], k, columns, Range(first, last))
                x = inside.first * stride + k * job.axis[2].dilation - job.axis[2].pad
                add_channels(out + inside.first, inside.last - inside.first, image_row + x, stride,
                             image_step[0], job.channels, tap, weight_step[0])
                if job.mode == ZEROS:
                    continue
                for o in range(first, last):
                    if not inside.first <= o < inside.last:
                        x = seen(&job.axis[2], o, k, columns, job.mode)
                        add_channels(out + o, 1, image_row + x, 1, image_step[0], job.channels, tap, weight_step[0])


cdef void direct_unit(number *_, const Job *job, Py_ssize_t index) noexcept nogil:
    """Compute a strip of one output row for every filter: so short that the image below it stays in the cache."""
    cdef Py_ssize_t first = index % job.strips * STRIP_COLUMNS, row = index // job.strips % job.map_size[1]
    cdef Py_ssize_t depth = index // job.strips // job.map_size[1] % job.map_size[0]
    cdef Py_ssize_t n = index // job.strips // job.map_size[1] // job.map_size[0]
    cdef Py_ssize_t last = min(first + STRIP_COLUMNS, job.map_size[2]), k, o, products = 0
    cdef Py_ssize_t taps = job.axis[0].taps * job.axis[1].taps * job.axis[2].taps
    cdef const number *image = <const number *>job.images + n * job.image_step[0]
    cdef const number *weight = <const number *>job.weight
    cdef number *out = (<number *>job.maps + n * job.map_step[0] + depth * job.map_step[2] + row * job.map_size[2])
    cdef number start
    for k in range(job.groups * job.filters):
        if is_stopped(&products, (last - first) * taps * job.channels):
            return
        start = (<const number *>job.bias)[k] if job.bias != NULL else 0
        for o in range(first, last):
            out[o] = start
        slide(out, image + k // job.filters * job.channels * job.image_step[1], weight, depth, row, first, last, job)
        if job.activation != IDENTITY:
            activate(out + first, last - first, job.activation)
        weight += job.weight_step[0]
        out += job.map_step[1]


def convolve_direct(const number[:, :, :, :, :] images, const number[:, :, :, :, :] weight, const number[:] bias,
                    number[:, :, :, :, :] maps, pads, DirectLayout layout, Py_ssize_t threads):
    """Convolve images with a filter bank by sliding every filter over every image.

    images (N, C, D, H, W) have their columns side by side, maps (N, K, D', H', W') their planes;
    weight (K, C / groups, kd, kh, kw); bias (K,) or None.
    """
    cdef Job job = layout.job
    cdef Py_ssize_t axis
    see_arrays(&job, images, maps, pads)
    job.weight = &weight[0, 0, 0, 0, 0]
    job.bias = NULL
    if bias is not None:
        job.bias = &bias[0]
    job.channels, job.filters = weight.shape[1], weight.shape[0] // job.groups
    for axis in range(5):
        job.weight_step[axis] = weight.strides[axis] // <Py_ssize_t>sizeof(number)
    job.strips = ceiling(job.map_size[2], STRIP_COLUMNS)
    job.units = maps.shape[0] * job.map_size[0] * job.map_size[1] * job.strips
    run(<fc_unit_fn>direct_unit[number], &job, 0, threads)
