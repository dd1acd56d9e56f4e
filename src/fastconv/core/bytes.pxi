# Bytes of neighbouring channels as numbers of 32 bits, and sums of their products as bytes. Part of _core.pyx.
#
# Uses: kernels.pxd, buffers.pxd, tile_layout.pxi.


cdef enum:
    REQUANTIZED_PIXELS = 64  # of up to 16 filters at a time


def byte_format():
    """Return how many channels a number holds in tiles of bytes, or 0; whether these have a sign; and their lanes."""
    if byte_kernels == NULL:
        return 0, False, 1
    return byte_kernels.bytes.channels, bool(byte_kernels.bytes.is_signed), byte_kernels.lanes


def pack_pixels(images, numbers, Py_ssize_t groups, int change, bint is_signed, TileLayout layout):
    """Pack bytes (N, C, D, H, W), of any steps, to numbers (N, G * ceil(C / G / held), D, H, W) for a layout.

    Four bytes differ from the pixels in the bits of a byte that are set in `change`; two integers of 16 bits are the
    pixels less `change`. Where a group has no such channel, its last one takes the place, for weights of zero.
    """
    cdef View source = view_of(images, 5, False), to = view_of(numbers, 5, True)
    cdef Py_ssize_t channels = source.shape[1] // groups, packed = to.shape[1] // groups, n, q, z, y, c, i
    cdef Py_ssize_t columns = source.shape[4], held = layout.job.ukernels.bytes.channels
    if source.step[3] == columns * source.step[4] and source.step[2] == source.shape[3] * source.step[3]:
        columns *= source.shape[2] * source.shape[3]  # a plane is one row
        source.shape[2] = source.shape[3] = 1
    cdef const uint8_t *row[4]
    with nogil:
        for n in range(source.shape[0]):
            for q in range(to.shape[1]):
                for z in range(source.shape[2]):
                    for y in range(source.shape[3]):
                        for i in range(held):
                            c = q // packed * channels + min(q % packed * held + i, channels - 1)
                            row[i] = (<const uint8_t *>source.start + n * source.step[0] + c * source.step[1]
                                      + z * source.step[2] + y * source.step[3])
                        pack_row(<uint32_t *>to.start + n * to.step[0] + q * to.step[1] + z * to.step[2]
                                 + y * to.step[3], row, columns, source.step[4], change, is_signed,
                                 &layout.job.ukernels.bytes)


cdef void pack_row(uint32_t *to, const uint8_t **row, Py_ssize_t count, Py_ssize_t step, int change, bint is_signed,
                   const fc_bytes *kernels) noexcept nogil:
    """Pack pixels of a row: those that lie side by side by a micro-kernel, others and the last ones one by one."""
    cdef int sign = 128 if is_signed else 0  # (x ^ 128) - 128 is x with its sign
    cdef Py_ssize_t i, first = 0
    if step == 1:
        first = kernels.pack(to, <const void **>row, count, change, is_signed)
    for i in range(first, count):
        if kernels.channels == 2:
            to[i] = (((row[0][i * step] ^ sign) - sign - change) & 0xffff
                     | <uint32_t>((row[1][i * step] ^ sign) - sign - change) << 16)
        else:
            to[i] = ((row[0][i * step] | <uint32_t>row[1][i * step] << 8 | <uint32_t>row[2][i * step] << 16
                      | <uint32_t>row[3][i * step] << 24) ^ <uint32_t>(change & 255) * 0x1010101)


def requantize(sums, out, multipliers, int zero, bint is_signed):
    """Write sums (N, K, pixels), of 32 bits, times a multiplier for each K, to bytes (N, K, pixels); all contiguous."""
    cdef Py_ssize_t batch = sums.shape[0], filters = sums.shape[1], pixels = sums.shape[2], n
    cdef const int32_t *source = <const int32_t *>numbers_of(sums, batch * filters * pixels, 4)
    cdef char *to = <char *>numbers_of(out, batch * filters * pixels, 1)
    cdef const float *multiplier = <const float *>numbers_of(multipliers, filters, 4)
    with nogil:
        for n in range(batch):
            requantize_image(to + n * filters * pixels, source + n * filters * pixels, filters, pixels, multiplier,
                             zero, is_signed)


cdef void requantize_image(char *to, const int32_t *sums, Py_ssize_t filters, Py_ssize_t pixels,
                           const float *multipliers, int zero, bint is_signed) noexcept nogil:
    """Write sums (K, pixels) to bytes: where there are micro-kernels for it, transposed some at a time."""
    cdef int32_t[16 * REQUANTIZED_PIXELS] turned
    cdef Py_ssize_t filter, pixel, some, count
    cdef float scaled, low = (-128 if is_signed else 0) - zero
    filter = 0
    while byte_kernels != NULL and filter < filters:
        some, pixel = min(filters - filter, 16), 0
        while pixel < pixels:
            count = min(pixels - pixel, <Py_ssize_t>REQUANTIZED_PIXELS)
            byte_kernels.transpose(turned, 16, sums + filter * pixels + pixel, pixels, some, count)
            byte_kernels.bytes.requantize(to + filter * pixels + pixel, pixels, turned, 16, count, some,
                                          multipliers + filter, zero, is_signed)
            pixel += count
        filter += some
    for filter in range(filter, filters):
        for pixel in range(filter * pixels, (filter + 1) * pixels):
            scaled = <float>sums[pixel] * multipliers[filter]
            scaled = low + 255 if scaled > low + 255 else scaled if scaled > low else low
            to[pixel] = <char>(<int>rintf(scaled) + zero)
