# The layout of gradients of weights by Winograd's forms, and what Python calls for it. Part of _core.pyx.
#
# Uses: buffers.pxd, job.pxi, filters.pxi, memory.pxi, winograd_job.pxi, winograd_layout.pxi, weight_winograd.pxi.


@cython.final
cdef class WeightWinogradLayout:
    """The gradient of weights by the forms of rows and columns, in blocks of so many tiles."""

    cdef readonly Py_ssize_t workspace  # bytes that each thread works in
    cdef WeightWinogradJob job
    cdef Py_ssize_t itemsize
    cdef Py_ssize_t block_strips        # of a block at most,
    cdef Py_ssize_t strip_tiles         # and tiles of a strip with the same remainder by the dilation
    cdef WinogradLayout image, maps     # whose matrices the job points into
    cdef list tables                    # of the job's own
    cdef fc_unit_fn transform_unit, product_unit

    cdef const void *table(self, values, dtype) except NULL:
        cdef bytes numbers = values.astype(dtype).tobytes()
        self.tables.append(numbers)
        return <const char *>numbers

    cdef spread_outputs(self, AxisTransform *maps):
        """Let tiles of maps be the outputs of a form, transformed by A^T."""
        cdef Phase *phase = <Phase *>maps.phase  # of this layout alone
        phase.forward, phase.B = phase.form.spread, phase.A
        maps.inputs = maps.tile_step = maps.outputs

    cdef divide(self, forms, Py_ssize_t tiles):
        """Choose steps and places for blocks of up to so many tiles."""
        cdef WeightWinogradJob *job = &self.job
        cdef const FilterBlocks *blocks = &job.image.blocks
        cdef const AxisTransform *y = &job.image.y
        cdef const AxisTransform *x = &job.image.x
        cdef Py_ssize_t lanes = job.image.ukernels.lanes, positions = y.positions * x.positions
        cdef Py_ssize_t channels = min(UNIT_CHANNELS, job.image.channels), taps = y.taps * x.taps
        job.G_y = self.table(forms[0].G[list(forms[0].row)], f"f{self.itemsize}")
        job.G_x = self.table(forms[1].G[list(forms[1].row)], f"f{self.itemsize}")
        job.offset = <const Py_ssize_t *>self.table(np.arange(tiles) * job.image.many.tile_step, np.intp)
        job.width = ceil_div(blocks.units, blocks.count) * lanes
        # Odd numbers of vectors: neighbours, whole powers of two apart, would evict one another from the cache.
        job.maps.many.position_step = (tiles * job.width // lanes // 2 * 2 + 1) * lanes
        job.map_block_step = positions * job.maps.many.position_step
        job.sums_step = (channels * job.width // lanes // 2 * 2 + 1) * lanes
        job.at.sums = job.width
        job.at.between = job.at.sums + positions * job.sums_step
        job.at.totals = job.at.between + y.taps * x.positions * job.width
        self.workspace = max(max(job.image.at.tiles, job.maps.at.tiles),
                             job.at.totals + channels * taps * job.width) * self.itemsize


cdef measure_image(Arrays *arrays, images, maps):
    """Note the address, sizes and steps of images (N, C, D, H, W), and the sizes of maps (N, K, D', H', W')."""
    cdef View image = view_of(images, 5, False)
    cdef Py_ssize_t axis
    arrays.images, arrays.batch = image.start, image.shape[0]
    for axis in range(3):
        arrays.image_size[axis], arrays.map_size[axis] = image.shape[axis + 2], maps.shape[axis + 2]
    for axis in range(4):
        arrays.image_step[axis] = image.step[axis]


def weight_winograd_layout(window, channels, filters, bits, forms, splits, Py_ssize_t block_strips,
                           Py_ssize_t strip_tiles):
    """Return a layout of these forms and splits of rows and columns, for channels and filters of a group.

    Blocks have up to block_strips strips: rows of tiles or, where these have more than strip_tiles, parts of them.
    """
    cdef WeightWinogradLayout layout = WeightWinogradLayout.__new__(WeightWinogradLayout)
    cdef WeightWinogradJob *job = &layout.job
    dilation, groups = window[2:4]
    one, whole = (1, 1, 1), ((1, 1, 0), (1, 1, 0))
    phases = [(form,) for form in forms]
    layout.image = winograd_layout(window, channels, filters, bits, phases, splits, False, block_strips, strip_tiles, 0)
    others = one, one, dilation, groups, ZEROS, ACTIVATIONS[None]
    layout.maps = winograd_layout(others, filters, channels, bits, phases, whole, False, block_strips, strip_tiles, 0)
    layout.itemsize, layout.tables = <Py_ssize_t>bits // 8, []
    layout.block_strips, layout.strip_tiles = block_strips, strip_tiles
    job.image, job.maps = layout.image.job, layout.maps.job
    layout.spread_outputs(&job.maps.y)
    layout.spread_outputs(&job.maps.x)
    layout.divide(forms, block_strips * strip_tiles * job.image.window.axis[2].dilation)
    if bits == 32:
        layout.transform_unit = <fc_unit_fn>weight_transform_unit[float]
        layout.product_unit = <fc_unit_fn>weight_product_unit[float]
    else:
        layout.transform_unit = <fc_unit_fn>weight_transform_unit[double]
        layout.product_unit = <fc_unit_fn>weight_product_unit[double]
    return layout


def weight_gradient_winograd(images, maps, gradient, pads, WeightWinogradLayout layout, Py_ssize_t threads):
    """Compute the gradient of weights from images (N, C, D, H, W) and the gradient of their maps (N, K, D', H', W').

    gradient (K, virtual channels of a group, taps of their kernels) is contiguous, and so are rows of images and maps;
    pads are those in front of each axis of the images. Return whether all of the gradient is finite.
    """
    cdef WeightWinogradJob job = layout.job
    cdef const WinogradJob *image = &job.image
    cdef Py_ssize_t transforms = ceil_div(image.views, image.ukernels.lanes) + image.blocks.count
    cdef Py_ssize_t products = image.blocks.count * ceil_div(image.channels, UNIT_CHANNELS)
    cdef Py_ssize_t taps = image.y.taps * image.x.taps, blocks, block
    cdef bint nonfinite = False
    measure_image(&job.image.arrays, images, maps)
    measure_image(&job.maps.arrays, maps, maps)
    set_pads(&job.image.window, pads)
    job.column_parts = ceil_div(count_tiles(image, &image.x, 2), layout.strip_tiles)
    job.strips = (image.arrays.batch * image.arrays.map_size[0] * image.window.axis[1].dilation * job.column_parts
                  * count_tiles(image, &image.y, 1))
    blocks = ceil_div(job.strips, layout.block_strips)
    job.gradient = <void *>numbers_of(gradient, image.window.groups * image.window.filters * image.channels * taps,
                                      layout.itemsize)
    numbers = [image.y.positions * image.x.positions * image.many.position_step,
               image.blocks.count * job.map_block_step,
               image.blocks.count * image.channels * taps * job.width if blocks > 1 else 0]
    shared = empty((sum(numbers),), np.dtype(f"f{layout.itemsize}"))
    job.image_tiles = view_of(shared, 1, True).start
    job.map_tiles = <char *>job.image_tiles + <Py_ssize_t>numbers[0] * layout.itemsize
    job.nonfinite = &nonfinite
    job.totals = NULL if blocks <= 1 else <char *>job.map_tiles + <Py_ssize_t>numbers[1] * layout.itemsize
    for job.group in range(image.window.groups):
        for block in range(blocks):
            job.block = nth_part(job.strips, blocks, block)
            run_units(layout.transform_unit, &job, transforms, layout.workspace, threads)
            run_units(layout.product_unit, &job, products, layout.workspace, threads)
    return not nonfinite
