# What ends a sum: activations. Part of _core.pyx.


cdef void activate(number *out, Py_ssize_t columns, int activation) noexcept nogil:
    """Apply the activation to a run of output columns; a NaN stays a NaN."""
    cdef Py_ssize_t o
    if number is floatcomplex or number is doublecomplex:
        return
    elif number is int32_t or number is int64_t:
        for o in range(columns):
            if out[o] < 0:
                out[o] = 0
            elif activation == RELU6 and out[o] > 6:
                out[o] = 6
    else:
        if activation == RELU:
            for o in range(columns):
                out[o] = 0 if out[o] < 0 else out[o]
        elif activation == RELU6:
            for o in range(columns):
                out[o] = 0 if out[o] < 0 else 6 if out[o] > 6 else out[o]
        elif activation == LEAKY_RELU:
            for o in range(columns):
                out[o] = <number>0.01 * out[o] if out[o] < 0 else out[o]
        elif activation == SIGMOID:
            for o in range(columns):
                out[o] = 1 / (1 + (expf(-out[o]) if number is float else exp(-out[o])))
        elif activation == SILU:
            for o in range(columns):
                out[o] = (0 if out[o] == -INFINITY else
                          out[o] / (1 + (expf(-out[o]) if number is float else exp(-out[o]))))
        elif activation == HARDSWISH:
            for o in range(columns):
                out[o] = 0 if out[o] < -3 else out[o] if out[o] > 3 else out[o] * (out[o] + 3) / 6
        elif activation == TANH:
            for o in range(columns):
                out[o] = tanhf(out[o]) if number is float else tanh(out[o])


def apply_activation(real[:, :, :, :, :] maps, int activation):
    """Apply the activation to maps of any strides in place."""
    cdef Py_ssize_t n, k, z, y, x
    cdef bint together = maps.strides[4] == <Py_ssize_t>sizeof(real)
    with nogil:
        for n in range(maps.shape[0]):
            for k in range(maps.shape[1]):
                for z in range(maps.shape[2]):
                    for y in range(maps.shape[3]):
                        if together:
                            activate(&maps[n, k, z, y, 0], maps.shape[4], activation)
                            continue
                        for x in range(maps.shape[4]):
                            activate(&maps[n, k, z, y, x], 1, activation)


cdef void activate_maps(real *maps, const Job *job, const Unit *unit) noexcept nogil:
    """Apply the activation to what a unit's filters have written."""
    cdef Range filters = unit_filters(job, unit)
    cdef Py_ssize_t filter
    for filter in range(filters.first, filters.last):
        activate(maps + filter * job.map_step[1], unit.pixels, job.activation)
