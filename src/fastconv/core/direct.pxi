# Direct summation for every dtype: plain loops over channels, taps and columns. Part of _core.pyx.
#
# Uses: buffers.pxd, job.pxi, epilogue.pxi, layout.pxi.


cdef enum:
    STRIP_COLUMNS = 256  # of an output row that are computed at a time: 1 to 4 KB of sums stay in the L1 cache


cdef struct DirectJob:
    Arrays arrays
    Window window
    int activation
    Py_ssize_t[5] weight_step  # along K, C / groups, kd, kh and kw, in numbers
    Py_ssize_t strips          # of an output row


cdef inline void add_stepping(number *out, Py_ssize_t columns, const number *image, Py_ssize_t step, Py_ssize_t plane,
                              Py_ssize_t channels, const number *weight, Py_ssize_t weight_plane) noexcept nogil:
    """Add one tap of a filter to a run of columns: out[o] += sum over c of weight[c] * image[c, o * step]."""
    cdef const number *image1
    cdef const number *image2
    cdef const number *image3
    cdef number weight0, weight1, weight2, weight3
    cdef Py_ssize_t o, quads = channels // 4
    for _ in range(quads):  # four channels at a time, so that out is loaded and stored a quarter as often
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
    """Call `add_stepping` with a step that the compiler knows, where it then vectorises the columns."""
    if step == 1:
        add_stepping(out, columns, image, 1, plane, channels, weight, weight_plane)
    elif step == 2:
        add_stepping(out, columns, image, 2, plane, channels, weight, weight_plane)
    else:
        add_stepping(out, columns, image, step, plane, channels, weight, weight_plane)


