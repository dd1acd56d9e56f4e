# What the jobs of all algorithms have in common: arrays, window and strips; and how the units of a job are run.
# A job is one call; its units are parts of the output that threads compute independently. Part of _core.pyx.
#
# Uses: geometry.pxd, kernels.pxd, buffers.pxd.


cdef enum:
    SLACK = 64                 # numbers behind a strip or panel that the last vectors may touch: 4 vectors of 16
    LINE_BYTES = 64            # of the cache, on x86-64 and most of ARM
    STOP_PRODUCTS = 1 << 22    # between two questions whether to stop: a few milliseconds at most
    UNITS_PER_THREAD = 4       # at least, so that no thread waits long for the last one


cdef struct Arrays:
    # The arrays of a call. Steps count numbers; rows of images, and planes of maps, are contiguous, unless channels
    # come last, which tiles alone take.
    const void *images         # (N, C, D, H, W)
    const void *weight         # (K, C / groups, kd, kh, kw), or packed
    const void *bias           # (K,)
    const void *slopes         # (K,) of an activation that has them, behind the bias
    const void *residual       # added before the activation, with the steps of the maps; or NULL
    void *maps                 # (N, K, D', H', W')
    Py_ssize_t batch           # N
    Py_ssize_t[4] image_step   # along N, C, D and H
    Py_ssize_t pixel_step      # along W: 1 unless channels are side by side
    Py_ssize_t[3] image_size   # D, H, W
    Py_ssize_t[3] map_step     # along N, K and D'
    Py_ssize_t output_step     # along W': 1 unless maps are side by side
    Py_ssize_t[3] map_size     # D', H', W'


cdef struct Window:
    # How the filters of a bank slide over an image.
    Axis[3] axis               # depth, rows, columns
    int padding_mode
    Py_ssize_t groups
    Py_ssize_t channels, filters  # of one group
    Py_ssize_t taps            # of one filter, over all its channels


cdef struct Strip:
    # Some output rows of one image, at one depth.
    Py_ssize_t n, depth, first_row, rows, pixels


cdef make_window(Window *window, given, Py_ssize_t channels, Py_ssize_t filters):
    """Take a window (kernel, stride, dilation, groups, padding mode, activation) of a group's channels and filters."""
    cdef Py_ssize_t axis
    kernel, stride, dilation, window.groups, window.padding_mode, _ = given
    window.channels, window.filters, window.taps = channels, filters, channels
    for axis in range(3):
        window.axis[axis] = make_axis(kernel[axis], stride[axis], dilation[axis])
        window.taps *= window.axis[axis].taps


cdef set_pads(Window *window, pads):
    cdef Py_ssize_t axis
    for axis in range(3):
        window.axis[axis].pad = pads[axis]


cdef measure_arrays(Arrays *arrays, images, maps):
    """Note the addresses, sizes and steps of images (N, C, D, H, W) and maps (N, K, D', H', W')."""
    cdef View image = view_of(images, 5, False), map = view_of(maps, 5, True)
    cdef Py_ssize_t axis
    arrays.images, arrays.maps, arrays.batch = image.start, map.start, map.shape[0]
    arrays.slopes = arrays.residual = NULL
    for axis in range(3):
        arrays.image_size[axis], arrays.map_size[axis] = image.shape[axis + 2], map.shape[axis + 2]
        arrays.map_step[axis] = map.step[axis]
    for axis in range(4):
        arrays.image_step[axis] = image.step[axis]
    arrays.pixel_step = image.step[4] if image.shape[4] > 1 else 1
    arrays.output_step = map.step[4] if map.shape[4] > 1 else 1


cdef set_residual(Arrays *arrays, residual, maps):
    """Note the address of an array to be added to the maps, which lies as they do; or None."""
    cdef View more, map = view_of(maps, 5, False)
    cdef Py_ssize_t axis
    if residual is None:
        return
    more = view_of(residual, 5, False)
    arrays.residual = more.start
    for axis in range(5):
        if more.shape[axis] != map.shape[axis] or (more.step[axis] != map.step[axis] and map.shape[axis] > 1):
            raise ValueError("the core takes a residual that lies as the maps do")


