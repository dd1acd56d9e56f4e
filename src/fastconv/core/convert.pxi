# Conversions: numbers of any dtype to floating point, and sums in floating point as integers, truncated towards zero
# and wrapped around. Part of _core.pyx.
#
# Uses: buffers.pxd, geometry.pxd.


ctypedef fused numeric:  # what arrays are of
    int8_t
    uint8_t
    int16_t
    uint16_t
    int32_t
    uint32_t
    int64_t
    uint64_t
    float
    double


cdef struct Type:
    # A dtype: NumPy's kind, one of b, i, u, f and c, and the bytes of a number; of complex ones, of either part.
    char kind
    Py_ssize_t size


cdef Type type_of(dtype) except *:
    cdef str kind = dtype.kind
    return Type(<char>kind[0], dtype.itemsize // 2 if kind == "c" else dtype.itemsize)


cdef void load(const char *numbers, Py_ssize_t step, Type kind, real *to, Py_ssize_t to_step,
               Py_ssize_t count) noexcept nogil:
    """Convert real numbers, `step` bytes apart, to floating point."""
    if kind.kind == b'f' or kind.kind == b'c':
        if kind.size == 8:
            load_row(<const double *>numbers, step, to, to_step, count)
        else:
            load_row(<const float *>numbers, step, to, to_step, count)
    elif kind.kind == b'i':
        if kind.size == 1:
            load_row(<const int8_t *>numbers, step, to, to_step, count)
        elif kind.size == 2:
            load_row(<const int16_t *>numbers, step, to, to_step, count)
        elif kind.size == 4:
            load_row(<const int32_t *>numbers, step, to, to_step, count)
        else:
            load_row(<const int64_t *>numbers, step, to, to_step, count)
    elif kind.size == 1:
        load_row(<const uint8_t *>numbers, step, to, to_step, count)
    elif kind.size == 2:
        load_row(<const uint16_t *>numbers, step, to, to_step, count)
    elif kind.size == 4:
        load_row(<const uint32_t *>numbers, step, to, to_step, count)
    else:
        load_row(<const uint64_t *>numbers, step, to, to_step, count)


cdef void load_row(const numeric *numbers, Py_ssize_t step, real *to, Py_ssize_t to_step,
                   Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    step //= <Py_ssize_t>sizeof(numeric)
    if step == 1 and to_step == 1:
        for i in range(count):
            to[i] = <real>numbers[i]
    else:
        for i in range(count):
            to[i * to_step] = <real>numbers[i * step]


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
    """Truncate numbers to integers of so many bytes; -8: unsigned ones, which hold what 63 bits do not; 0: to bool."""
    cdef Py_ssize_t i
    cdef real beyond = <real>9223372036854775808.0
    if size == 0:
        for i in range(count):
            (<uint8_t *>out)[i] = <int64_t>values[i] != 0
    elif size == -8:
        for i in range(count):
            if values[i] < beyond:
                (<uint64_t *>out)[i] = <uint64_t><int64_t>values[i]
            elif values[i] < 2 * beyond:
                (<uint64_t *>out)[i] = <uint64_t><int64_t>(values[i] - beyond) + (<uint64_t>1 << 63)
            else:
                (<uint64_t *>out)[i] = 0
    elif size == 1:
        for i in range(count):
            (<int8_t *>out)[i] = <int8_t><int64_t>values[i]
    elif size == 2:
        for i in range(count):
            (<int16_t *>out)[i] = <int16_t><int64_t>values[i]
    elif size == 4:
        for i in range(count):
            (<int32_t *>out)[i] = <int32_t><int64_t>values[i]
    else:
        for i in range(count):
            (<int64_t *>out)[i] = <int64_t>values[i]
