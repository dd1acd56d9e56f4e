# The epilogue of a sum: clipping, which micro-kernels do, and activations that are more than that. Part of _core.pyx.
#
# Uses: geometry.pxd.


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


def apply_activation(real[:, :, :, :, :] maps, int activation):
    """Apply the activation to maps of any strides in place."""
    cdef Py_ssize_t n, k, z, y, x
    cdef bint contiguous = maps.strides[4] == <Py_ssize_t>sizeof(real)
    with nogil:
        for n in range(maps.shape[0]):
            for k in range(maps.shape[1]):
                for z in range(maps.shape[2]):
                    for y in range(maps.shape[3]):
                        if contiguous:
                            activate(&maps[n, k, z, y, 0], maps.shape[4], activation)
                            continue
                        for x in range(maps.shape[4]):
                            activate(&maps[n, k, z, y, x], 1, activation)
