# Numbers on their way between arrays of any type and strides and the core's own, of floats in contiguous rows; and sums
# in floating point as integers, truncated towards zero, and wrapped around. Part of _core.pyx.
#
# Uses: buffers.pxd, geometry.pxd, kernels.pxd, layout.pxi, border.pxi.

NUMBER_TYPES = {
    "float32": FC_FLOAT32,
    "float64": FC_FLOAT64,
    "float16": FC_FLOAT16,
    "bfloat16": FC_BFLOAT16,
    "bool": FC_UINT8,
    "int8": FC_INT8,
    "uint8": FC_UINT8,
    "int16": FC_INT16,
    "uint16": FC_UINT16,
    "int32": FC_INT32,
    "uint32": FC_UINT32,
    "int64": FC_INT64,
    "uint64": FC_UINT64,
}

cdef enum:
    MOVED = 4096        # numbers that are converted on the way through the first-level cache
    MOVED_CHANNELS = 64
    LOADED = 256        # the same of small arrays


cdef struct Move:
    # Numbers that move between an array of any type and strides, outside, and one of `real` in contiguous rows.
    const fc_kernels *ukernels
    int type
    bint leaves           # the core, for the array outside
    bint converts         # between different types
    bint nontemporal      # stores, past the cache
    Py_ssize_t itemsize   # outside
    Py_ssize_t rows, columns, row_step, column_step  # of a matrix outside
    Py_ssize_t core_step  # from one of its rows to the next in the core


def load_numbers(source, int type, target):
    """Copy an array of five axes, of a type of NUMBER_TYPES, to floats of the same shape whose rows are contiguous.

    Return False, and copy nothing, if the CPU lacks instructions for the type.
    """
    return move_arrays(source, target, type, False, False)


def store_numbers(source, int type, target, bint nontemporal):
    """Copy floats whose rows are contiguous to an array of five axes: integers are rounded, ties to even, and saturate.

    NaN becomes 0. `nontemporal`: past the cache, where that is possible. Return False, and copy nothing, if the CPU
    lacks instructions for the type.
    """
    return move_arrays(target, source, type, True, nontemporal)


cdef move_arrays(outside, inside, int type, bint leaves, bint nontemporal):
    cdef View any = view_of(outside, 5, leaves), core = view_of(inside, 5, not leaves)
    cdef Move move = make_move(type, any.itemsize, leaves, core.itemsize)
    cdef bint wide = core.itemsize == 8
    if not is_known(&move):
        return False
    move.nontemporal = nontemporal
    join_rows(&any, &core)
    with nogil:
        if wide:
            move_planes(<double *>core.start, &core, &any, &move)
        else:
            move_planes(<float *>core.start, &core, &any, &move)
    return True


cdef Move make_move(int type, Py_ssize_t itemsize, bint leaves, Py_ssize_t core_itemsize) noexcept:
    """Return what is known of a move without its arrays."""
    cdef Move move
    move.ukernels = ukernels_of(8 * core_itemsize)
    move.type, move.itemsize, move.leaves, move.nontemporal = type, itemsize, leaves, False
    move.converts = type != (FC_FLOAT64 if core_itemsize == 8 else FC_FLOAT32)
    return move


cdef bint is_known(const Move *move) noexcept:
    """Return whether the CPU has instructions for the type."""
    cdef double spare
    return not move.converts or move.ukernels.widen(&spare, &spare, 0, move.type)


cdef void join_rows(View *any, View *core) noexcept nogil:
    """Make rows that lie one behind the other in both arrays one row, and so planes."""
    cdef Py_ssize_t axis = 3
    while axis > 1 and any.step[axis] == any.shape[4] * any.step[4] and core.step[axis] == core.shape[4]:
        any.shape[4] *= any.shape[axis]
        core.shape[4] *= core.shape[axis]
        any.shape[axis] = core.shape[axis] = 1
        axis -= 1


cdef void move_planes(real *numbers, const View *core, const View *any, Move *move) noexcept nogil:
    """Move an array by matrices of its columns and another axis: rows, unless numbers outside neighbour along one."""
    cdef Py_ssize_t[3] others
    cdef Py_ssize_t across = 3, axis, count = 0, i, j, k, at
    if any.step[4] != 1:
        for axis in range(4):
            if any.step[axis] == 1 and any.shape[axis] > 1:
                across = axis
    for axis in range(4):
        if axis != across:
            others[count] = axis
            count += 1
    move.rows, move.columns = any.shape[across], any.shape[4]
    move.row_step, move.column_step, move.core_step = any.step[across], any.step[4], core.step[across]
    for i in range(any.shape[others[0]]):
        for j in range(any.shape[others[1]]):
            for k in range(any.shape[others[2]]):
                at = i * any.step[others[0]] + j * any.step[others[1]] + k * any.step[others[2]]
                move_matrix(
                    numbers + i * core.step[others[0]] + j * core.step[others[1]] + k * core.step[others[2]],
                    <char *>any.start + at * any.itemsize, move)


