# Ready calls for arrays of any dtype: what is known once shapes, dtypes and options are, and all that is left to do.
# Part of _core.pyx.
#
#     image -> numbers of the sums' dtype -> a pass, with its border -> the result's dtype -> the next pass ...
#
# For tiny arrays, each of these steps would cost more in Python than all of them do here.
#
# Uses: buffers.pxd, geometry.pxd, job.pxi, memory.pxi, entry.pxi, convert.pxi.


cdef enum:
    MAX_RANK = 6     # of arrays
    MAX_GIVEN = 3    # arrays of a call: an image and kernels
    ROOM_LINE = 64   # bytes: arrays of a workspace begin at multiples
    ROOM_BYTES = 1 << 22  # of a workspace: larger arrays, which are not contiguous, for example, are left to the caller


ctypedef fused unsigned_number:
    uint32_t
    uint64_t


cdef object ndarray = np.ndarray


cdef struct Source:
    # An array as it is given; strides count bytes.
    const char *start
    int rank
    bint contiguous, readonly
    Py_ssize_t bytes
    Py_ssize_t[MAX_RANK] shape, stride


cdef bint look(Source *source, array) except -1:
    """Note where an array lies; return whether its rank is one of those that are supported."""
    cdef Py_buffer buffer
    cdef int axis
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES)
    source.start, source.rank, source.bytes = <const char *>buffer.buf, buffer.ndim, buffer.len
    source.readonly, source.contiguous = buffer.readonly, PyBuffer_IsContiguous(&buffer, b"C")
    for axis in range(min(buffer.ndim, MAX_RANK)):
        source.shape[axis], source.stride[axis] = buffer.shape[axis], buffer.strides[axis]
    PyBuffer_Release(&buffer)
    return source.rank <= MAX_RANK


cdef tuple look_at(Source *sources, options, tuple arrays, out):
    """Note where arrays lie, and `out` behind them if it is one; return their key, None if there is none."""
    cdef Py_ssize_t[MAX_GIVEN * (MAX_RANK + 1)] sizes
    cdef Py_ssize_t axis, n, count = 0
    for n in range(len(arrays)):
        if type(arrays[n]) is not ndarray or not look(&sources[n], arrays[n]):
            return None
        sizes[count] = sources[n].rank
        for axis in range(sources[n].rank):
            sizes[count + 1 + axis] = sources[n].shape[axis]
        count += 1 + sources[n].rank
    if type(out) is ndarray:
        if not look(&sources[len(arrays)], out):
            return None
        out = out.dtype
    shapes = (<char *>sizes)[:count * sizeof(Py_ssize_t)]
    first = arrays[0].dtype
    if len(arrays) == 1:
        return options, shapes, out, first
    if len(arrays) == 2:
        return options, shapes, out, first, arrays[1].dtype
    return options, shapes, out, first, arrays[1].dtype, arrays[2].dtype


def ready_key(options, arrays, out):
    """Return the key under which `run_ready` looks up a call; None if it cannot run one with such arrays.

    arrays: of an image and kernels, out: an array, the dtype of the result as it was asked for, or None.
    """
    cdef Source[MAX_GIVEN + 1] sources
    return look_at(sources, options, arrays, out)


def run_ready(calls, options, tuple arrays, out, Py_ssize_t threads):
    """Return the result of the ready call for arrays and options; None if there is none, or it cannot do it.

    options must differ by what they mean: 0 and 0.0 are equal.
    """
    cdef Source[MAX_GIVEN + 1] sources
    key = look_at(sources, options, arrays, out)
    if key is None:
        return None
    try:
        call = calls.get(key)
    except TypeError:  # an option is a list
        return None
    return None if call is None else (<ReadyCall>call).run(sources, arrays, out, threads)