cdef inline Py_ssize_t image_at(const Arrays *arrays, Py_ssize_t n, Py_ssize_t channel) noexcept nogil:
    """Return the place in `images` of the first pixel of a channel."""
    return n * arrays.image_step[0] + channel * arrays.image_step[1]


cdef inline Py_ssize_t map_at(const Arrays *arrays, Py_ssize_t n, Py_ssize_t filter, Py_ssize_t depth,
                              Py_ssize_t row) noexcept nogil:
    """Return the place in `maps` of the first pixel of a row."""
    return (n * arrays.map_step[0] + filter * arrays.map_step[1] + depth * arrays.map_step[2]
            + row * arrays.map_size[2])


cdef inline Py_ssize_t depth_at(const Window *window, const Arrays *arrays, Py_ssize_t depth,
                                Py_ssize_t tap) noexcept nogil:
    """Return the depth in the image that a tap reads from an output's depth; -1 for a plane of zeros."""
    return input_index(&window.axis[0], depth, tap, arrays.image_size[0], window.padding_mode)


cdef Strip find_strip(const Arrays *arrays, Py_ssize_t strips, Py_ssize_t index) noexcept nogil:
    """Return the strip of this index where every map is cut into so many strips."""
    cdef Range rows = nth_part(arrays.map_size[1], strips, index % strips)
    index //= strips
    return Strip(index // arrays.map_size[0], index % arrays.map_size[0], rows.first, rows.last - rows.first,
                 (rows.last - rows.first) * arrays.map_size[2])


cdef Py_ssize_t count_strips(const Arrays *arrays, Py_ssize_t strip_rows, Py_ssize_t wanted,
                             Py_ssize_t least_rows) noexcept nogil:
    """Return into how many strips of up to `strip_rows` to cut a map: if possible, `wanted` ones of `least_rows`."""
    cdef Py_ssize_t strips = ceil_div(arrays.map_size[1], strip_rows)
    return max(strips, min(wanted, arrays.map_size[1] // least_rows)) if strips < wanted else strips


cdef inline Py_ssize_t wanted_units(Py_ssize_t threads) noexcept nogil:
    return UNITS_PER_THREAD * threads if threads > 1 else 1


cdef inline bint is_stopped(Py_ssize_t *products, Py_ssize_t more) noexcept nogil:
    """Count products, and every few milliseconds return whether an interrupt wants the unit to return at once."""
    products[0] += more
    if products[0] < STOP_PRODUCTS:
        return False
    products[0] = 0
    return fc_stopping()


cdef int check_signals() noexcept with gil:
    return PyErr_CheckSignals()


@cython.final
cdef class Units:
    """The units of a call on one thread, without its addresses: to be computed later, strip by strip."""

    cdef fc_unit_fn unit
    cdef bytes job
    cdef Py_ssize_t units
    cdef readonly Py_ssize_t workspace
    cdef Py_ssize_t images_at, maps_at  # of their addresses, in bytes of the job
    cdef object tables                  # that the job points into


cdef Units units_of(fc_unit_fn unit, const void *job, Py_ssize_t nbytes, const Arrays *source, const Arrays *target,
                    Py_ssize_t units, Py_ssize_t workspace, tables):
    """Return the units of a job; source and target: the arrays in it that have its images, and its maps."""
    cdef Units made = Units.__new__(Units)
    made.unit, made.units, made.workspace, made.tables = unit, units, workspace, tables
    made.job = (<const char *>job)[:nbytes]
    made.images_at = <const char *>&source.images - <const char *>job
    made.maps_at = <const char *>&target.maps - <const char *>job
    return made


cdef run_units(fc_unit_fn unit, const void *job, Py_ssize_t units, size_t workspace, Py_ssize_t threads,
               bint keep_gil=False):
    """Compute all units of a job, without the GIL as a rule, until a signal handler raises an exception."""
    cdef int status
    if keep_gil:
        status = fc_run(unit, job, units, workspace, threads, check_signals)
    else:
        with nogil:
            status = fc_run(unit, job, units, workspace, threads, check_signals)
    if status == -1:
        raise MemoryError(f"no memory for a workspace of {workspace} bytes")
    if status == -2:
        raise_pending()
