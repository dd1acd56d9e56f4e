/* Dot products of bytes: their tiles, how pixels are packed for them, and how sums become bytes. */
#include "check.h"
#include <math.h>

static unsigned state = 7;

static int drawn(int low, int high) {
    state = state * 1664525 + 1013904223;
    return low + (int)((state >> 16) % (unsigned)(high - low + 1));
}

/* What a number holds: as many integers as there are channels in it. */
static int part(unsigned number, ptrdiff_t channels, int i, int is_signed) {
    if (channels == 2) return (int16_t)(number >> 16 * i);
    const int byte = (int)(number >> 8 * i & 255);
    return is_signed && byte > 127 ? byte - 256 : byte;
}

static unsigned number_of(ptrdiff_t channels) {
    unsigned number = 0;
    for (int i = 0; i < 4; i++) number = number << 8 | (unsigned)drawn(0, 255);
    return channels == 4 ? number : (unsigned)drawn(-255, 255) << 16 | (drawn(-255, 255) & 0xffff);
}

static void check_same(const void *found, const void *expected, size_t size, const char *what) {
    if (memcmp(found, expected, size)) fail(what);
}

static void check_byte_tile(const fc_kernels *kernels, ptrdiff_t rows, ptrdiff_t vectors, ptrdiff_t taps, int variant) {
    enum { MAX = 6 * 16 };
    static unsigned weight[64 * 8], image[MAX + 64], panel[64 * (MAX + 1)], packed[64 * (MAX + 1)];
    static int map[8 * (MAX + 1)], expected[8 * (MAX + 1)], bias[8];
    const ptrdiff_t lanes = kernels->lanes, width = vectors * lanes, filters = kernels->tile_filters, step = width + 1;
    const ptrdiff_t channels = kernels->bytes.channels;
    const unsigned flip = channels == 4 ? 0x80808080u ^ (unsigned)drawn(0, 1) * 0x3030303u : 0;
    ptrdiff_t offset[64];
    fc_tile tile = {.weight = weight, .filter_step = 4, .tap_step = 4 * filters, .offset = offset, .taps = taps,
                    .pack_to = variant & PACKS_PANEL ? panel : NULL, .packed = variant & READS_PANEL ? packed : NULL,
                    .packed_step = 4 * step, .map_step = step, .bias = variant & ADDS_TO_MAP ? NULL : bias,
                    .low = variant & CLIPS ? 0 : -INFINITY, .high = variant & CLIPS ? 60000 : INFINITY,
                    .rows = rows, .flip = flip};
    for (int i = 0; i < 64 * 8; i++) weight[i] = number_of(channels);
    for (int i = 0; i < MAX + 64; i++) image[i] = number_of(channels);
    for (int i = 0; i < 8 * (MAX + 1); i++) expected[i] = map[i] = drawn(-9999, 9999);
    for (int i = 0; i < 8; i++) bias[i] = drawn(-9999, 9999);
    for (ptrdiff_t t = 0; t < taps; t++) offset[t] = t * 7 % 64;
    for (ptrdiff_t j = 0; j < vectors; j++) {
        tile.image[j] = image + j * lanes;
        tile.map[j] = map + j * lanes;
    }
    for (ptrdiff_t t = 0; t < taps; t++)
        for (ptrdiff_t i = 0; i < width; i++) packed[t * step + i] = image[i + offset[t]];
    for (ptrdiff_t f = 0; f < rows; f++)
        for (ptrdiff_t i = 0; i < width; i++) {
            double sum = tile.bias ? bias[f] : map[f * step + i];
            for (ptrdiff_t t = 0; t < taps; t++)
                for (int c = 0; c < channels; c++)
                    sum += (double)part(weight[t * filters + f], channels, c, 1)
                         * part(image[i + offset[t]] ^ flip, channels, c, kernels->bytes.is_signed);
            expected[f * step + i] = (int)clip(sum, tile.low, tile.high);
        }
    kernels->tile[filters][vectors](&tile);
    check_same(map, expected, sizeof map, "a tile of bytes is wrong");
    for (ptrdiff_t t = 0; t < taps && variant & PACKS_PANEL; t++)
        check_same(panel + t * step, packed + t * step, 4 * (size_t)width, "a panel of bytes is wrong");
}

static void check_packing(const fc_kernels *kernels, ptrdiff_t count, int zero, int is_signed) {
    unsigned char bytes_of[4][64];
    const void *row[4];
    unsigned numbers[64];
    for (int i = 0; i < 4; i++) {
        row[i] = bytes_of[i];
        for (int n = 0; n < 64; n++) bytes_of[i][n] = (unsigned char)drawn(0, 255);
    }
    const ptrdiff_t done = kernels->bytes.pack(numbers, row, count, zero, is_signed);
    if (done != count / 16 * 16) fail("packing stops early");
    for (ptrdiff_t n = 0; n < done; n++)
        for (int i = 0; i < kernels->bytes.channels; i++) {
            const int byte = bytes_of[i][n], pixel = is_signed && byte > 127 ? byte - 256 : byte;
            const int expected = kernels->bytes.channels == 4 ? (byte ^ zero) & 255 : pixel - zero;
            if (part(numbers[n], kernels->bytes.channels, i, 0) != expected) fail("pixels are packed wrongly");
        }
}

static void check_requantizing(const fc_kernels *kernels, ptrdiff_t count, int zero, int low, int high) {
    int sums[100];
    unsigned char found[101], expected[101];
    const float multiplier = 0.25f;
    for (int i = 0; i < 100; i++) sums[i] = i % 7 ? drawn(-2000, 2000) : drawn(0, 1) ? 2147483647 : -2147483647 - 1;
    memset(found, 99, sizeof found);
    memset(expected, 99, sizeof expected);
    for (ptrdiff_t i = 0; i < count; i++)
        expected[i] = (unsigned char)(int)clip(nearbyint((double)((float)sums[i] * multiplier)) + zero, low, high);
    kernels->bytes.requantize(found, sums, count, multiplier, zero, low, high);
    check_same(found, expected, sizeof found, "sums are requantized wrongly");
}

void check_bytes(const fc_kernels *kernels) {
    for (ptrdiff_t rows = 1; rows <= kernels->tile_filters; rows++)
        for (ptrdiff_t vectors = 1; vectors <= 3; vectors++)
            for (int variant = 0; variant < 32; variant++)
                if (!(variant & PACKED) && !(variant & PACKS_PANEL && variant & READS_PANEL)) {
                    check_byte_tile(kernels, rows, vectors, 1, variant);
                    check_byte_tile(kernels, rows, vectors, 37, variant);
                }
    for (ptrdiff_t count = 0; count < 64; count += 5)
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            check_packing(kernels, count, 0, is_signed);
            check_packing(kernels, count, is_signed ? -128 : 255, is_signed);
        }
    for (ptrdiff_t count = 0; count <= 100; count++) {
        check_requantizing(kernels, count, 3, 0, 255);
        check_requantizing(kernels, count, -128, -128, 127);
    }
}
