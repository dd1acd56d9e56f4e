# The epilogue of a sum: clipping, which micro-kernels do, and activations that are more than that. Part of _core.pyx.
#
# Uses: geometry.pxd, buffers.pxd.


cdef struct Epilogue:
    int activation
    double low, high  # that micro-kernels clip sums to: ReLU and ReLU6 are no more than this


cdef Epilogue make_epilogue(int activation) noexcept nogil:
    return Epilogue(activation, 0 if activation == RELU or activation == RELU6 else -INFINITY,
                    6 if activation == RELU6 else INFINITY)


cdef inline real clip(real sum, const Epilogue *epilogue) noexcept nogil:
    return epilogue.low if sum < epilogue.low else epilogue.high if sum > epilogue.high else sum


cdef void activate(number *out, Py_ssize_t count, int activation) noexcept nogil:
    """Apply the activation to neighbouring outputs; a NaN stays a NaN."""
    cdef Py_ssize_t o
    if number is floatcomplex or number is doublecomplex:
        return
    elif number is int32_t or number is int64_t:
        for o in range(count):
            if out[o] < 0:
                out[o] = 0
            elif activation == RELU6 and out[o] > 6:
                out[o] = 6
    else:
        if activation == RELU:
            for o in range(count):
                out[o] = 0 if out[o] < 0 else out[o]
        elif activation == RELU6:
            for o in range(count):
                out[o] = 0 if out[o] < 0 else 6 if out[o] > 6 else out[o]
        elif activation == LEAKY_RELU:
            for o in range(count):
                out[o] = <number>0.01 * out[o] if out[o] < 0 else out[o]
        elif activation == SIGMOID:
            for o in range(count):
                out[o] = 1 / (1 + (expf(-out[o]) if number is float else exp(-out[o])))
        elif activation == SILU:
            for o in range(count):
                out[o] = (0 if out[o] == -INFINITY else
                          out[o] / (1 + (expf(-out[o]) if number is float else exp(-out[o]))))
        elif activation == HARDSWISH:
            for o in range(count):
                out[o] = 0 if out[o] < -3 else out[o] if out[o] > 3 else out[o] * (out[o] + 3) / 6
        elif activation == TANH:
            for o in range(count):
                out[o] = tanhf(out[o]) if number is float else tanh(out[o])


cdef void finish_runs(real *out, Py_ssize_t runs, Py_ssize_t run_step, Py_ssize_t count,
                      const Epilogue *epilogue) noexcept nogil:
    """Apply what is left of the epilogue to runs of clipped outputs, if the activation is more than the clip."""
    cdef Py_ssize_t run
    if epilogue.activation > RELU6:
        for run in range(runs):
            activate(out + run * run_step, count, epilogue.activation)


def apply_activation(maps, int activation):
    """Apply the activation to maps (N, K, D', H', W') of floats, of any strides, in place."""
    cdef View view = view_of(maps, 5, True)
    with nogil:
        if view.itemsize == sizeof(float):
            activate_view(<float *>view.start, &view, activation)
        else:
            activate_view(<double *>view.start, &view, activation)


cdef void activate_view(real *maps, const View *view, int activation) noexcept nogil:
    cdef Py_ssize_t n, k, z, y, x
    cdef real *row
    for n in range(view.shape[0]):
        for k in range(view.shape[1]):
            for z in range(view.shape[2]):
                for y in range(view.shape[3]):
                    row = maps + n * view.step[0] + k * view.step[1] + z * view.step[2] + y * view.step[3]
                    if view.step[4] == 1:
                        activate(row, view.shape[4], activation)
                        continue
                    for x in range(view.shape[4]):
                        activate(row + x * view.step[4], 1, activation)