cdef void move_matrix(real *numbers, char *outside, const Move *move) noexcept nogil:
    cdef real[MOVED] buffer
    cdef Py_ssize_t row, column, rows, columns
    if move.column_step == 1 or move.row_step != 1:
        for row in range(move.rows):
            move_row(numbers + row * move.core_step, outside + row * move.row_step * move.itemsize, move)
        return
    row = 0
    while row < move.rows:
        rows, column = min(move.rows - row, MOVED_CHANNELS), 0
        while column < move.columns:
            columns = min(move.columns - column, MOVED // rows)
            transpose_some(numbers + row * move.core_step + column,
                           outside + (row + column * move.column_step) * move.itemsize, rows, columns, buffer, move)
            column += columns
        row += rows


cdef void transpose_some(real *numbers, char *outside, Py_ssize_t rows, Py_ssize_t columns, real *buffer,
                         const Move *move) noexcept nogil:
    """Move a matrix whose columns are contiguous outside, by a buffer unless its numbers need no conversion."""
    cdef const fc_kernels *ukernels = move.ukernels
    cdef real *columns_of = buffer if move.converts else <real *>outside
    cdef Py_ssize_t step = rows if move.converts else move.column_step
    if move.leaves and move.nontemporal and not move.converts:
        ukernels.stream_transposed(columns_of, step, numbers, move.core_step, rows, columns)
    elif move.leaves:
        ukernels.transpose(columns_of, step, numbers, move.core_step, rows, columns)
    if move.converts:
        convert_runs(buffer, outside, rows, columns, move)
    if not move.leaves:
        ukernels.transpose(numbers, move.core_step, columns_of, step, columns, rows)


cdef void convert_runs(real *buffer, char *outside, Py_ssize_t count, Py_ssize_t runs, const Move *move) noexcept nogil:
    """Convert runs of numbers, which are `column_step` apart outside, and side by side in a buffer."""
    cdef Py_ssize_t run
    if move.column_step == count:
        count, runs = count * runs, 1
    for run in range(runs):
        convert(buffer + run * count, outside + run * move.column_step * move.itemsize, count, move)


cdef void move_row(real *numbers, char *outside, const Move *move) noexcept nogil:
    cdef char[MOVED * 8] buffer
    cdef Py_ssize_t column = 0, count, itemsize = move.itemsize, step = move.column_step * move.itemsize
    if move.column_step == 1:
        convert(numbers, outside, move.columns, move)
        return
    while column < move.columns:
        count = min(move.columns - column, MOVED)
        if move.leaves:
            convert(numbers + column, buffer, count, move)
            copy_strided(outside + column * step, step, buffer, itemsize, itemsize, count)
        else:
            copy_strided(buffer, itemsize, outside + column * step, step, itemsize, count)
            convert(numbers + column, buffer, count, move)
        column += count


cdef inline void convert(void *numbers, char *outside, Py_ssize_t count, const Move *move) noexcept nogil:
    if move.converts and move.leaves:
        move.ukernels.narrow(outside, numbers, count, move.type)
    elif move.converts:
        move.ukernels.widen(numbers, outside, count, move.type)
    elif move.leaves:
        memcpy(outside, numbers, count * move.itemsize)
    else:
        memcpy(numbers, outside, count * move.itemsize)


cdef struct PaddedLine:
    # A row of pixels of `trail` neighbouring numbers, on its way into the core with what lies beyond its ends.
    Move move
    Py_ssize_t bytes           # of a number in the core
    Py_ssize_t length, trail
    int padding_mode


cdef void pad_line(char *to, const char *pixels, Range needed, const PaddedLine *line,
                   const char *border) noexcept nogil:
    """Convert the pixels that a line shows at some positions; `border`: a number where the padding mode is ZEROS."""
    cdef Py_ssize_t position = needed.first, x, to_bytes = line.trail * line.bytes
    cdef Py_ssize_t pixel_bytes = line.trail * line.move.itemsize
    cdef Range inside
    inside.first = min(max(needed.first, 0), needed.last)
    inside.last = max(inside.first, min(needed.last, line.length))
    convert(to + (inside.first - needed.first) * to_bytes, <char *>pixels + inside.first * pixel_bytes,
            (inside.last - inside.first) * line.trail, &line.move)
    while position < needed.last:
        if inside.first <= position < inside.last:
            to += (inside.last - position) * to_bytes
            position = inside.last
            continue
        x = image_index(position, line.length, line.padding_mode)
        if x < 0:
            repeat_number(to, border, line.trail, line.bytes)
        elif inside.first <= x < inside.last:
            memcpy(to, to + (x - position) * to_bytes, to_bytes)
        else:
            convert(to, <char *>pixels + x * pixel_bytes, line.trail, &line.move)
        position += 1
        to += to_bytes


ctypedef fused pattern:  # the bits of a number
    uint8_t
    uint16_t
    uint32_t
    uint64_t


cdef void copy_strided(char *to, Py_ssize_t to_step, const char *numbers, Py_ssize_t step, Py_ssize_t itemsize,
                       Py_ssize_t count) noexcept nogil:
    """Copy numbers of a size from some bytes apart to others."""
    if itemsize == 1:
        copy_patterns(<uint8_t *>to, to_step, <const uint8_t *>numbers, step, count)
    elif itemsize == 2:
        copy_patterns(<uint16_t *>to, to_step, <const uint16_t *>numbers, step, count)
    elif itemsize == 4:
        copy_patterns(<uint32_t *>to, to_step, <const uint32_t *>numbers, step, count)
    else:
        copy_patterns(<uint64_t *>to, to_step, <const uint64_t *>numbers, step, count)


cdef void copy_patterns(pattern *to, Py_ssize_t to_step, const pattern *numbers, Py_ssize_t step,
                        Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    to_step //= <Py_ssize_t>sizeof(pattern)
    step //= <Py_ssize_t>sizeof(pattern)
    if to_step == 1 and step == 2:  # a part of complex numbers: compilers vectorise constant steps
        for i in range(count):
            to[i] = numbers[2 * i]
    elif to_step == 2 and step == 1:
        for i in range(count):
            to[2 * i] = numbers[i]
    else:
        for i in range(count):
            to[i * to_step] = numbers[i * step]


cdef struct Type:
    # A dtype: NumPy's kind, one of b, i, u, f and c, and the bytes of a number; of complex ones, of either part, whose
    # type is `number`.
    char kind
    Py_ssize_t size
    int number


cdef Type type_of(dtype) except *:
    cdef str kind = dtype.kind
    cdef Py_ssize_t size = dtype.itemsize // 2 if kind == "c" else dtype.itemsize
    cdef int number = FC_FLOAT32 if size == 4 else FC_FLOAT64
    return Type(<char>kind[0], size, number if kind in "fc" else NUMBER_TYPES[dtype.name])


cdef void load(const char *numbers, Py_ssize_t step, Type kind, real *to, Py_ssize_t to_step,
               Py_ssize_t count) noexcept nogil:
    """Convert real numbers, `step` bytes apart, to floating point."""
    cdef char[LOADED * 8] packed
    cdef real[LOADED] row
    cdef const char *source
    cdef Py_ssize_t done = 0, some
    if kind.number == (FC_FLOAT32 if sizeof(real) == sizeof(float) else FC_FLOAT64):
        copy_strided(<char *>to, to_step * sizeof(real), numbers, step, sizeof(real), count)
        return
    while done < count:
        some = count - done if step == kind.size and to_step == 1 else min(count - done, LOADED)
        source = numbers + done * step
        if step != kind.size:
            copy_strided(packed, kind.size, source, step, kind.size, some)
            source = packed
        if to_step == 1:
            kernels_of(to).widen(to + done, source, some, kind.number)
        else:
            kernels_of(to).widen(row, source, some, kind.number)
            copy_strided(<char *>(to + done * to_step), to_step * sizeof(real), <const char *>row, sizeof(real),
                         sizeof(real), some)
        done += some


cdef inline const fc_kernels *kernels_of(const real *numbers) noexcept nogil:
    return &isa.f32 if sizeof(real) == sizeof(float) else &isa.f64


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
    elif size <= 2:
        kernels_of(values).truncate(out, values, count, size, 1, False)
    elif size == 4:
        for i in range(count):
            (<int32_t *>out)[i] = <int32_t><int64_t>values[i]
    else:
        for i in range(count):
            (<int64_t *>out)[i] = <int64_t>values[i]
