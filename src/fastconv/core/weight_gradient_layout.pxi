# The layouts of weight gradients, and what Python calls for them. Part of _core.pyx.
#
# Uses: buffers.pxd, job.pxi, filters.pxi, layout.pxi, weight_gradient_job.pxi, weight_direct.pxi, weight_dot.pxi,
# weight_stack.pxi.


@cython.final
cdef class WeightDirectLayout(Layout):
    """Gradients of filter banks by register tiles whose taps are pixels."""

    cdef WeightDirectJob job
    cdef Py_ssize_t chunk  # pixels, at most

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef WeightDirectLayout bound = WeightDirectLayout.__new__(WeightDirectLayout)
        cdef WeightDirectJob *job = &bound.job
        cdef GradientJob *gradient = &job.gradient
        cdef Py_ssize_t kernel = self.job.gradient.window.taps // self.job.gradient.window.channels, strip
        bound.inherit(self)
        bound.job = self.job
        set_pads(&gradient.window, pads)
        strip = bind_gradient_job(gradient, arrays, self.chunk, False, job.channels)
        job.row_step = gradient.channel_step
        if job.by_channels:
            job.row_step, gradient.input_step[0] = arrays.map_step[1], arrays.map_step[0]
        bound.workspace = divide_weight_workspace(job, strip) * self.itemsize
        bound.tables = take_memory((kernel + job.pixels) * sizeof(Py_ssize_t), kernel)
        note_gradient_taps(<Py_ssize_t *>bound.tables.start, gradient)
        note_pixel_offsets(<Py_ssize_t *>bound.tables.start + kernel, job)
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef WeightDirectJob job = self.job
        cdef Py_ssize_t units = cut_weight_direct_job(&job, threads)
        set_addresses(&job.gradient.arrays, arrays)
        run_units(self.unit, &job, units, self.workspace, threads, keep_gil)


cdef Py_ssize_t divide_weight_workspace(WeightDirectJob *job, Py_ssize_t strip) noexcept:
    """Note where panels, a strip of so many numbers and sums lie, and return the numbers of them all."""
    cdef const Chunks *chunks = &job.gradient.chunks
    cdef Py_ssize_t width = FILTER_TILE_VECTORS * job.blocks.unit, batch = min(BATCH_PANELS * width, job.blocks.padded)
    job.pixels = chunks.most[0] * chunks.most[1] * chunks.most[2] * chunks.most[3]
    job.panels, job.strip = width, width + job.pixels * batch
    job.sums = job.strip + strip
    return job.sums + job.most_rows * (batch if chunks.count == 1 else job.blocks.padded)


cdef void note_pixel_offsets(Py_ssize_t *offset, WeightDirectJob *job) noexcept:
    """Note the numbers from what a tap reads for the first output of a chunk to what it reads for each of them."""
    cdef const Py_ssize_t *most = &job.gradient.chunks.most[0]
    cdef const Py_ssize_t *step = &job.gradient.input_step[0]
    cdef Py_ssize_t n, depth, row, column
    job.pixel_offset = offset
    for n in range(most[0]):
        for depth in range(most[1]):
            for row in range(most[2]):
                for column in range(most[3]):
                    offset[0] = n * step[0] + depth * step[1] + row * step[2] + column * step[3]
                    offset += 1


cdef Py_ssize_t cut_weight_direct_job(WeightDirectJob *job, Py_ssize_t threads) noexcept nogil:
    """Cut a job into units for so many threads: fewer filters first, then fewer weights; return how many there are."""
    cdef Py_ssize_t groups = job.gradient.window.groups
    cdef Py_ssize_t wanted = ceil_div(wanted_units(threads), groups * job.least_parts)
    job.block_parts = min(job.blocks.count, wanted)
    job.row_parts = min(job.rows, job.least_parts * ceil_div(wanted, job.block_parts))
    return groups * job.row_parts * job.block_parts