@cython.final
cdef class ReadyCall:
    """Passes over arrays of known shapes and dtypes."""

    cdef tuple calls, weights
    cdef Type[MAX_GIVEN] given
    cdef Type sums, result
    cdef Py_ssize_t itemsize               # of the sums
    cdef Py_ssize_t image, arrays          # which array is the image, and how many there are
    cdef Py_ssize_t[MAX_GIVEN] counts
    cdef int[MAX_GIVEN] turned, conjugated
    cdef double largest, limit
    cdef Py_ssize_t outputs
    cdef Py_ssize_t planes                 # 2: real and imaginary parts of complex numbers are images of their own
    cdef object shape, dtype

    def __init__(self, passes, given, sums, result, shape, *, image=0, turned=(), conjugated=(), limit=0, largest=0):
        """passes: a Call on arrays of the sums' dtype, and its weights (None: the next array), of each.

        Where sums are real and results complex, the image is complex and its parts are the images of a batch of two.
        given: numbers and dtype of each array; `turned` and `conjugated` are those that are so before they are used.
        limit, if any: that no sum of integers may reach, by the magnitudes of the image, or of what lies beyond it,
        `largest`; and by those of a kernel, if one is given.
        """
        self.calls, self.weights = tuple(call for call, _ in passes), tuple(weights for _, weights in passes)
        self.sums, self.result, self.itemsize = type_of(sums), type_of(result), sums.itemsize
        self.image, self.arrays, self.shape, self.dtype = image, len(given), shape, result
        self.limit, self.largest, self.outputs = limit, largest, math.prod(shape)
        self.planes = 2 if result.kind == "c" and sums.kind != "c" else 1
        for index, (numbers, dtype) in enumerate(given):
            self.counts[index], self.given[index] = numbers, type_of(dtype)
            self.turned[index], self.conjugated[index] = index in turned, index in conjugated

    @property
    def nbytes(self):
        """Memory that this takes, roughly."""
        return 512 + sum(call.nbytes for call in self.calls)

    cdef run(self, Source *sources, tuple arrays, out, Py_ssize_t threads):
        """Return the result, None if the call is not for these numbers or addresses."""
        cdef Source *target = &sources[self.arrays]
        cdef bint stores = not same(self.sums, self.result)
        cdef Py_ssize_t passes = len(self.calls), n, room = 0
        cdef Py_ssize_t map_bytes = aligned(self.outputs * self.planes * self.itemsize)
        cdef Py_ssize_t temporaries = min(2, passes - 1 + stores)
        cdef (const void *)[MAX_GIVEN] start
        cdef Py_ssize_t[MAX_GIVEN] place
        cdef char *workspace = NULL
        for n in range(self.arrays):
            place[n] = -1
            start[n] = sources[n].start
            if not self.is_plain(&sources[n], n):
                place[n] = room
                room += aligned(self.counts[n] * self.itemsize * (self.planes if n == self.image else 1))
                if not is_aligned(&sources[n], self.given[n]):
                    return None
        room += temporaries * map_bytes
        if room > ROOM_BYTES:
            return None
        if type(out) is ndarray:
            if target.readonly or not target.contiguous or out.shape != self.shape:
                return None
            if not is_aligned(target, self.result) or self.overlaps(sources):
                return None
            result = out
        elif self.outputs * self.itemsize < ALIGNED_BYTES and not fc_poisons:
            result = np.empty(self.shape, self.dtype)
        else:
            result = empty_result(self.shape, self.dtype)
        maps = <void *>address(result, self.outputs, self.dtype.itemsize)
        if room:
            workspace = <char *>malloc(room)
            if workspace == NULL:
                raise MemoryError(f"no memory for a workspace of {room} bytes")
        try:
            for n in range(self.arrays):
                if place[n] >= 0:
                    self.convert(&sources[n], n, workspace + place[n])
                    start[n] = workspace + place[n]
            if self.limit and not self.is_within_limit(sources, start):
                return None
            self.run_passes(start, maps, workspace + room - temporaries * map_bytes, stores, threads)
        finally:
            free(workspace)
        return result

    cdef run_passes(self, const void **start, void *maps, char *temporary, bint stores, Py_ssize_t threads):
        cdef Arrays arrays
        cdef Call call
        cdef Py_ssize_t n, passes = len(self.calls), kernel = 0
        cdef Py_ssize_t map_bytes = aligned(self.outputs * self.planes * self.itemsize)
        arrays.images = start[self.image]
        for n in range(passes):
            call = <Call>self.calls[n]
            if self.weights[n] is None:
                kernel += kernel == self.image
                arrays.weight = start[kernel]
                kernel += 1
            else:
                arrays.weight = address(self.weights[n], call.layout.weights, self.itemsize)
            arrays.bias = <const char *>call.no_bias
            arrays.slopes = arrays.residual = NULL
            arrays.maps = temporary + n % 2 * map_bytes if stores or n < passes - 1 else maps
            call.compute(&arrays, threads)
            if stores:
                self.store(arrays.maps, maps)
                if n < passes - 1:
                    self.reload(maps, arrays.maps)
            arrays.images = arrays.maps

    cdef bint is_plain(self, const Source *source, Py_ssize_t n) noexcept:
        """Return whether an array is used as it is."""
        return (same(self.given[n], self.sums) and source.contiguous and not (self.turned[n] or self.conjugated[n])
                and <size_t>source.start % self.itemsize == 0)

    cdef void convert(self, const Source *source, Py_ssize_t n, void *to) noexcept:
        """Convert an array to the sums' dtype."""
        cdef Source part = source[0]
        cdef Py_ssize_t plane
        for plane in range(self.planes if n == self.image else 1):
            if self.sums.size == 8:
                copy_source(&part, self.given[n], <double *>to + plane * self.counts[n], self.sums.kind == b'c',
                            self.turned[n], self.conjugated[n])
            else:
                copy_source(&part, self.given[n], <float *>to + plane * self.counts[n], self.sums.kind == b'c',
                            self.turned[n], self.conjugated[n])
            part.start += self.given[n].size

    cdef void store(self, const void *values, void *maps) noexcept:
        """Convert sums to the result's dtype."""
        cdef Py_ssize_t size = self.result.size
        if self.result.kind == b'f' or self.result.kind == b'c':
            if size == 8:
                self.copy_sums(values, self.sums, 1, <double *>maps, self.planes)
            else:
                self.copy_sums(values, self.sums, 1, <float *>maps, self.planes)
            return
        if self.result.kind == b'b':
            size = 0
        elif self.result.kind == b'u' and size == 8:
            size = -8
        if self.sums.size == 8:
            truncate_to_size(<const double *>values, maps, self.outputs, size)
        else:
            truncate_to_size(<const float *>values, maps, self.outputs, size)

    cdef void reload(self, const void *maps, void *values) noexcept:
        """Convert results of one pass to numbers for the next one."""
        if self.sums.size == 8:
            self.copy_sums(maps, self.result, self.planes, <double *>values, 1)
        else:
            self.copy_sums(maps, self.result, self.planes, <float *>values, 1)

    cdef void copy_sums(self, const void *numbers, Type kind, Py_ssize_t step, real *to, Py_ssize_t to_step) noexcept:
        """Convert planes or complex numbers of the result's shape, given and to be stored at these steps."""
        cdef Py_ssize_t plane, count = self.outputs * (2 if self.sums.kind == b'c' else 1)
        for plane in range(self.planes):
            load(<const char *>numbers + plane * kind.size * (1 if step == 2 else count), step * kind.size, kind,
                 to + plane * (1 if to_step == 2 else count), to_step, count)

    cdef bint is_within_limit(self, const Source *sources, const void **start) noexcept:
        """Return whether no sum, in float64, can be as large as the limit."""
        cdef Py_ssize_t n, i
        cdef double reach = 1 if self.arrays == 1 else 0
        for n in range(self.arrays):
            if n != self.image:
                for i in range(self.counts[n]):
                    reach += fabs((<const double *>start[n])[i])
        return max(self.largest, bound_of(&sources[self.image], self.given[self.image])) * reach < self.limit

    cdef bint overlaps(self, const Source *sources) noexcept:
        """Return whether `out`, behind the other arrays, may share memory with one of them."""
        cdef const Source *out = &sources[self.arrays]
        cdef Py_ssize_t n
        for n in range(self.arrays):
            if not sources[n].contiguous:
                return True
            if out.start < sources[n].start + sources[n].bytes and sources[n].start < out.start + out.bytes:
                return True
        return False


