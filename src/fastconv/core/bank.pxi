# A filter bank as given, anywhere in memory: gradients exchange its filters and channels, and turn its kernels round
# as flip=True does, without a copy. Part of _core.pyx.
#
# Uses: geometry.pxd, kernels.pxd, buffers.pxd.


cdef struct Bank:
    # Filters (K, taps), whose taps have four axes, as a rule (C / groups, kd, kh, kw). Steps count numbers.
    const void *start
    Py_ssize_t filters, filter_step
    Py_ssize_t taps
    Py_ssize_t[4] size, step   # of the axes of the taps
    Py_ssize_t run, run_step   # taps one after another, of the innermost axes, that lie a step apart
    Py_ssize_t room            # from the start to behind the last number in memory


cdef Bank even_bank(const void *start, Py_ssize_t filters, Py_ssize_t filter_step, Py_ssize_t taps,
                    Py_ssize_t tap_step) noexcept nogil:
    """Return contiguous filters, (K, taps) or (taps, K) as the steps say, as a bank."""
    return Bank(start, filters, filter_step, taps, [1, 1, 1, taps], [0, 0, 0, tap_step], taps, tap_step, filters * taps)


cdef Bank bank_of(weight, Py_ssize_t itemsize, Py_ssize_t taps) except *:
    """Return where an array of filters lies, with five axes and so many taps of each filter."""
    cdef View view = view_of(weight, 5, False)
    cdef Bank bank
    cdef int axis
    bank.start, bank.filters, bank.filter_step = view.start, view.shape[0], view.step[0]
    bank.taps, bank.run, bank.run_step = 1, 1, 1
    bank.room = 1 + max(0, (bank.filters - 1) * bank.filter_step)
    for axis in range(3, -1, -1):
        bank.size[axis], bank.step[axis] = view.shape[axis + 1], view.step[axis + 1]
        bank.room += max(0, (bank.size[axis] - 1) * bank.step[axis])
        if bank.size[axis] > 1:
            if bank.taps == 1:
                bank.run_step = bank.step[axis]
            if bank.run == bank.taps and bank.step[axis] == bank.run * bank.run_step:
                bank.run *= bank.size[axis]
        bank.taps *= bank.size[axis]
    if view.itemsize != itemsize or bank.taps != taps:
        raise ValueError(f"the core takes filters of {taps} taps of {itemsize} bytes here")
    return bank


cdef inline Py_ssize_t tap_in_bank(const Bank *bank, Py_ssize_t tap) noexcept nogil:
    """Return the numbers from a filter's first tap to another one."""
    cdef Py_ssize_t place = 0, axis
    for axis in range(3, -1, -1):
        place += tap % bank.size[axis] * bank.step[axis]
        tap //= bank.size[axis]
    return place


cdef void transpose_taps(real *to, Py_ssize_t to_step, const Bank *bank, Range filters, Range taps,
                         const fc_kernels *ukernels) noexcept nogil:
    """Transpose some taps of some filters into (taps, filters)."""
    cdef Py_ssize_t count, rows = filters.last - filters.first, step = bank.filter_step, tap, i
    cdef const real *weight
    while taps.first < taps.last:
        count = min(bank.run - taps.first % bank.run, taps.last - taps.first)
        weight = <const real *>bank.start + filters.first * step + tap_in_bank(bank, taps.first)
        if bank.run_step == 1:
            ukernels.transpose(to, to_step, weight, step, rows, count)
        elif bank.run_step == -1:
            ukernels.transpose(to + (count - 1) * to_step, -to_step, weight - (count - 1), step, rows, count)
        else:
            for tap in range(count):
                if step == 1:
                    memcpy(to + tap * to_step, weight + tap * bank.run_step, rows * sizeof(real))
                else:
                    for i in range(rows):
                        to[tap * to_step + i] = weight[i * step + tap * bank.run_step]
        to += count * to_step
        taps.first += count


def equal_bytes(one, other):
    """Return whether two arrays of as many contiguous bytes are equal."""
    cdef Py_ssize_t count = one.size
    cdef const void *first = numbers_of(one, count, 1)
    cdef const void *second = numbers_of(other, count, 1)
    cdef bint are_equal
    with nogil:
        are_equal = memcmp(first, second, count) == 0
    return are_equal