def weight_direct_layout(window, channels, filters, bits, *, chunk, row_parts, in_place, by_channels):
    """Return a layout of the weight's gradient by register tiles, for channels and filters of a group.

    Chunks have up to so many pixels. Weights of a filter come in so many parts at least, of whole channels if there are
    as many: parts of the strip and the sums. In place is for images without padding; by channels, for kernels of one
    tap without stride or padding, and planes that are passed as one row.
    """
    cdef WeightDirectLayout layout = WeightDirectLayout.__new__(WeightDirectLayout)
    cdef WeightDirectJob *job = &layout.job
    cdef GradientJob *gradient = &job.gradient
    cdef Py_ssize_t steps
    make_window(&gradient.window, window, channels, filters)
    gradient.ukernels, gradient.in_place = ukernels_of(bits), in_place
    job.by_channels = by_channels
    job.taps = 1 if by_channels else gradient.window.taps // gradient.window.channels
    job.rows = filters if by_channels else gradient.window.taps
    job.blocks = make_filter_blocks(channels if by_channels else filters, FILTERS, gradient.ukernels)
    job.least_parts = min(<Py_ssize_t>row_parts, job.rows)
    steps = job.taps if job.least_parts <= job.rows // job.taps else 1
    job.most_rows = ceil_div(job.rows // steps, job.least_parts) * steps
    job.channels = min(gradient.window.channels, job.most_rows // job.taps if steps > 1 or job.taps == 1 else 2)
    layout.chunk, layout.itemsize = chunk, <Py_ssize_t>bits // 8
    layout.weights = gradient.window.groups * gradient.window.filters * gradient.window.taps
    layout.unit = <fc_unit_fn>weight_direct_unit[float] if bits == 32 else <fc_unit_fn>weight_direct_unit[double]
    return layout


@cython.final
cdef class WeightDotLayout(Layout):
    """Gradients of filter banks of few channels by dot products."""

    cdef WeightDotJob job
    cdef Py_ssize_t chunk  # pixels, at most

    cdef Layout bind(self, const Arrays *arrays, pads):
        cdef WeightDotLayout bound = WeightDotLayout.__new__(WeightDotLayout)
        cdef WeightDotJob *job = &bound.job
        cdef GradientJob *gradient = &job.gradient
        cdef const Py_ssize_t *most = &gradient.chunks.most[0]
        cdef Py_ssize_t kernel = self.job.gradient.window.taps // self.job.gradient.window.channels
        bound.inherit(self)
        bound.job = self.job
        set_pads(&gradient.window, pads)
        job.maps = job.sums = bind_gradient_job(gradient, arrays, self.chunk, not job.stacks, gradient.window.channels)
        bound.tables = take_memory(kernel * sizeof(Py_ssize_t), kernel)
        note_gradient_taps(<Py_ssize_t *>bound.tables.start, gradient)
        if job.stacks:
            interleave_strip(gradient, <Py_ssize_t *>bound.tables.start, kernel)
            job.maps *= DOT_SUMS
            job.sums = job.maps + most[2] * most[3] * DOT_SUMS
        job.chunk_sums = job.sums + gradient.window.filters * gradient.window.taps * DOT_SUMS
        bound.workspace = (2 * job.chunk_sums - job.sums) * self.itemsize
        return bound

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        cdef WeightDotJob job = self.job
        cdef Py_ssize_t groups = job.gradient.window.groups, units
        set_addresses(&job.gradient.arrays, arrays)
        job.parts = min(ceil_div(job.gradient.window.filters, job.gradient.ukernels.dot_gradients),
                        ceil_div(wanted_units(threads), groups))
        units = ceil_div(groups, DOT_SUMS) if job.stacks else groups * job.parts
        run_units(self.unit, &job, units, self.workspace, threads, keep_gil)


cdef void interleave_strip(GradientJob *job, Py_ssize_t *tap_offset, Py_ssize_t kernel) noexcept:
    """Make room for DOT_SUMS channels at every place of a strip."""
    cdef Py_ssize_t n
    job.plane_step *= DOT_SUMS
    for n in range(4):
        job.input_step[n] *= DOT_SUMS
    for n in range(kernel):
        tap_offset[n] *= DOT_SUMS


def weight_dot_layout(window, channels, filters, bits, *, chunk, in_place, stacks):
    """Return a layout of the weight's gradient by dot products, for channels and filters of a group.

    Chunks have up to so many pixels. In place is for images without padding, and column stride 1. Stacks are for groups
    of one channel, whose maps they interleave, never in place.
    """
    cdef WeightDotLayout layout = WeightDotLayout.__new__(WeightDotLayout)
    cdef WeightDotJob *job = &layout.job
    cdef GradientJob *gradient = &job.gradient
    make_window(&gradient.window, window, channels, filters)
    gradient.ukernels, gradient.in_place, job.stacks = ukernels_of(bits), in_place, stacks
    job.shifts = ((stacks or filters == 1) and gradient.window.axis[1].dilation == 1
                  and gradient.window.axis[1].taps > 1)
    layout.chunk, layout.itemsize = chunk, <Py_ssize_t>bits // 8
    layout.weights = gradient.window.groups * gradient.window.filters * gradient.window.taps
    if stacks:
        layout.unit = <fc_unit_fn>weight_stack_unit[float] if bits == 32 else <fc_unit_fn>weight_stack_unit[double]
    else:
        layout.unit = <fc_unit_fn>weight_dot_unit[float] if bits == 32 else <fc_unit_fn>weight_dot_unit[double]
    return layout


def sum_weight_gradient(images, maps, gradient, pads, Layout layout, Py_ssize_t threads):
    """Compute the gradient (K, C / groups, kd, kh, kw) of a filter bank from images and the gradient of their maps.

    images (N, C, D, H, W) have contiguous rows, or planes if lanes are channels; maps (N, K, D', H', W') have
    contiguous rows and columns; gradient is contiguous.
    """
    cdef Arrays arrays
    cdef View image = view_of(images, 5, False), map = view_of(maps, 5, False)
    cdef Py_ssize_t axis, numbers = image.shape[0]
    numbers_of(gradient, layout.weights, layout.itemsize)
    arrays.images, arrays.maps, arrays.batch = image.start, map.start, image.shape[0]
    arrays.bias, arrays.weight = NULL, view_of(gradient, 5, True).start
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