cdef double bound_of(const Source *source, Type kind) noexcept nogil:
    """Return a power of 2 that is no less than the magnitude of any of these integers."""
    cdef double bound = 1
    cdef uint64_t bits
    if kind.size < 4 or not source.contiguous:  # what the dtype holds
        bits = ~<uint64_t>0 >> (64 - 8 * kind.size)
    elif kind.size == 4:
        bits = bits_of(<const uint32_t *>source.start, source.bytes // 4, kind.kind == b'i')
    else:
        bits = bits_of(<const uint64_t *>source.start, source.bytes // 8, kind.kind == b'i')
    while bits:
        bits >>= 1
        bound *= 2
    return bound


cdef uint64_t bits_of(const unsigned_number *numbers, Py_ssize_t count, bint is_signed) noexcept nogil:
    """Return all bits that are set in some integers, or in their complements if these are negative."""
    cdef Py_ssize_t i
    cdef unsigned_number bits = 0, sign = 1 if is_signed else 0
    for i in range(count):
        bits |= numbers[i] ^ (0 - (numbers[i] >> (8 * sizeof(unsigned_number) - 1) & sign))
    return bits


cdef inline bint same(Type one, Type other) noexcept nogil:
    return one.kind == other.kind and one.size == other.size


cdef inline Py_ssize_t aligned(Py_ssize_t nbytes) noexcept nogil:
    return ceil_div(nbytes, ROOM_LINE) * ROOM_LINE


cdef bint is_aligned(const Source *source, Type kind) noexcept nogil:
    """Return whether all numbers of an array lie at multiples of their size."""
    cdef int axis
    if <size_t>source.start % kind.size:
        return False
    for axis in range(source.rank):
        if source.stride[axis] % kind.size:
            return False
    return True


cdef void copy_source(const Source *source, Type kind, real *to, bint is_complex, bint turned,
                      bint conjugated) noexcept nogil:
    """Convert an array of any strides to contiguous floating-point numbers, in the opposite order if it is turned."""
    cdef Py_ssize_t[MAX_RANK] index, stride
    cdef const char *row = source.start
    cdef Py_ssize_t i, axis, last = source.rank - 1, columns = source.shape[last], parts = 1 + is_complex
    for axis in range(source.rank):
        index[axis], stride[axis] = 0, source.stride[axis]
        if source.shape[axis] == 0:
            return
        if turned:
            row += stride[axis] * (source.shape[axis] - 1)
            stride[axis] = -stride[axis]
    axis = 0
    while axis >= 0:
        load(row, stride[last], kind, to, parts, columns)
        if is_complex:
            if kind.kind == b'c':
                load(row + kind.size, stride[last], kind, to + 1, 2, columns)
            for i in range(columns):
                to[2 * i + 1] = 0 if kind.kind != b'c' else -to[2 * i + 1] if conjugated else to[2 * i + 1]
        to += parts * columns
        axis = last - 1
        while axis >= 0:
            row += stride[axis]
            index[axis] += 1
            if index[axis] < source.shape[axis]:
                break
            row -= stride[axis] * source.shape[axis]
            index[axis] = 0
            axis -= 1
