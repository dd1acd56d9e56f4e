/* Rows of a transposed convolution whose phases are interleaved. */
#include "check.h"
#include <math.h>

static void check_row(const fc_kernels *kernels, ptrdiff_t filters, ptrdiff_t phases, ptrdiff_t columns, int nontemporal) {
    const ptrdiff_t lanes = kernels->lanes, pixels = columns / phases + 1, seen = pixels + 4 * lanes + MAX_TAPS;
    const ptrdiff_t map_step = (columns + lanes) / lanes * lanes;
    ptrdiff_t offset[MAX_TAPS], first[MAX_TAPS], taps = 0;
    for (ptrdiff_t p = 0; p < phases; p++) {
        first[p] = taps;
        for (ptrdiff_t t = 0; t < 3 * p % 5; t++, taps++) offset[taps] = 7 * taps % MAX_TAPS; /* none for phase 0 */
    }
    first[phases] = taps;
    void *weight = draw(taps * filters + 1), *image = draw(seen), *bias = draw(filters);
    void *sums = draw(phases * filters * INTERLEAVED_VECTORS * lanes), *room = draw(filters * map_step + lanes);
    void *map = nontemporal ? aligned(room, lanes) : at(room, 1), *expected = copy(map, filters * map_step);
    const fc_interleaved_row request = {
        .weight = weight, .image = image, .offset = offset, .first = first, .phases = phases, .columns = columns,
        .chunk = nontemporal ? 8 : 2, .sums = sums, .map = map, .map_step = map_step, .bias = bias, .low = 0, .high = 6,
        .nontemporal = nontemporal};
    for (ptrdiff_t f = 0; f < filters; f++)
        for (ptrdiff_t x = 0; x < columns; x++) {
            double sum = get(bias, f);
            for (ptrdiff_t t = first[x % phases]; t < first[x % phases + 1]; t++)
                sum += get(weight, t * filters + f) * get(image, offset[t] + x / phases);
            put(expected, f * map_step + x, clip(sum, 0, 6));
        }
    kernels->interleaved_row[filters](&request);
    compare(copy(map, filters * map_step), expected, filters * map_step, "interleaved_row", filters, phases, columns);
    free(weight), free(image), free(bias), free(sums), free(room);
}

void check_interleaved_rows(const fc_kernels *kernels) {
    for (ptrdiff_t filters = 1; filters <= kernels->tile_filters; filters++)
        for (ptrdiff_t phases = 1; phases <= 9; phases++)
            for (ptrdiff_t columns = 1; columns <= 5 * phases * kernels->lanes; columns += 1 + columns / 4)
                for (int nontemporal = 0; nontemporal < 2; nontemporal++)
                    check_row(kernels, filters, phases, columns, nontemporal);
}
