# Bytes of neighbouring channels as numbers of 32 bits, and sums of their products as bytes. Part of _core.pyx.
#
# Uses: kernels.pxd, buffers.pxd, tile_layout.pxi.


def byte_format():
    """Return how many channels a number holds in tiles of bytes, or 0; whether these have a sign; and their lanes."""
    if byte_kernels == NULL:
        return 0, False, 1
    return byte_kernels.bytes.channels, bool(byte_kernels.bytes.is_signed), byte_kernels.lanes


def pack_pixels(images, numbers, Py_ssize_t groups, int zero, bint is_signed, TileLayout layout):
    """Pack bytes (N, C, D, H, W), of any steps, to numbers (N, G * ceil(C / G / held), D, H, W) for a layout.

    Four bytes differ from the zero point in the bits that are set; two integers of 16 bits are the pixels less the zero
    point. Where a group has no such channel, its last one takes the place, for weights of zero.
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
                                 + y * to.step[3], row, columns, source.step[4], zero, is_signed,
                                 &layout.job.ukernels.bytes)


cdef void pack_row(uint32_t *to, const uint8_t **row, Py_ssize_t count, Py_ssize_t step, int zero, bint is_signed,
                   const fc_bytes *kernels) noexcept nogil:
    """Pack pixels of a row: those that lie side by side by a micro-kernel, others and the last ones one by one."""
    cdef int sign = 128 if is_signed else 0  # (x ^ 128) - 128 is x with its sign
    cdef Py_ssize_t i, first = 0
    if step == 1:
        first = kernels.pack(to, <const void **>row, count, zero, is_signed)
    for i in range(first, count):
        if kernels.channels == 2:
            to[i] = (((row[0][i * step] ^ sign) - sign - zero) & 0xffff
                     | <uint32_t>((row[1][i * step] ^ sign) - sign - zero) << 16)
        else:
            to[i] = ((row[0][i * step] | <uint32_t>row[1][i * step] << 8 | <uint32_t>row[2][i * step] << 16
                      | <uint32_t>row[3][i * step] << 24) ^ <uint32_t>(zero & 255) * 0x1010101)


def requantize(sums, out, multipliers, int zero, int low, int high):
    """Write sums (N, K, pixels), of 32 bits, times a multiplier for each K, to bytes (N, K, pixels); all contiguous."""
    cdef Py_ssize_t batch = sums.shape[0], filters = sums.shape[1], pixels = sums.shape[2], n
    cdef const int32_t *from_ = <const int32_t *>numbers_of(sums, batch * filters * pixels, 4)
    cdef char *to = <char *>numbers_of(out, batch * filters * pixels, 1)
    cdef const float *multiplier = <const float *>numbers_of(multipliers, filters, 4)
    with nogil:
        for n in range(batch * filters):
            requantize_run(to + n * pixels, from_ + n * pixels, pixels, multiplier[n % filters], zero, low, high)


cdef void requantize_run(char *to, const int32_t *sums, Py_ssize_t count, float multiplier, int zero, int low,
                         int high) noexcept nogil:
    cdef Py_ssize_t i
    cdef float scaled, least = low - zero, most = high - zero
    if byte_kernels != NULL:
        byte_kernels.bytes.requantize(to, sums, count, multiplier, zero, low, high)
        return
    for i in range(count):
        scaled = <float>sums[i] * multiplier
        scaled = most if scaled > most else scaled if scaled > least else least
        to[i] = <char>(<int>rintf(scaled) + zero)
