# Direct summation for every dtype: plain loops over filters, taps, channels and columns. Part of _core.pyx.
#
# Uses: geometry.pxd, kernels.pxd, buffers.pxd, job.pxi, epilogue.pxi, layout.pxi.


cdef enum:
    PART_COLUMNS = 256  # of an output row, computed at a time: their sums, 1 to 4 KB, stay in the L1 cache


cdef struct DirectJob:
    Arrays arrays
    Window window
    Epilogue epilogue
    Py_ssize_t[5] weight_step  # along K, C / groups, kd, kh and kw, in numbers
    Py_ssize_t parts           # that an output row is cut into


cdef inline void add_tap(number *out, Py_ssize_t count, const number *image, Py_ssize_t stride, Py_ssize_t channels,
                         Py_ssize_t image_step, const number *weight, Py_ssize_t weight_step) noexcept nogil:
    """Add one tap of a filter to some outputs: out[o] += sum over channels c of weight[c] * image[c, o * stride]."""
    if number is int32_t:
        fc_add_tap_int32(out, count, image, stride, channels, image_step, weight, weight_step)
    elif number is int64_t:
        fc_add_tap_int64(out, count, image, stride, channels, image_step, weight, weight_step)
    elif number is floatcomplex:
        fc_add_tap_complex64(out, count, image, stride, channels, image_step, weight, weight_step)
    elif number is float:
        fc_add_tap_float32(out, count, image, stride, channels, image_step, weight, weight_step)
    elif number is double:
        fc_add_tap_float64(out, count, image, stride, channels, image_step, weight, weight_step)
    else:
        fc_add_tap_complex128(out, count, image, stride, channels, image_step, weight, weight_step)


cdef void slide(number *out, const number *image, const number *weight, const DirectJob *job, Py_ssize_t depth,
                Py_ssize_t row, Range columns) noexcept nogil:
    """Add the products of a filter (C / groups, kd, kh, kw) and its channels of an image to part of an output row."""
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
                add_tap(out + inside.first, inside.last - inside.first, image_row + x, axis[2].stride, channels,
                        image_step[0], tap, weight_step[0])
                if mode == ZEROS:
                    continue
                for o in range(columns.first, columns.last):
                    if not inside.first <= o < inside.last:
                        x = input_index(&axis[2], o, k, arrays.image_size[2], mode)
                        add_tap(out + o, 1, image_row + x, 1, channels, image_step[0], tap, weight_step[0])


cdef void direct_unit(number *_, const DirectJob *job, Py_ssize_t index) noexcept nogil:  # `_` only gives the dtype
    """Compute part of one output row for all filters: so short that what they read of the image stays in the cache."""
    cdef const Arrays *arrays = &job.arrays
    cdef const Window *window = &job.window
    cdef Py_ssize_t first = index % job.parts * PART_COLUMNS
    cdef Range columns = Range(first, min(first + PART_COLUMNS, arrays.map_size[2]))
    cdef Strip row = find_strip(arrays, arrays.map_size[1], index // job.parts)  # a strip of one row
    cdef const number *image = <const number *>arrays.images
    cdef const number *weight = <const number *>arrays.weight
    cdef number *out = <number *>arrays.maps + map_at(arrays, row.n, 0, row.depth, row.first_row)
    cdef number start
    cdef Py_ssize_t filter, o, products = 0
    for filter in range(window.groups * window.filters):
        if is_stopped(&products, (columns.last - columns.first) * window.taps):
            return
        start = (<const number *>arrays.bias)[filter] if arrays.bias != NULL else 0
        for o in range(columns.first, columns.last):
            out[o] = start
        slide(out, image + image_at(arrays, row.n, filter // window.filters * window.channels), weight, job,
              row.depth, row.first_row, columns)
        finish_sums(out + columns.first, columns.last - columns.first, arrays, filter, &job.epilogue)
        weight += job.weight_step[0]
        out += arrays.map_step[1]


@cython.final
cdef class DirectLayout(Layout):
    """Direct summation, in any dtype."""

    cdef DirectJob job

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef DirectLayout bound = DirectLayout.__new__(DirectLayout)
        cdef DirectJob *job = &bound.job
        bound.inherit(self)
        bound.job, job.arrays = self.job, arrays[0]
        set_pads(&job.window, pads)
        job.parts = ceil_div(arrays.map_size[2], PART_COLUMNS)
        bound.units = arrays.batch * arrays.map_size[0] * arrays.map_size[1] * job.parts
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef DirectJob job = self.job
        set_addresses(&job.arrays, arrays)
        run_units(self.unit, &job, self.units, 0, threads, keep_gil)


def direct_layout(window, weight_shape, dtype):
    """Return the layout for filters of this shape, all arrays of this dtype.

    A window is (kernel size, stride, dilation, groups, padding mode, activation), here and for the other layouts.
    """
    cdef DirectLayout layout = DirectLayout.__new__(DirectLayout)
    cdef DirectJob *job = &layout.job
    cdef Py_ssize_t axis
    layout.filters, layout.weights, layout.itemsize = weight_shape[0], 1, dtype.itemsize
    make_window(&job.window, window, weight_shape[1], layout.filters // window[3])
    job.epilogue = make_epilogue(window[5])
    layout.offsets = count_offsets(layout.filters, &job.epilogue)
    for axis in range(4, -1, -1):
        job.weight_step[axis] = layout.weights
        layout.weights *= weight_shape[axis]
    layout.unit = direct_unit_of(dtype)
    return layout


def convolve_direct(images, weight, bias, maps, pads, DirectLayout layout, Py_ssize_t threads, residual=None):
    """Convolve images with a filter bank by direct summation.

    Rows of images (N, C, D, H, W) and planes of maps (N, K, D', H', W') are contiguous, weight
    (K, C / groups, kd, kh, kw) may have any strides; bias (K,), followed by slopes if the activation has them, is
    contiguous, or None; residual lies as the maps do.
    """
    cdef Arrays arrays
    cdef View filters = view_of(weight, 5, False)
    cdef DirectLayout bound
    cdef Py_ssize_t axis
    measure_arrays(&arrays, images, maps)
    set_residual(&arrays, residual, maps)
    arrays.weight, arrays.bias = filters.start, NULL
    if bias is not None:
        arrays.bias = view_of(bias, 1, False).start
        arrays.slopes = <const char *>arrays.bias + layout.filters * layout.itemsize
    bound = layout.bind(&arrays, pads)
    for axis in range(5):
        bound.job.weight_step[axis] = filters.step[axis]
    bound.run(&arrays, threads, False)


cdef fc_unit_fn direct_unit_of(dtype) except NULL:
    """Return `direct_unit` for arrays of this dtype."""
    cdef str kind = dtype.kind
    cdef bint wide = dtype.itemsize == (16 if kind == "c" else 8)
    if kind == "i":
        return <fc_unit_fn>direct_unit[int64_t] if wide else <fc_unit_fn>direct_unit[int32_t]
    if kind == "f":
        return <fc_unit_fn>direct_unit[double] if wide else <fc_unit_fn>direct_unit[float]
    return <fc_unit_fn>direct_unit[doublecomplex] if wide else <fc_unit_fn>direct_unit[floatcomplex]
