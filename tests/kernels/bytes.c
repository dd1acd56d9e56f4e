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

static void check_byte_tile(const fc_kernels *kernels, ptrdiff_t pixels, ptrdiff_t vectors, ptrdiff_t taps, int adds) {
    enum { MAX = BYTE_TILE_VECTORS * 16, TAPS = 40, STEP = MAX + 1 };
    static unsigned weight[TAPS * MAX], image[TILE_MAX_FILTERS * 10 + 64];
    static int sums[TILE_MAX_FILTERS * STEP], expected[TILE_MAX_FILTERS * STEP], bias[MAX];
    const ptrdiff_t width = vectors * kernels->lanes, channels = kernels->bytes.channels;
    ptrdiff_t offset[TAPS];
    fc_filter_tile tile = {.offset = offset, .taps = taps, .weight = weight, .width = width, .sums = sums, .sums_step = STEP,
                           .bias = adds ? NULL : bias};
    for (int i = 0; i < TAPS * MAX; i++) weight[i] = number_of(channels);
    for (int i = 0; i < TILE_MAX_FILTERS * 10 + 64; i++) image[i] = number_of(channels);
    for (int i = 0; i < TILE_MAX_FILTERS * STEP; i++) expected[i] = sums[i] = drawn(-9999, 9999);
    for (int i = 0; i < MAX; i++) bias[i] = drawn(-9999, 9999);
    for (ptrdiff_t t = 0; t < taps; t++) offset[t] = t * 7 % 64;
    for (ptrdiff_t p = 0; p < pixels; p++) tile.pixel[p] = image + p * 10;
    for (ptrdiff_t p = 0; p < pixels; p++)
        for (ptrdiff_t f = 0; f < width; f++) {
            int sum = adds ? sums[p * STEP + f] : bias[f];
            for (ptrdiff_t t = 0; t < taps; t++)
                for (int c = 0; c < channels; c++)
                    sum += part(weight[t * width + f], channels, c, 1)
                         * part(image[p * 10 + offset[t]], channels, c, kernels->bytes.is_signed);
            expected[p * STEP + f] = sum;
        }
    kernels->filter_tile[pixels][vectors](&tile);
    check_same(sums, expected, sizeof sums, "a tile of bytes is wrong");
}

static void check_packing(const fc_kernels *kernels, ptrdiff_t count, int change, int is_signed) {
    unsigned char bytes_of[4][64];
    const void *row[4];
    unsigned numbers[64];
    for (int i = 0; i < 4; i++) {
        row[i] = bytes_of[i];
        for (int n = 0; n < 64; n++) bytes_of[i][n] = (unsigned char)drawn(0, 255);
    }
    const ptrdiff_t done = kernels->bytes.pack(numbers, row, count, change, is_signed);
    if (done != count / 16 * 16) fail("packing stops early");
    for (ptrdiff_t n = 0; n < done; n++)
        for (int i = 0; i < kernels->bytes.channels; i++) {
            const int byte = bytes_of[i][n], pixel = is_signed && byte > 127 ? byte - 256 : byte;
            const int expected = kernels->bytes.channels == 4 ? (byte ^ change) & 255 : pixel - change;
            if (part(numbers[n], kernels->bytes.channels, i, 0) != expected) fail("pixels are packed wrongly");
        }
}

static void check_requantizing(const fc_kernels *kernels, ptrdiff_t pixels, ptrdiff_t filters, int zero, int is_signed) {
    enum { PIXELS = 40, STEP = 48, MAP_STEP = 43 };
    static int sums[PIXELS * STEP];
    static unsigned char found[STEP * MAP_STEP], expected[STEP * MAP_STEP];
    const int low = is_signed ? -128 : 0;
    float *multipliers = malloc((size_t)filters * sizeof(float)); /* so that a sanitizer sees what is read beyond them */
    for (ptrdiff_t f = 0; f < filters; f++) multipliers[f] = f % 3 ? 0.25f : 3e30f;
    for (int i = 0; i < PIXELS * STEP; i++) sums[i] = i % 7 ? drawn(-2000, 2000) : drawn(0, 1) ? 2147483647 : -2147483647 - 1;
    memset(found, 99, sizeof found);
    memset(expected, 99, sizeof expected);
    for (ptrdiff_t f = 0; f < filters; f++)
        for (ptrdiff_t p = 0; p < pixels; p++) {
            const double sum = nearbyint((double)((float)sums[p * STEP + f] * multipliers[f])) + zero;
            expected[f * MAP_STEP + p] = (unsigned char)(int)clip(sum, low, low + 255);
        }
    kernels->bytes.requantize(found, MAP_STEP, sums, STEP, pixels, filters, multipliers, zero, is_signed);
    check_same(found, expected, sizeof found, "sums are requantized wrongly");
    free(multipliers);
}

void check_bytes(const fc_kernels *kernels) {
    for (ptrdiff_t pixels = kernels->pixel_unit; pixels <= kernels->tile_filters; pixels += kernels->pixel_unit)
        for (ptrdiff_t vectors = 1; vectors <= BYTE_TILE_VECTORS; vectors++)
            for (int adds = 0; adds < 2 && kernels->filter_tile[pixels][vectors]; adds++) {
                check_byte_tile(kernels, pixels, vectors, 1, adds);
                check_byte_tile(kernels, pixels, vectors, 37, adds);
            }
    for (ptrdiff_t count = 0; count < 64; count += 5)
        for (int is_signed = 0; is_signed < 2; is_signed++) {
            check_packing(kernels, count, 0, is_signed);
            check_packing(kernels, count, is_signed ? -128 : 255, is_signed);
        }
    for (ptrdiff_t pixels = 1; pixels <= 40; pixels++)
        for (ptrdiff_t filters = 1; filters <= 40; filters += 3) {
            check_requantizing(kernels, pixels, filters, 3, 0);
            check_requantizing(kernels, pixels, filters, 255, 0);
            check_requantizing(kernels, pixels, filters, -128, 1);
        }
}
