# Kernels of rank 1 in two passes. Part of _core.pyx.


cdef struct Passes:
    # Kernels of rank 1 in two passes: `job` slides their rows along what `columns` left of the image.
    Job job
    Job columns


def convolve_separable(const real[:, :, :, :, :] images, const real[:, ::1] columns, const real[:, ::1] rows,
                       const real[:] bias, real[:, :, :, :, :] maps, pads, SweepLayout down, SweepLayout along,
                       size_t workspace, Py_ssize_t threads):
    """Convolve every channel of images with its kernels, split into columns (K, kh) and rows (K, kw), into maps."""
    cdef Passes passes
    cdef const real[:] zeros = np.zeros(maps.shape[1], np.float32 if real is float else np.float64)
    cdef Job *job = &passes.job
    if bias is None:
        bias = zeros
    job[0], passes.columns = along.job, down.job
    see_arrays(job, images, maps, (0, 0, pads[2]))
    see_arrays(&passes.columns, images, maps, (pads[0], pads[1], 0))
    job.weight, job.bias, passes.columns.weight = &rows[0, 0], &bias[0], &columns[0, 0]
    passes.columns.bias = &zeros[0]
    passes.columns.map_size[2] = job.image_step[3] = images.shape[4]
    passes.columns.groups = passes.columns.parts = images.shape[1]
    cdef Placing places_along = Placing(), places_down = Placing()
    places_along.prepare(job)
    places_down.prepare(&passes.columns)
    share_out(&passes.columns, images.shape[0], threads)
    job.units = passes.columns.units
    run(<fc_unit_fn>passes_unit[real], job, workspace, threads)


cdef void passes_unit(real *workspace, const Passes *passes, Py_ssize_t index) noexcept nogil:
    """Compute a strip of the maps that see one channel: columns down the image, then rows along what they leave."""
    cdef Job columns = passes.columns, rows = passes.job
    cdef Unit unit = find_unit(&columns, index)
    cdef Py_ssize_t channel = index % columns.groups
    columns.images = <const real *>columns.images + unit.n * columns.image_step[0] + channel * columns.image_step[1]
    columns.weight = <const real *>columns.weight + channel * columns.filters * columns.taps
    columns.axis[0].pad -= unit.depth * columns.axis[0].stride
    columns.axis[1].pad -= unit.first_row * columns.axis[1].stride  # further down the image
    rows.weight = <const real *>rows.weight + channel * rows.groups * rows.taps
    rows.bias = <const real *>rows.bias + channel * rows.groups
    rows.maps = (<real *>rows.maps + unit.n * rows.map_step[0] + channel * rows.groups * rows.map_step[1]
                 + unit.depth * rows.map_step[2] + unit.first_row * rows.map_size[2])
    columns.maps = rows.images = workspace  # (K, rows, W)
    columns.map_step[1] = rows.image_step[1] = unit.pixels
    columns.map_size[0] = rows.map_size[0] = rows.size[0] = columns.groups = columns.parts = 1
    columns.map_size[1] = rows.map_size[1] = rows.size[1] = unit.rows
    workspace += ceiling(columns.filters * unit.pixels * sizeof(real), LINE_BYTES) * (LINE_BYTES // sizeof(real))
    sweep_strips(workspace, &columns)
    sweep_strips(workspace, &rows)


cdef void sweep_strips(real *workspace, Job *job) noexcept nogil:
    """Compute all strips of a job of sweeps, one after the other."""
    cdef Py_ssize_t strip
    job.strips = ceiling(job.map_size[1], job.strip_rows)
    for strip in range(job.strips):
        sweep_unit(workspace, job, strip)
