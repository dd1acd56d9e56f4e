# What Python calls. Part of _core.pyx.


def empty(shape, dtype):
    """Return an array as np.empty does; a large one begins at a cache line, for vectors that cross lines are slow.

    With FASTCONV_POISON=1 it is full of NaN (integers: -1), as workspaces are, so that what nobody writes shows.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < ALIGNED_BYTES:
        array = np.empty(shape, dtype)
    else:
        room = np.empty(size + LINE_BYTES, np.uint8)
        array = np.ndarray(shape, dtype, room, -<Py_ssize_t>address(room, room.size, 1) & (LINE_BYTES - 1))
    if fc_poisons and not dtype.hasobject:
        array.reshape(-1).view(np.uint8).fill(0xFF)
    return array


def empty_result(shape, dtype):
    """Return `empty` for a result; where there is no memory for it, say what makes it so large."""
    try:
        return empty(shape, dtype)
    except MemoryError:
        raise MemoryError(f"input and padding make an output of shape {shape}: there is no memory for its "
                          f"{math.prod(shape) * dtype.itemsize} bytes") from None


cdef const void *address(array, Py_ssize_t numbers, Py_ssize_t itemsize) except? NULL:
    """Return where a contiguous array of so many numbers begins, NULL if it is not contiguous or not aligned."""
    cdef Py_buffer view
    cdef const void *first = NULL
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    if view.len == numbers * itemsize and <size_t>view.buf % itemsize == 0 and PyBuffer_IsContiguous(&view, b"C"):
        first = view.buf
    PyBuffer_Release(&view)  # the array stays where it is as long as somebody holds it
    return first


cdef fc_unit_fn find_unit_fn(const Job *job, real _) noexcept nogil:
    if job.stacks:
        return <fc_unit_fn>stack_unit[real]
    if job.by_position:
        return <fc_unit_fn>convolve_unit_by_position[real]
    return <fc_unit_fn>(sweep_unit[real] if job.lines else convolve_unit[real])


cdef void share_out(Job *job, Py_ssize_t images, Py_ssize_t threads) noexcept nogil:
    """Make at least four units a thread of the work, if need be of smaller strips, if need be of fewer filters."""
    cdef Py_ssize_t least = 8 * job.kernels.lanes if job.in_place and not (job.lines or job.by_position) else 4
    cdef Py_ssize_t others = images * job.map_size[0], wanted = 4 * threads if threads > 1 else 1
    if job.stacks:  # strips see some rows twice
        job.parts = min(job.stacks, max(job.parts, ceiling(wanted, others)))
    others *= job.parts if job.lines else job.groups
    wanted = ceiling(wanted, others)
    job.strips = ceiling(job.map_size[1], job.strip_rows)
    if job.strips < wanted:
        job.strips = max(job.strips, min(wanted, job.map_size[1] // least))
    if not job.lines:
        job.parts = min(filter_blocks(job), max(1, wanted // job.strips))
        if job.in_place and job.lanes == FILTERS and not job.packed:
            job.parts = filter_blocks(job)  # whose weights are read row by row
    job.units = others * job.strips * (1 if job.lines else job.parts)


def convolve(const real[:, :, :, :, :] images, const real[::1] weight, const real[:] bias, real[:, :, :, :, :] maps,
             pads, Layout layout, Py_ssize_t threads):
    """Convolve images with a filter bank by tiles of pixels and filters, or by sweeps down the rows of one channel.

    images and maps as for `convolve_direct`, the planes of maps contiguous, and those of images if the layout is in place;
    weight has all numbers of (K, C / groups * taps), or is as `pack_tiles` left it.
    """
    cdef Job job = layout.job
    if bias is None:
        bias = np.zeros(maps.shape[1], np.float32 if real is float else np.float64)
    see_arrays(&job, images, maps, pads)
    job.weight, job.bias = &weight[0], &bias[0]
    share_out(&job, maps.shape[0], threads)
    cdef Placing placing = Placing()
    placing.prepare(&job)
    run(find_unit_fn[real](&job, 0), &job, layout.workspace, threads)


@cython.final
cdef class Call:
    """A call of `convolve` on contiguous arrays of known shapes: all is ready but their addresses."""

    cdef Job job
    cdef fc_unit_fn unit
    cdef Layout layout  # which owns what the job points into, as does placing
    cdef Placing placing
    cdef bytes no_bias
    cdef Py_ssize_t images, threads, itemsize, image_numbers, map_numbers
    cdef bint keeps_gil
    cdef object output_shape, dtype

    def __init__(self, images_shape, maps_shape, output, pads, Layout layout, threads, keeps_gil):
        """images (N, C, D, H, W) and maps (N, K, D', H', W'); up to so many threads are worth their while."""
        cdef Job *job = &self.job
        job[0] = layout.job
        self.layout, self.threads, self.keeps_gil = layout, threads, keeps_gil
        self.itemsize = job.bits // 8
        output_shape, self.dtype = output
        self.no_bias = bytes(maps_shape[1] * self.itemsize)
        self.unit = find_unit_fn[float](job, 0) if job.bits == 32 else find_unit_fn[double](job, 0)
        self.place(images_shape, maps_shape, output_shape, pads)

    def resized(self, images_shape, maps_shape, output_shape, pads):
        """Return the same call for images and maps of another size, which the layout must serve as well."""
        cdef Call call = Call.__new__(Call)
        call.job, call.unit, call.layout, call.no_bias, call.dtype = (
            self.layout.job, self.unit, self.layout, self.no_bias, self.dtype)
        call.threads, call.itemsize, call.keeps_gil = self.threads, self.itemsize, self.keeps_gil
        call.place(images_shape, maps_shape, output_shape, pads)
        return call

    cdef place(self, tuple images_shape, tuple maps_shape, output_shape, pads):
        """Note where contiguous images and maps of these shapes have their numbers, and what the taps see."""
        cdef Job *job = &self.job
        cdef Py_ssize_t axis
        self.output_shape, self.images = output_shape, images_shape[0]
        self.image_numbers = self.map_numbers = 1
        for axis in range(4, -1, -1):
            if axis < 4:
                job.image_step[axis] = self.image_numbers
            if axis < 3:
                job.map_step[axis] = self.map_numbers
            if axis > 1:
                job.axis[axis - 2].pad = pads[axis - 2]
                job.size[axis - 2], job.map_size[axis - 2] = images_shape[axis], maps_shape[axis]
            self.image_numbers *= <Py_ssize_t>images_shape[axis]
            self.map_numbers *= <Py_ssize_t>maps_shape[axis]
        share_out(job, self.images, 1)
        self.placing = Placing()
        self.placing.prepare(job)

    @property
    def nbytes(self):
        """Memory that this takes, roughly."""
        return sizeof(Job) + self.placing.nbytes + len(self.no_bias)

    def run(self, images, weight, bias, Py_ssize_t threads, out):
        """Return the maps, in out if there is one; None if an array is not contiguous and aligned, or out is unfit."""
        cdef Job job = self.job
        cdef Py_ssize_t filters = job.groups * job.filters
        cdef Py_ssize_t weights = (packed_rows(&job) if job.packed else job.filters) * job.groups * job.taps
        job.images = address(images, self.image_numbers, self.itemsize)
        job.weight = address(weight, weights, self.itemsize)
        job.bias = <const char *>self.no_bias if bias is None else address(bias, filters, self.itemsize)
        if job.images == NULL or job.weight == NULL or job.bias == NULL:
            return None
        if out is not None:
            if type(out) is not np.ndarray or out.shape != self.output_shape or out.dtype != self.dtype:
                return None
            maps = out
        elif self.map_numbers * self.itemsize < ALIGNED_BYTES and not fc_poisons:
            maps = np.empty(self.output_shape, self.dtype)
        else:
            maps = empty_result(self.output_shape, self.dtype)
        job.maps = <void *>address(maps, self.map_numbers, self.itemsize)
        if out is not None and (
                job.maps == NULL or not out.flags.writeable
                or self.overlap(job.maps, job.images, self.image_numbers)
                or self.overlap(job.maps, job.weight, weights) or self.overlap(job.maps, job.bias, filters)):
            return None
        threads = min(threads, self.threads)
        if threads > 1:
            share_out(&job, self.images, threads)
        run(self.unit, &job, workspace_bytes(&job), threads, self.keeps_gil)
        return maps

    cdef bint overlap(self, const void *maps, const void *first, Py_ssize_t numbers) noexcept:
        """Tell whether the maps share memory with so many numbers."""
        cdef const char *one = <const char *>maps
        cdef const char *other = <const char *>first
        return one < other + numbers * self.itemsize and other < one + self.map_numbers * self.itemsize


def pack_tiles(const real[:, ::1] weight, real[::1] packed, Py_ssize_t first, TileLayout layout):
    """Pack a piece of the bank, weight (some filters from `first` on, C / groups * taps), as `convolve` reads it."""
    with nogil:
        pack_filters(&packed[0], &weight[0, 0], &layout.job, Range(first, first + weight.shape[0]))
