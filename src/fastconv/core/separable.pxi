# Kernels of rank 1, weight = column x row, in two sweeps: down the columns, then along the rows. Part of _core.pyx.
#
#     strip of output rows:  image (H, W) --columns--> workspace (K, rows, W) --rows--> maps (K, rows, W')
#
# Uses: buffers.pxd, job.pxi, epilogue.pxi, sweep_job.pxi, sweep_tables.pxi, sweep.pxi, sweep_layout.pxi.


cdef struct SeparableJob:
    SweepJob down   # from images to the workspace; its groups are the image's channels
    SweepJob along  # from the workspace to maps; its groups are the filters of one channel


def convolve_separable(images, columns, rows, bias, maps, pads, SweepLayout down, SweepLayout along, size_t workspace,
                       Py_ssize_t threads, residual=None):
    """Convolve every channel of images with its kernels, split into columns (K, kh) and rows (K, kw), into maps."""
    cdef SeparableJob job
    cdef Arrays arrays
    cdef tuple tables
    cdef Py_ssize_t units, itemsize = down.itemsize
    cdef fc_unit_fn unit
    cdef Py_ssize_t offsets = count_offsets(maps.shape[1], &along.job.epilogue)
    zeros = bytes(offsets * itemsize)
    measure_arrays(&arrays, images, maps)
    set_residual(&arrays, residual, maps)
    arrays.weight = numbers_of(rows, rows.size, itemsize)
    arrays.bias = numbers_of(zeros if bias is None else bias, offsets, itemsize)
    arrays.slopes = <const char *>arrays.bias + <Py_ssize_t>maps.shape[1] * itemsize
    tables = join_passes(&job, down, along, &arrays, images.shape[1], pads)
    job.down.arrays.weight = numbers_of(columns, columns.size, itemsize)
    job.down.arrays.bias = numbers_of(zeros, offsets, itemsize)
    units = cut_sweep_job(&job.down, threads)
    unit = separable_unit_of(itemsize)
    if threads == 0:
        return units_of(unit, &job, sizeof(job), &job.down.arrays, &job.along.arrays, units, workspace,
                        (down, along, tables, zeros))
    run_units(unit, &job, units, workspace, threads)


cdef tuple join_passes(SeparableJob *job, SweepLayout down, SweepLayout along, const Arrays *arrays,
                       Py_ssize_t channels, pads):
    """Make the job of the two passes over arrays, those of `along`; return what it points into."""
    cdef Arrays *target = &job.along.arrays
    job.down, job.along = down.job, along.job
    job.down.arrays = target[0] = arrays[0]
    take_residual(&job.along.epilogue, target.residual)
    job.along.nontemporal = job.along.nontemporal and not job.along.epilogue.is_left
    job.down.arrays.map_size[2] = target.image_size[2]
    job.down.window.groups = job.down.parts = channels
    set_pads(&job.down.window, (pads[0], pads[1], 0))
    target.image_size[0], target.image_size[1] = 1, target.map_size[1]  # its images are sums (rows, W) in the workspace
    target.image_step[3] = target.image_size[2]
    set_pads(&job.along.window, (0, 0, pads[2]))
    return make_sweep_tables(&job.down), make_sweep_tables(&job.along)


cdef inline fc_unit_fn separable_unit_of(Py_ssize_t itemsize) noexcept:
    return <fc_unit_fn>separable_unit[float] if itemsize == sizeof(float) else <fc_unit_fn>separable_unit[double]


cdef void separable_unit(real *workspace, const SeparableJob *job, Py_ssize_t index) noexcept nogil:
    """Compute a strip of the maps of one channel."""
    cdef const Arrays *arrays = &job.down.arrays
    cdef Py_ssize_t channel = index % job.down.window.groups
    cdef Strip strip = find_strip(arrays, job.down.strips, index // job.down.window.groups)
    cdef real *sums = workspace  # (K, rows, W)
    workspace += (ceil_div(job.down.window.filters * strip.pixels * sizeof(real), LINE_BYTES)
                  * (LINE_BYTES // sizeof(real)))
    sweep_down(sums, workspace, job, &strip, channel)
    sweep_along(sums, workspace, job, &strip, channel)


cdef void sweep_down(real *sums, real *workspace, const SeparableJob *job, const Strip *strip,
                     Py_ssize_t channel) noexcept nogil:
    """Sum the columns of one channel's kernels, some rows at a time: sums (K, rows, W)."""
    cdef const SweepJob *down = &job.down
    cdef const real *image = <const real *>down.arrays.images + image_at(&down.arrays, strip.n, channel)
    cdef SweepInput input = divide_sweep_workspace(workspace, down)
    cdef Py_ssize_t columns = down.arrays.map_size[2], parts = ceil_div(strip.rows, down.strip_rows), part, products = 0
    cdef Range rows
    cdef Strip some
    for part in range(parts):
        rows = nth_part(strip.rows, parts, part)
        some = Strip(strip.n, strip.depth, strip.first_row + rows.first, rows.last - rows.first,
                     (rows.last - rows.first) * columns)
        if is_stopped(&products, down.window.filters * some.pixels * down.window.taps):
            return
        sweep_group(sums + rows.first * columns, strip.pixels, image, channel, down, &some, &input)


cdef void sweep_along(const real *sums, real *workspace, const SeparableJob *job, const Strip *strip,
                      Py_ssize_t channel) noexcept nogil:
    """Sum the rows of one channel's kernels over sums (K, rows, W), some rows at a time, into the maps."""
    cdef const SweepJob *along = &job.along
    cdef Py_ssize_t filters = job.down.window.filters, filter, columns = along.arrays.map_size[2]
    cdef real *maps = (<real *>along.arrays.maps
                       + map_at(&along.arrays, strip.n, channel * filters, strip.depth, strip.first_row))
    cdef SweepInput input = divide_sweep_workspace(workspace, along)
    cdef Py_ssize_t parts = ceil_div(strip.rows, along.strip_rows), part, products = 0
    cdef Range rows
    cdef Strip some
    for part in range(parts):
        rows = nth_part(strip.rows, parts, part)
        some = Strip(0, 0, rows.first, rows.last - rows.first, (rows.last - rows.first) * columns)
        for filter in range(filters):
            if is_stopped(&products, some.pixels * along.window.taps):
                return
            sweep_group(maps + filter * along.arrays.map_step[1] + rows.first * columns, 0,
                        sums + filter * strip.pixels, channel * filters + filter, along, &some, &input)
