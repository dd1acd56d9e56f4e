# Images with holes: what is missing, numbers and zeros in its place before a convolution, and division by the weights
# seen after it. Part of _core.pyx.
#
# Arrays have five axes, of float32 or float64; columns lie side by side. An axis of one stands for as many as needed.
#
# Uses: buffers.pxd, geometry.pxd, kernels.pxd, border.pxi.


cdef struct Holes:
    # Images (N, C, D, H, W), and which of their pixels are missing: NaN if it is ignored, and where the mask is zero.
    const fc_kernels *kernels
    View image, mask  # the mask is of bytes; it has no start if there is none
    bint ignores_nan


cdef Holes holes_of(images, mask, bint ignores_nan) except *:
    cdef Holes holes
    holes.image = holes.mask = view_of(images, 5, False)
    holes.mask.start = NULL
    holes.ignores_nan = ignores_nan
    holes.kernels = &isa.f32 if holes.image.itemsize == sizeof(float) else &isa.f64
    if mask is not None:
        holes.mask = view_of(mask, 5, False)
    return holes


def are_complete(images, mask, bint ignores_nan):
    """Return for every image whether nothing is missing."""
    cdef Holes holes = holes_of(images, mask, ignores_nan)
    cdef Py_ssize_t n
    cdef bint missing
    cdef list complete = []
    for n in range(holes.image.shape[0]):
        with nogil:
            missing = has_holes(&holes, n)
        complete.append(not missing)
    return complete


cdef bint has_holes(const Holes *holes, Py_ssize_t n) noexcept nogil:
    """Return whether something is missing in image n."""
    cdef const View *image = &holes.image
    cdef const View *mask = &holes.mask
    cdef Py_ssize_t c, z, y
    for c in range(image.shape[1]):
        for z in range(image.shape[2]):
            for y in range(image.shape[3]):
                if mask.start != NULL and memchr(row_of(mask, n, c, z, y), 0, image.shape[4]) != NULL:
                    return True
                if holes.ignores_nan and holes.kernels.keep(NULL, NULL, row_of(image, n, c, z, y), NULL,
                                                            image.shape[4], True):
                    return True
    return False


cdef inline char *row_of(const View *view, Py_ssize_t n, Py_ssize_t c, Py_ssize_t z, Py_ssize_t y) noexcept nogil:
    cdef Py_ssize_t place = z * view.step[2] + y * view.step[3]
    place += (n * view.step[0] if view.shape[0] > 1 else 0) + (c * view.step[1] if view.shape[1] > 1 else 0)
    return <char *>view.start + place * view.itemsize


def keep_numbers(images, mask, values, first, modes, size, origin, bint ignores_nan, kept, seen):
    """Fill kept (N, C, d, h, w) as `fill_section` does, but with zeros for what is missing; seen: 1 elsewhere, else 0.

    mask: of the same pixels as images, or None. Returns for every image whether all channels miss the same.
    """
    cdef Holes holes = holes_of(images, mask, ignores_nan)
    cdef View copy = view_of(kept, 5, True), ones = view_of(seen, 5, True)
    cdef const char *value = <const char *>numbers_of(values, copy.shape[1], copy.itemsize)
    cdef Py_ssize_t[3] position
    cdef int[3] mode
    cdef Py_ssize_t axis, n
    cdef bint alike
    cdef list all_alike = []
    for axis in range(3):
        position[axis], mode[axis], holes.image.shape[axis + 2] = first[axis], modes[axis], size[axis]
        n = origin[axis]
        holes.image.start = <char *>holes.image.start - n * holes.image.step[axis + 2] * copy.itemsize
        if mask is not None:
            holes.mask.start = <char *>holes.mask.start - n * holes.mask.step[axis + 2]
    for n in range(copy.shape[0]):
        with nogil:
            alike = keep_image(&holes, n, value, position, mode, &copy, &ones)
        all_alike.append(alike)
    return all_alike


cdef bint keep_image(const Holes *holes, Py_ssize_t n, const char *value, const Py_ssize_t *first, const int *mode,
                     const View *kept, const View *seen) noexcept nogil:
    """Fill image n of kept and seen; return whether all channels miss the same."""
    cdef Py_ssize_t c, z, y, depth, row, columns = kept.shape[4], itemsize = kept.itemsize
    cdef const View *size = &holes.image
    cdef const unsigned char *mask = NULL
    cdef char *numbers
    cdef char *ones
    cdef bint alike = True
    for c in range(kept.shape[1]):
        for z in range(kept.shape[2]):
            depth = image_index(first[0] + z, size.shape[2], mode[0])
            for y in range(kept.shape[3]):
                row = image_index(first[1] + y, size.shape[3], mode[1])
                numbers, ones = row_of(kept, n, c, z, y), row_of(seen, n, c, z, y)
                if depth < 0 or row < 0:
                    holes.kernels.keep(numbers, ones, value + c * itemsize, NULL, 1, holes.ignores_nan)
                    repeat_number(numbers, numbers, columns, itemsize)
                    repeat_number(ones, ones, columns, itemsize)
                else:
                    if holes.mask.start != NULL:
                        mask = <const unsigned char *>row_of(&holes.mask, n, c, depth, row)
                    keep_row(holes, numbers, ones, row_of(&holes.image, n, c, depth, row), mask, value + c * itemsize,
                             columns, first[2], mode[2])
                if c and alike:
                    alike = memcmp(ones, row_of(seen, n, 0, z, y), columns * itemsize) == 0
    return alike


cdef void keep_row(const Holes *holes, char *kept, char *seen, const char *pixels, const unsigned char *mask,
                   const char *value, Py_ssize_t count, Py_ssize_t first, int mode) noexcept nogil:
    """Fill a row with `count` numbers of a padded one, from position `first` on."""
    cdef Py_ssize_t itemsize = holes.image.itemsize, columns = holes.image.shape[4], i = 0, x, run
    while i < count:
        x, run = image_index(first + i, columns, mode), 1
        if 0 <= x == first + i:
            run = min(count - i, columns - x)
        holes.kernels.keep(kept + i * itemsize, seen + i * itemsize, value if x < 0 else pixels + x * itemsize,
                           NULL if x < 0 or mask == NULL else mask + x, run, holes.ignores_nan)
        i += run


def weigh(sums, seen, totals, bias, maps):
    """Write maps = totals / seen * sums + bias (N, K, D, H, W), or sums + bias where a total is zero.

    totals and bias: (K,) of float64.
    """
    cdef View sum = view_of(sums, 5, False), weight = view_of(seen, 5, False), out = view_of(maps, 5, True)
    cdef const double *total = <const double *>numbers_of(totals, sum.shape[1], sizeof(double))
    cdef const double *offset = <const double *>numbers_of(bias, sum.shape[1], sizeof(double))
    cdef const fc_kernels *kernels = &isa.f32 if sum.itemsize == sizeof(float) else &isa.f64
    cdef Py_ssize_t n, k, z, y
    with nogil:
        for n in range(sum.shape[0]):
            for k in range(sum.shape[1]):
                for z in range(sum.shape[2]):
                    for y in range(sum.shape[3]):
                        kernels.weigh(row_of(&out, n, k, z, y), row_of(&sum, n, k, z, y), row_of(&weight, n, k, z, y),
                                      sum.shape[4], total[k], offset[k])
