# The layouts of weight gradients, and what Python calls for them. Part of _core.pyx.
#
# Uses: buffers.pxd, job.pxi, filters.pxi, layout.pxi, weight_gradient_job.pxi, weight_direct.pxi.


@cython.final
cdef class WeightDirectLayout(Layout):
    """Gradients of filter banks by register tiles whose taps are pixels."""

    cdef WeightDirectJob job

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef WeightDirectLayout bound = WeightDirectLayout.__new__(WeightDirectLayout)
        cdef WeightDirectJob *job = &bound.job
        cdef Py_ssize_t kernel = self.job.gradient.window.taps // self.job.gradient.window.channels
        cdef Py_ssize_t pixels = most_pixels(&self.job.gradient.chunks)
        cdef Py_ssize_t *offset
        bound.inherit(self)
        bound.job = self.job
        set_pads(&job.gradient.window, pads)
        bound.tables = take_memory((kernel + pixels) * sizeof(Py_ssize_t), kernel)
        offset = <Py_ssize_t *>bound.tables.start
        bind_gradient_job(&job.gradient, arrays, offset, job.channels)
        if job.by_channels:
            job.row_step, job.gradient.input_step[0] = arrays.map_step[1], arrays.map_step[0]
        else:
            job.row_step = job.gradient.channel_step
        job.pixel_offset = offset + kernel
        note_pixel_offsets(offset + kernel, &job.gradient)
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef WeightDirectJob job = self.job
        cdef Py_ssize_t units = cut_weight_direct_job(&job, threads)
        set_addresses(&job.gradient.arrays, arrays)
        run_units(self.unit, &job, units, self.workspace, threads, keep_gil)


cdef void note_pixel_offsets(Py_ssize_t *offset, const GradientJob *job) noexcept:
    """Note the numbers from what a tap reads for the first output of a chunk to what it reads for each of them."""
    cdef Py_ssize_t n, depth, row, column
    for n in range(job.chunks.most[0]):
        for depth in range(job.chunks.most[1]):
            for row in range(job.chunks.most[2]):
                for column in range(job.chunks.most[3]):
                    offset[0] = (n * job.input_step[0] + depth * job.input_step[1] + row * job.input_step[2]
                                 + column * job.input_step[3])
                    offset += 1


cdef Py_ssize_t cut_weight_direct_job(WeightDirectJob *job, Py_ssize_t threads) noexcept nogil:
    """Cut a job into units for so many threads: fewer filters first, then fewer weights; return how many there are."""
    cdef Py_ssize_t groups = job.gradient.window.groups
    cdef Py_ssize_t wanted = ceil_div(wanted_units(threads), groups * job.least_parts)
    job.block_parts = min(job.blocks.count, wanted)
    job.row_parts = min(job.rows, job.least_parts * ceil_div(wanted, job.block_parts))
    return groups * job.row_parts * job.block_parts


def weight_direct_layout(maps_size, window, channels, filters, bits, *, chunk, row_parts, in_place, by_channels):
    """Return a layout for maps (N, D', H', W') of this size, and channels and filters of a group.

    Chunks have up to so many pixels; rows that are broadcast come in so many parts at least, of whole channels if they
    are as many. In place is for images without padding; by channels, for pointwise kernels and planes that are passed
    as one row of pixels.
    """
    cdef WeightDirectLayout layout = WeightDirectLayout.__new__(WeightDirectLayout)
    cdef WeightDirectJob *job = &layout.job
    cdef GradientJob *gradient = &job.gradient
    cdef Py_ssize_t parts = row_parts, width, batch, rows
    make_window(&gradient.window, window, channels, filters)
    gradient.ukernels = ukernels_of(bits)
    gradient.in_place = in_place
    gradient.chunks = cut_outputs(maps_size, chunk)
    shape_chunk_strip(gradient, False)
    job.by_channels = by_channels
    job.taps = 1 if by_channels else gradient.window.taps // gradient.window.channels
    job.rows = filters if by_channels else gradient.window.taps
    job.blocks = make_filter_blocks(channels if by_channels else filters, FILTERS, gradient.ukernels)
    job.least_parts = min(parts, job.rows)
    job.channels = ceil_div(channels, parts) if parts <= <Py_ssize_t>channels else min(<Py_ssize_t>channels, 2)
    rows = ceil_div(job.rows // job.taps, parts) * job.taps if parts * job.taps <= job.rows else ceil_div(job.rows, parts)
    width = FILTER_TILE_VECTORS * gradient.ukernels.lanes
    batch = min(BATCH_PANELS * width, job.blocks.padded)
    job.pixels = most_pixels(&gradient.chunks)
    job.panels = width
    job.strip = job.panels + job.pixels * batch
    job.sums = job.strip
    if not in_place:
        job.sums += gradient.chunks.most[0] * gradient.chunks.most[1] * job.channels * gradient.channel_step + SLACK
    layout.itemsize = <Py_ssize_t>bits // 8
    layout.workspace = (job.sums + rows * (batch if gradient.chunks.count == 1 else job.blocks.padded)) * layout.itemsize
    layout.weights = gradient.window.groups * gradient.window.filters * gradient.window.taps
    layout.unit = <fc_unit_fn>weight_direct_unit[float] if bits == 32 else <fc_unit_fn>weight_direct_unit[double]
    return layout


def sum_weight_gradient(images, maps, gradient, pads, Layout layout, Py_ssize_t threads):
    """Compute the gradient (K, C / groups, kd, kh, kw) of a filter bank from images and the gradient of their maps.

    images (N, C, D, H, W) have contiguous rows, or planes for a layout by channels; maps (N, K, D', H', W') contiguous
    planes; gradient is contiguous.
    """
    cdef Arrays arrays
    cdef View image = view_of(images, 5, False), map = view_of(maps, 5, False)
    cdef Py_ssize_t axis, numbers = image.shape[0]
    arrays.images, arrays.maps, arrays.batch = image.start, map.start, image.shape[0]
    arrays.bias, arrays.weight = NULL, view_of(gradient, 5, True).start
    numbers_of(gradient, layout.weights, layout.itemsize)
    for axis in range(3):
        arrays.image_size[axis], arrays.map_size[axis] = image.shape[axis + 2], map.shape[axis + 2]
        arrays.map_step[axis] = map.step[axis]
        numbers *= map.shape[axis + 2]
    for axis in range(4):
        arrays.image_step[axis] = image.step[axis]
    if numbers:
        layout.bind(&arrays, pads).run(&arrays, threads, False)
    else:
        memset(<void *>arrays.weight, 0, layout.weights * layout.itemsize)
