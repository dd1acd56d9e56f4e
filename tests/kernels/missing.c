/* Rows of images with holes. */
#include "check.h"
#include <math.h>

static void check_keep(const fc_kernels *kernels, ptrdiff_t count, int has_mask, int ignores_nan) {
    void *pixels = draw(count), *kept = draw(count), *seen = draw(count), *numbers = draw(count), *ones = draw(count);
    unsigned char *mask = malloc((size_t)count);
    int missing = 0;
    if (!mask) exit(2);
    for (ptrdiff_t i = 0; i < count; i++) {
        const double value = i % 5 == 2 ? NAN : i % 7 == 3 ? -INFINITY : get(pixels, i);
        const int is_seen = !(has_mask && i % 3 == 1) && !(ignores_nan && isnan(value));
        put(pixels, i, value);
        mask[i] = i % 3 == 1 ? 0 : (unsigned char)(i + 1);
        put(numbers, i, is_seen ? value : 0);
        put(ones, i, is_seen);
        missing |= !is_seen;
    }
    kernels->keep(kept, seen, pixels, has_mask ? mask : NULL, count, ignores_nan);
    if (!has_mask && kernels->keep(NULL, NULL, pixels, NULL, count, ignores_nan) != missing) fail("keep: what is missing");
    compare(kept, numbers, count, "keep", count, has_mask, ignores_nan);
    compare(seen, ones, count, "keep: seen", count, has_mask, ignores_nan);
    free(pixels);
    free(mask);
}

static void check_weigh(const fc_kernels *kernels, ptrdiff_t count, double total) {
    void *sums = draw(count), *seen = draw(count), *maps = draw(count), *expected = draw(count);
    for (ptrdiff_t i = 0; i < count; i++) {
        put(seen, i, (double)(1 << i % 4));
        put(expected, i, get(sums, i) * (total ? total / get(seen, i) : 1) + 3);
    }
    kernels->weigh(maps, sums, seen, count, total, 3);
    compare(maps, expected, count, "weigh", count, (ptrdiff_t)total, 0);
    free(sums);
    free(seen);
}

void check_missing(const fc_kernels *kernels) {
    for (ptrdiff_t count = 1; count < 70; count += count < 20 ? 1 : 11)
        for (int way = 0; way < 4; way++) {
            check_keep(kernels, count, way & 1, way >> 1);
            check_weigh(kernels, count, way & 1 ? 8 : 0);
        }
}
