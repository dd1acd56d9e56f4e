/* Register tiles, with pixels and with filters in the lanes. */
#include "check.h"

static void check_tile(const fc_kernels *kernels, ptrdiff_t filters, ptrdiff_t vectors, ptrdiff_t taps, int variant) {
    const ptrdiff_t lanes = kernels->lanes, width = vectors * lanes, step = width + 1;
    const ptrdiff_t filter_step = variant & PACKED ? 1 : taps, tap_step = variant & PACKED ? filters : 1;
    const double low = variant & CLIPS ? 0 : -INFINITY, high = variant & CLIPS ? 6 : INFINITY;
    ptrdiff_t offset[MAX_TAPS];
    void *weight = draw(filters * taps), *image = draw(width + 2 * taps), *bias = draw(filters > width ? filters : width);
    void *map = draw(filters * step), *expected = copy(map, filters * step);
    void *panel = draw(taps * step), *packed = copy(panel, taps * step);
    fc_tile tile = {.weight = weight, .filter_step = (ptrdiff_t)bytes(filter_step), .tap_step = (ptrdiff_t)bytes(tap_step),
                    .offset = offset, .taps = taps, .pack_to = variant & PACKS_PANEL ? panel : NULL,
                    .packed_step = (ptrdiff_t)bytes(step), .map_step = step,
                    .bias = variant & ADDS_TO_MAP ? NULL : bias, .low = low, .high = high};
    for (ptrdiff_t t = 0; t < taps; t++) offset[t] = t * 7 % (2 * taps);
    for (ptrdiff_t j = 0; j < vectors; j++) {
        /* at the end of a row the last vector lies over its neighbour */
        const ptrdiff_t first = j * lanes - (j && j == vectors - 1);
        tile.image[j] = at(image, first);
        tile.map[j] = at(map, first);
        for (ptrdiff_t t = 0; t < taps && variant & (PACKS_PANEL | READS_PANEL); t++)
            for (ptrdiff_t i = 0; i < lanes; i++) put(packed, t * step + j * lanes + i, get(image, first + offset[t] + i));
        for (ptrdiff_t i = 0; i < filters; i++)
            for (ptrdiff_t pixel = first; pixel < first + lanes; pixel++) {
                double sum = tile.bias ? get(bias, i) : get(map, i * step + pixel);
                for (ptrdiff_t t = 0; t < taps; t++)
                    sum += get(weight, i * filter_step + t * tap_step) * get(image, pixel + offset[t]);
                put(expected, i * step + pixel, clip(sum, low, high));
            }
    }
    if (variant & READS_PANEL) { /* packed by another tile */
        free(panel);
        tile.packed = panel = copy(packed, taps * step);
        tile.image[0] = NULL;
    }
    kernels->tile[filters][vectors](&tile);
    compare(map, expected, filters * step, "tile", filters, vectors, taps);
    compare(panel, packed, taps * step, "panel of a tile", filters, vectors, taps);
    free(weight), free(image), free(bias);
}

static void check_filter_tile(const fc_kernels *kernels, ptrdiff_t pixels, ptrdiff_t vectors, ptrdiff_t taps, int variant) {
    const ptrdiff_t lanes = kernels->lanes, width = vectors * lanes, step = width + 2;
    const double low = variant & CLIPS ? 0 : -INFINITY, high = variant & CLIPS ? 6 : INFINITY;
    ptrdiff_t offset[MAX_TAPS];
    void *weight = draw(taps * width), *image = draw(3 * pixels + 2 * taps), *bias = draw(width);
    void *sums = draw(pixels * step), *expected = copy(sums, pixels * step);
    fc_filter_tile tile = {.offset = offset, .taps = taps, .weight = weight, .width = width, .sums = sums, .sums_step = step,
                           .bias = variant & ADDS_TO_MAP ? NULL : bias, .low = low, .high = high};
    for (ptrdiff_t t = 0; t < taps; t++) offset[t] = t * 7 % (2 * taps);
    for (ptrdiff_t i = 0; i < pixels; i++) {
        tile.pixel[i] = at(image, 3 * i);
        for (ptrdiff_t k = 0; k < width; k++) {
            double sum = tile.bias ? get(bias, k) : get(sums, i * step + k);
            for (ptrdiff_t t = 0; t < taps; t++) sum += get(image, 3 * i + offset[t]) * get(weight, t * width + k);
            put(expected, i * step + k, clip(sum, low, high));
        }
    }
    kernels->filter_tile[pixels][vectors](&tile);
    compare(sums, expected, pixels * step, "filter tile", pixels, vectors, taps);
    free(weight), free(image), free(bias);
}

static void check_one_pixel(const fc_kernels *kernels, ptrdiff_t filters, ptrdiff_t taps, int variant) {
    const ptrdiff_t lanes = kernels->lanes;
    const double low = variant & CLIPS ? 0 : -INFINITY, high = variant & CLIPS ? 6 : INFINITY;
    ptrdiff_t offset[MAX_TAPS];
    void *weight = draw(lanes * taps), *pixel = draw(2 * taps), *bias = draw(lanes);
    void *sums = draw(lanes), *expected = copy(sums, lanes);
    fc_filter_tile tile = {.pixel = {pixel}, .offset = offset, .taps = taps, .weight = weight, .width = taps, .sums = sums,
                           .bias = variant & ADDS_TO_MAP ? NULL : bias, .low = low, .high = high};
    for (ptrdiff_t t = 0; t < taps; t++) offset[t] = 2 * t;
    for (ptrdiff_t k = 0; k < lanes; k++) {
        double sum = get(tile.bias ? bias : sums, k);
        for (ptrdiff_t t = 0; t < taps; t++) sum += get(pixel, 2 * t) * get(weight, (k < filters ? k : filters - 1) * taps + t);
        put(expected, k, clip(sum, low, high));
    }
    kernels->one_pixel(&tile, filters);
    compare(sums, expected, lanes, "one_pixel", filters, taps, variant);
    free(weight), free(pixel), free(bias);
}

void check_tiles(const fc_kernels *kernels) {
    static const ptrdiff_t taps[] = {1, 2, 9, 25};
    for (int t = 0; t < 4; t++) {
        for (ptrdiff_t filters = 1; filters <= kernels->tile_filters; filters++)
            for (ptrdiff_t vectors = 1; vectors <= kernels->tile_vectors[filters]; vectors++)
                for (int variant = 0; variant < VARIANTS; variant++) check_tile(kernels, filters, vectors, taps[t], variant);
        for (ptrdiff_t pixels = 1; pixels <= kernels->tile_filters; pixels++)
            for (ptrdiff_t vectors = 1; vectors <= FILTER_TILE_VECTORS; vectors++)
                for (int variant = 0; variant < VARIANTS; variant += PACKED + 1)
                    check_filter_tile(kernels, pixels, vectors, taps[t], variant);
    }
    for (ptrdiff_t filters = 1; filters <= kernels->lanes; filters++)
        for (ptrdiff_t count = 1; count <= 25; count++)
            for (int variant = 0; variant < VARIANTS; variant += PACKED + 1) check_one_pixel(kernels, filters, count, variant);
}
