# What Python calls for tiles, sweeps and stacks, and the fast road of calls of known shapes. Part of _core.pyx.
#
# Uses: buffers.pxd, job.pxi, memory.pxi, layout.pxi, tile_job.pxi, border.pxi.


def convolve(images, weight, bias, maps, pads, Layout layout, Py_ssize_t threads, residual=None):
    """Convolve images with a filter bank, as a layout of tiles, sweeps or stacks says; all are of the layout's dtype.

    images (N, C, D, H, W) have their columns side by side, and those of the whole plane if the layout reads them in
    place as one row; maps (N, K, D', H', W') the numbers of a plane; or channels lie side by side, if the layout takes
    them so. weight has all numbers of (K, C / groups * taps), or is packed by `pack_tiles`; bias (K,), followed by
    slopes if the activation has them, or None; pads are those in front of each axis; residual lies as the maps do.

    With no threads, return the units of the call instead of computing them; weight and bias must outlive them.
    """
    cdef Arrays arrays
    if bias is None:
        bias = bytes(layout.offsets * layout.itemsize)
    measure_arrays(&arrays, images, maps)
    set_residual(&arrays, residual, maps)
    arrays.weight = numbers_of(weight, layout.weights, layout.itemsize)
    arrays.bias = numbers_of(bias, layout.offsets, layout.itemsize)
    arrays.slopes = <const char *>arrays.bias + layout.filters * layout.itemsize
    return layout.bind(&arrays, pads).run(&arrays, threads, False)


@cython.final
cdef class Call:
    """A call of `convolve` on contiguous arrays of known shapes: all is ready but their addresses."""

    cdef Layout layout  # for these shapes
    cdef bytes no_bias
    cdef Py_ssize_t threads, image_numbers, map_numbers
    cdef bint keeps_gil
    cdef object output_shape, dtype
    cdef Border border        # of images that are given without it, or None

    def __init__(self, images_shape, maps_shape, output, pads, Layout layout, threads, keeps_gil, border=None):
        """images (N, C, D, H, W), maps (N, K, D', H', W'), output (shape, dtype); more threads would not be faster.

        border: (shape (N, C, D, H, W) with it, size without it, padding in front, modes, values (C,)), for images that
        are given without it.
        """
        self.threads, self.keeps_gil = threads, keeps_gil
        output_shape, self.dtype = output
        self.no_bias = bytes(layout.offsets * layout.itemsize)
        self.bind(images_shape, maps_shape, output_shape, pads, layout)
        if border is not None:
            self.border = Border(layout.itemsize, *border)
            self.image_numbers = self.border.image_numbers

    def resized(self, images_shape, maps_shape, output_shape, pads):
        """Return the same call for images and maps of another size, which the layout must serve as well."""
        cdef Call call = Call.__new__(Call)
        call.threads, call.keeps_gil, call.dtype, call.no_bias = self.threads, self.keeps_gil, self.dtype, self.no_bias
        call.bind(images_shape, maps_shape, output_shape, pads, self.layout)
        return call

    cdef bind(self, tuple images_shape, tuple maps_shape, output_shape, pads, Layout layout):
        """Bind the layout to contiguous images and maps of these shapes."""
        cdef Arrays arrays
        cdef Py_ssize_t axis
        self.output_shape, arrays.batch = output_shape, images_shape[0]
        self.image_numbers = self.map_numbers = arrays.pixel_step = arrays.output_step = 1
        for axis in range(4, -1, -1):
            if axis < 4:
                arrays.image_step[axis] = self.image_numbers
            if axis < 3:
                arrays.map_step[axis] = self.map_numbers
            if axis > 1:
                arrays.image_size[axis - 2], arrays.map_size[axis - 2] = images_shape[axis], maps_shape[axis]
            self.image_numbers *= <Py_ssize_t>images_shape[axis]
            self.map_numbers *= <Py_ssize_t>maps_shape[axis]
        self.layout = layout.bind(&arrays, pads)

    @property
    def nbytes(self):
        """Memory that this takes, roughly."""
        tables = 0 if self.layout.tables is None else self.layout.tables.nbytes
        return sizeof(TileJob) + tables + len(self.no_bias)

    def run(self, images, weight, bias, Py_ssize_t threads, out, residual=None):
        """Return the maps, in out if there is one; None if an array is not contiguous and aligned, or out is unfit."""
        cdef Layout layout = self.layout
        cdef Py_ssize_t itemsize = layout.itemsize
        cdef Arrays arrays
        arrays.images = address(images, self.image_numbers, itemsize)
        arrays.weight = address(weight, layout.weights, itemsize)
        arrays.bias = <const char *>self.no_bias if bias is None else address(bias, layout.offsets, itemsize)
        if arrays.images == NULL or arrays.weight == NULL or arrays.bias == NULL:
            return None
        arrays.slopes, arrays.residual = <const char *>arrays.bias + layout.filters * itemsize, NULL
        if residual is not None:
            arrays.residual = address(residual, self.map_numbers, itemsize)
            if arrays.residual == NULL or residual.dtype != self.dtype:
                return None
        if out is not None:
            if type(out) is not np.ndarray or out.shape != self.output_shape or out.dtype != self.dtype:
                return None
            maps = out
        elif self.map_numbers * itemsize < ALIGNED_BYTES and not fc_poisons:
            maps = np.empty(self.output_shape, self.dtype)
        else:
            maps = empty_result(self.output_shape, self.dtype)
        arrays.maps = <void *>address(maps, self.map_numbers, itemsize)
        if out is not None and (arrays.maps == NULL or not out.flags.writeable or self.overlaps(&arrays)):
            return None
        self.compute(&arrays, threads)
        return maps

    cdef compute(self, Arrays *arrays, Py_ssize_t threads):
        """Compute the maps: of the arrays, the addresses are given."""
        cdef void *section = NULL
        if self.border is not None:
            arrays.images = section = self.border.filled(arrays.images)
        try:
            self.layout.run(arrays, min(threads, self.threads), self.keeps_gil)
        finally:
            free(section)

    cdef bint overlaps(self, const Arrays *arrays) noexcept:
        """Return whether the maps share memory with another array."""
        return (self.overlap(arrays, arrays.images, self.image_numbers)
                or self.overlap(arrays, arrays.weight, self.layout.weights)
                or self.overlap(arrays, arrays.bias, self.layout.offsets)
                or (arrays.residual != NULL and self.overlap(arrays, arrays.residual, self.map_numbers)))

    cdef bint overlap(self, const Arrays *arrays, const void *first, Py_ssize_t numbers) noexcept:
        cdef const char *maps = <const char *>arrays.maps
        cdef const char *other = <const char *>first
        cdef Py_ssize_t itemsize = self.layout.itemsize
        return maps < other + numbers * itemsize and other < maps + self.map_numbers * itemsize
