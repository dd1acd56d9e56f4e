# Sums in floating point as integers: truncated towards zero, and wrapped around. Part of _core.pyx.
#
# Uses: buffers.pxd, geometry.pxd.


def truncate(values, out):
    """Copy contiguous float32 or float64 numbers to an array of integers of any size: the low bits of them in 64."""
    cdef Py_ssize_t count = values.size, size = -8 if out.dtype == np.uint64 else out.itemsize
    cdef bint wide = values.itemsize == 8
    cdef const void *numbers = numbers_of(values, count, values.itemsize)
    cdef void *integers = <void *>numbers_of(out, count, out.itemsize)
    with nogil:
        if wide:
            truncate_to_size(<const double *>numbers, integers, count, size)
        else:
            truncate_to_size(<const float *>numbers, integers, count, size)


cdef void truncate_to_size(const real *values, void *out, Py_ssize_t count, Py_ssize_t size) noexcept nogil:
    """Truncate numbers to integers of so many bytes; -8: unsigned ones, which hold what 63 bits do not."""
    cdef Py_ssize_t i
    cdef real beyond = <real>9223372036854775808.0
    if size == 1:
        for i in range(count):
            (<int8_t *>out)[i] = <int8_t><int64_t>values[i]
    elif size == 2:
        for i in range(count):
            (<int16_t *>out)[i] = <int16_t><int64_t>values[i]
    elif size == 4:
        for i in range(count):
            (<int32_t *>out)[i] = <int32_t><int64_t>values[i]
    elif size == 8:
        for i in range(count):
            (<int64_t *>out)[i] = <int64_t>values[i]
    else:
        for i in range(count):
            if values[i] < beyond:
                (<uint64_t *>out)[i] = <uint64_t><int64_t>values[i]
            elif values[i] < 2 * beyond:
                (<uint64_t *>out)[i] = <uint64_t><int64_t>(values[i] - beyond) + (<uint64_t>1 << 63)
            else:
                (<uint64_t *>out)[i] = 0
