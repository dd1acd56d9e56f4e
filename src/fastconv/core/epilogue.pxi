# The epilogue of a sum: clipping, which micro-kernels do, and what is more than that: other activations, and residuals,
# which are added before. Part of _core.pyx.
#
# Uses: geometry.pxd, kernels.pxd, buffers.pxd, job.pxi.


cdef struct Epilogue:
    const fc_isa *isa
    double low, high           # that micro-kernels clip sums to, for activations that are no more than this
    fc_activation activation
    bint is_left               # something is to be done after micro-kernels


cdef Epilogue make_epilogue(given):
    """Take an activation (kind, low or slope, high)."""
    cdef Epilogue epilogue
    cdef fc_activation *activation = &epilogue.activation
    activation.kind, activation.low, activation.high = given
    activation.slope, activation.slopes, activation.residual = activation.low, NULL, NULL
    epilogue.isa, epilogue.is_left = isa, activation.kind != FC_CLIP
    epilogue.low = -INFINITY if epilogue.is_left else activation.low
    epilogue.high = INFINITY if epilogue.is_left else activation.high
    return epilogue


cdef inline void take_residual(Epilogue *epilogue, const void *residual) noexcept nogil:
    """Leave the clip until a residual is added, if there is one."""
    if residual != NULL:
        epilogue.low, epilogue.high, epilogue.is_left = -INFINITY, INFINITY, True


cdef inline Py_ssize_t count_offsets(Py_ssize_t filters, const Epilogue *epilogue) noexcept nogil:
    """Return how many numbers come as a bias: those of so many filters, followed by slopes, if there are any."""
    return 2 * filters if epilogue.activation.kind == FC_PRELU else filters


cdef inline real clip(real sum, const Epilogue *epilogue) noexcept nogil:
    return epilogue.low if sum < epilogue.low else epilogue.high if sum > epilogue.high else sum


cdef void activate(real *out, Py_ssize_t runs, Py_ssize_t run_step, Py_ssize_t count, const fc_activation *activation,
                   const Epilogue *epilogue) noexcept nogil:
    """Apply an activation to runs of outputs."""
    if real is float:
        epilogue.isa.f32.activate(activation, out, run_step, runs, count)
    else:
        epilogue.isa.f64.activate(activation, out, run_step, runs, count)


cdef void finish_runs(real *out, Py_ssize_t runs, Py_ssize_t run_step, Py_ssize_t count, const Arrays *arrays,
                      Py_ssize_t filter, Py_ssize_t filter_step, const Epilogue *epilogue) noexcept nogil:
    """Apply what is left of the epilogue to runs of clipped outputs of the maps, each of the filter that it says."""
    cdef fc_activation activation
    if epilogue.is_left:
        activation = epilogue.activation
        activation.slopes, activation.slope_step = <const real *>arrays.slopes + filter, filter_step
        if arrays.residual != NULL:
            activation.residual = <const real *>arrays.residual + (out - <real *>arrays.maps)
        activate(out, runs, run_step, count, &activation, epilogue)


cdef void finish_sums(number *out, Py_ssize_t count, const Arrays *arrays, Py_ssize_t filter,
                      const Epilogue *epilogue) noexcept nogil:
    """Apply the whole epilogue to neighbouring outputs of one filter; to integers a clip, to complex numbers none."""
    cdef Epilogue whole
    cdef Py_ssize_t o
    if number is float or number is double:
        whole = epilogue[0]
        whole.is_left = whole.is_left or whole.low > -INFINITY or whole.high < INFINITY
        finish_runs(out, 1, 0, count, arrays, filter, 0, &whole)
    elif number is int32_t or number is int64_t:
        if epilogue.low > -INFINITY or epilogue.high < INFINITY:
            for o in range(count):
                if out[o] < epilogue.low:
                    out[o] = <number>epilogue.low
                elif out[o] > epilogue.high:
                    out[o] = <number>epilogue.high


def apply_activation(maps, given, slopes):
    """Apply an activation to maps (N, K, D', H', W') of floats, of any strides, in place; slopes (K,) or None."""
    cdef View view = view_of(maps, 5, True)
    cdef Epilogue epilogue = make_epilogue(given)
    if slopes is not None:
        epilogue.activation.slopes = numbers_of(slopes, view.shape[1], view.itemsize)
    with nogil:
        if view.itemsize == sizeof(float):
            activate_view(<float *>view.start, &view, &epilogue)
        else:
            activate_view(<double *>view.start, &view, &epilogue)


cdef void activate_view(real *maps, const View *view, const Epilogue *epilogue) noexcept nogil:
    cdef fc_activation activation = epilogue.activation
    cdef Py_ssize_t n, k, z, y
    cdef bint are_rows = view.step[4] == 1
    for n in range(view.shape[0]):
        for k in range(view.shape[1]):
            activation.slopes, activation.slope_step = <const real *>epilogue.activation.slopes + k, 0
            for z in range(view.shape[2]):
                for y in range(view.shape[3]):
                    activate(maps + n * view.step[0] + k * view.step[1] + z * view.step[2] + y * view.step[3],
                             1 if are_rows else view.shape[4], view.step[4], view.shape[4] if are_rows else 1,
                             &activation, epilogue)