cdef void slide(number *out, const number *image, const number *weight, const DirectJob *job, Py_ssize_t depth,
                Py_ssize_t row, Range columns) noexcept nogil:
    """Add one filter (C, kd, kh, kw) over an image (C, D, H, W) to some columns of an output row (W')."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Axis *axis = &job.window.axis[0]
    cdef const Py_ssize_t *image_step = &arrays.image_step[1]
    cdef const Py_ssize_t *weight_step = &job.weight_step[1]
    cdef int mode = job.window.padding_mode
    cdef Py_ssize_t i, j, k, o, z, y, x, products = 0, channels = job.window.channels
    cdef Range inside
    cdef const number *image_row
    cdef const number *tap
    for i in range(axis[0].taps):
        z = input_index(&axis[0], depth, i, arrays.image_size[0], mode)
        if z < 0:
            continue
        for j in range(axis[1].taps):
            y = input_index(&axis[1], row, j, arrays.image_size[1], mode)
            if y < 0:
                continue
            if is_stopped(&products, (columns.last - columns.first) * axis[2].taps * channels):
                return
            image_row = image + z * image_step[1] + y * image_step[2]
            for k in range(axis[2].taps):
                tap = weight + i * weight_step[1] + j * weight_step[2] + k * weight_step[3]
                inside = outputs_inside(&axis[2], k, arrays.image_size[2], columns)
                x = inside.first * axis[2].stride + k * axis[2].dilation - axis[2].pad
                add_channels(out + inside.first, inside.last - inside.first, image_row + x, axis[2].stride,
                             image_step[0], channels, tap, weight_step[0])
                if mode == ZEROS:
                    continue
                for o in range(columns.first, columns.last):
                    if not inside.first <= o < inside.last:
                        x = input_index(&axis[2], o, k, arrays.image_size[2], mode)
                        add_channels(out + o, 1, image_row + x, 1, image_step[0], channels, tap, weight_step[0])


cdef void direct_unit(number *_, const DirectJob *job, Py_ssize_t index) noexcept nogil:
    """Compute a strip of one output row for all filters: so short that the image below it stays in the cache."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Window *window = &job.window
    cdef Py_ssize_t first = index % job.strips * STRIP_COLUMNS
    cdef Range columns = Range(first, min(first + STRIP_COLUMNS, arrays.map_size[2]))
    cdef Strip row = find_strip(arrays, arrays.map_size[1], index // job.strips)  # of one row
    cdef const number *image = <const number *>arrays.images
    cdef const number *weight = <const number *>arrays.weight
    cdef number *out = <number *>arrays.maps + map_at(arrays, row.n, 0, row.depth, row.first_row)
    cdef number start
    cdef Py_ssize_t k, o, products = 0
    for k in range(window.groups * window.filters):
        if is_stopped(&products, (columns.last - columns.first) * window.taps):
            return
        start = (<const number *>arrays.bias)[k] if arrays.bias != NULL else 0
        for o in range(columns.first, columns.last):
            out[o] = start
        slide(out, image + image_at(arrays, row.n, k // window.filters * window.channels), weight, job, row.depth,
              row.first_row, columns)
        if job.activation != IDENTITY:
            activate(out + columns.first, columns.last - columns.first, job.activation)
        weight += job.weight_step[0]
        out += arrays.map_step[1]


@cython.final
cdef class DirectLayout(Layout):
    """Every filter slides over every image, in any dtype."""

    cdef tuple window


def direct_layout(tuple window):
    """Return the layout for `convolve_direct`.

    A window is (kernel, stride, dilation, groups, padding mode, activation), here and for the other layouts.
    """
    cdef DirectLayout layout = DirectLayout.__new__(DirectLayout)
    layout.window = window
    return layout


def convolve_direct(images, weight, bias, maps, pads, DirectLayout layout, Py_ssize_t threads):
    """Convolve images with a filter bank by sliding every filter over every image, all of one dtype.

    images (N, C, D, H, W) have their columns side by side, maps (N, K, D', H', W') their planes;
    weight (K, C / groups, kd, kh, kw); bias (K,), contiguous, or None.
    """
    cdef DirectJob job
    cdef View filters = view_of(weight, 5, False)
    cdef Py_ssize_t axis
    make_window(&job.window, layout.window, filters.shape[1], filters.shape[0] // <Py_ssize_t>layout.window[3])
    set_pads(&job.window, pads)
    measure_arrays(&job.arrays, images, maps)
    job.activation = layout.window[5]
    job.arrays.weight = filters.start
    job.arrays.bias = NULL if bias is None else view_of(bias, 1, False).start
    for axis in range(5):
        job.weight_step[axis] = filters.step[axis]
    job.strips = ceil_div(job.arrays.map_size[2], STRIP_COLUMNS)
    run_units(direct_unit_of(maps.dtype), &job,
              job.arrays.batch * job.arrays.map_size[0] * job.arrays.map_size[1] * job.strips, 0, threads)


cdef fc_unit_fn direct_unit_of(dtype) except NULL:
    """Return the function that computes units of arrays of this dtype."""
    cdef str kind = dtype.kind
    cdef bint wide = dtype.itemsize == (16 if kind == "c" else 8)
    if kind == "i":
        return <fc_unit_fn>direct_unit[int64_t] if wide else <fc_unit_fn>direct_unit[int32_t]
    if kind == "f":
        return <fc_unit_fn>direct_unit[double] if wide else <fc_unit_fn>direct_unit[float]
    return <fc_unit_fn>direct_unit[doublecomplex] if wide else <fc_unit_fn>direct_unit[floatcomplex]


def inside_fraction(Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation, Py_ssize_t pad, Py_ssize_t size,
                    Py_ssize_t outputs):
    """Return the fraction of an axis' products whose pixel lies inside the image; the others are with padding."""
    cdef Axis axis = make_axis(taps, stride, dilation)
    cdef Range inside
    cdef Py_ssize_t tap
    cdef double total = 0
    axis.pad = pad
    for tap in range(taps):
        inside = outputs_inside(&axis, tap, size, Range(0, outputs))
        total += inside.last - inside.first
    return total / (<double>taps * outputs)
