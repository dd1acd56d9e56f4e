# Images with holes: numbers and zeros in their place before a convolution, and the weights seen after it. Part of
# _core.pyx.
#
# Arrays have five axes, of float32 or float64; columns lie side by side. An axis of one stands for as many as needed.
#
# Uses: buffers.pxd, kernels.pxd.


def keep_numbers(pixels, mask, bint ignores_nan, kept, seen):
    """Copy pixels (N, C, D, H, W) to kept, with zeros where they are missing; seen: 1 where they are not, else 0.

    Missing is what mask (N or 1, C or 1, D, H, W), of bytes or None, has as zero, and NaN if it is ignored.
    Returns for every image whether nothing is missing, and whether all channels miss the same.
    """
    cdef View image = view_of(pixels, 5, False), copy = view_of(kept, 5, True), ones = view_of(seen, 5, True)
    cdef View flags = image if mask is None else view_of(mask, 5, False)
    cdef const fc_kernels *kernels = &isa.f32 if image.itemsize == sizeof(float) else &isa.f64
    cdef Py_ssize_t n
    cdef bint complete, alike
    cdef list all_complete = [], all_alike = []
    if mask is None:
        flags.start = NULL
    for n in range(image.shape[0]):
        with nogil:
            complete = keep_image(kernels, n, &image, &flags, ignores_nan, &copy, &ones, &alike)
        all_complete.append(complete)
        all_alike.append(alike)
    return all_complete, all_alike


cdef bint keep_image(const fc_kernels *kernels, Py_ssize_t n, const View *image, const View *mask, bint ignores_nan,
                     const View *kept, const View *seen, bint *alike) noexcept nogil:
    """Copy the numbers of image n; return whether none is missing."""
    cdef Py_ssize_t c, z, y, columns = image.shape[4]
    cdef const unsigned char *flags = NULL
    cdef char *ones
    cdef bint missing = False
    alike[0] = True
    for c in range(image.shape[1]):
        for z in range(image.shape[2]):
            for y in range(image.shape[3]):
                if mask.start != NULL:
                    flags = <const unsigned char *>row_of(mask, n, c, z, y)
                ones = row_of(seen, n, c, z, y)
                missing |= kernels.keep(row_of(kept, n, c, z, y), ones, row_of(image, n, c, z, y), flags, columns,
                                        ignores_nan)
                if c and alike[0]:
                    alike[0] = memcmp(ones, row_of(seen, n, 0, z, y), columns * image.itemsize) == 0
    return not missing


cdef inline char *row_of(const View *view, Py_ssize_t n, Py_ssize_t c, Py_ssize_t z, Py_ssize_t y) noexcept nogil:
    cdef Py_ssize_t place = z * view.step[2] + y * view.step[3]
    place += (n * view.step[0] if view.shape[0] > 1 else 0) + (c * view.step[1] if view.shape[1] > 1 else 0)
    return <char *>view.start + place * view.itemsize


def weigh(sums, seen, counts, double least, complete, totals, bias, double fill, maps):
    """Write maps = totals / seen * sums + bias (N, K, D, H, W) where counts are above `least`, elsewhere `fill`.

    totals and bias: (K,) of float64; where a total is zero, and in images that are complete, maps are sums + bias.
    """
    cdef View sum = view_of(sums, 5, False), weight = view_of(seen, 5, False), count = view_of(counts, 5, False)
    cdef View out = view_of(maps, 5, True)
    cdef const double *total = <const double *>numbers_of(totals, sum.shape[1], sizeof(double))
    cdef const double *offset = <const double *>numbers_of(bias, sum.shape[1], sizeof(double))
    cdef const fc_kernels *kernels = &isa.f32 if sum.itemsize == sizeof(float) else &isa.f64
    cdef bint is_whole
    cdef Py_ssize_t n
    for n in range(sum.shape[0]):
        is_whole = complete[n if len(complete) > 1 else 0]
        with nogil:
            weigh_image(kernels, n, &sum, &weight, &count, least, is_whole, total, offset, fill, &out)


cdef void weigh_image(const fc_kernels *kernels, Py_ssize_t n, const View *sums, const View *seen, const View *counts,
                      double least, bint complete, const double *total, const double *bias, double fill,
                      const View *maps) noexcept nogil:
    cdef Py_ssize_t k, z, y
    cdef fc_weighing row
    row.least, row.fill, row.counts = least, fill, NULL
    for k in range(sums.shape[1]):
        row.total, row.bias = 0 if complete else total[k], bias[k]
        for z in range(sums.shape[2]):
            for y in range(sums.shape[3]):
                row.sums, row.seen = row_of(sums, n, k, z, y), row_of(seen, n, k, z, y)
                if not complete:
                    row.counts = row_of(counts, n, k, z, y)
                kernels.weigh(row_of(maps, n, k, z, y), &row, sums.shape[4])
