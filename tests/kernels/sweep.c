/* Sweeps of every variant. */
#include "check.h"

/* Pixels that the masks leave out are NaN, so that a sum with one of them would be NaN. */
static void check_sweep(const fc_kernels *kernels, const fc_sweep_variant *variant, ptrdiff_t kernel_rows, ptrdiff_t taps,
                        ptrdiff_t stride, int starts) {
    const ptrdiff_t lanes = kernels->lanes, vectors = variant->vectors, across = variant->stride_x, column = 3;
    const ptrdiff_t lines = (variant->rows - 1) * stride + kernel_rows;
    const ptrdiff_t last = (vectors - 1) * lanes - (variant->masked && vectors > 1 && across == 1);
    const ptrdiff_t width = column + vectors * lanes, seen = across * width + taps, step = width + 1;
    const ptrdiff_t inside = variant->masked ? across * column + 1 : 0, outside = variant->masked ? seen - 3 : seen;
    const unsigned all = lanes < 32 ? (1u << lanes) - 1 : ~0u;
    const unsigned store_mask = variant->masked && lanes > 1 ? all >> 1 : all;
    void *image[MAX_LINES], *weight = draw(kernel_rows * taps);
    void *start = starts ? draw(variant->rows * vectors * lanes) : NULL;
    void *map = draw(variant->rows * step), *expected = copy(map, variant->rows * step);
    ptrdiff_t offset[MAX_TAPS];
    unsigned mask[MAX_TAPS + 1] = {0}, last_mask[MAX_TAPS + 1] = {0};
    const fc_sweep sweep = {weight, offset, mask, vectors > 1 ? last_mask : mask, store_mask, kernel_rows, taps,
                            (const void *const *)image, column, last, map, step, start, starts ? vectors * lanes : 0, 2, -50, 60, 0};
    const int paired = variant->rows == 1 && !variant->masked;
    for (ptrdiff_t v = 0; v < taps + (across == 2 ? taps % 2 : 0); v++) {
        const ptrdiff_t tap = paired ? fc_paired_tap(taps, v) : v, first = across == 1 ? tap : v - v % 2 + v % 2 * lanes;
        offset[v] = tap;
        for (ptrdiff_t lane = 0; lane < lanes; lane++) {
            const ptrdiff_t in_first = across * column + first + lane, in_last = in_first + across * last;
            mask[v] |= (unsigned)(inside <= in_first && in_first < outside) << lane;
            last_mask[v] |= (unsigned)(inside <= in_last && in_last < outside) << lane;
        }
    }
    for (ptrdiff_t r = 0; r < lines; r++) {
        image[r] = draw(seen);
        for (ptrdiff_t x = 0; x < seen; x++)
            if (x < inside || x >= outside) put(image[r], x, NAN);
    }
    for (ptrdiff_t i = 0; i < variant->rows; i++)
        for (ptrdiff_t x = column; x < column + last + lanes; x++) {
            double sum = starts ? get(start, i * vectors * lanes + x - column) : sweep.bias;
            for (ptrdiff_t u = 0; u < kernel_rows; u++)
                for (ptrdiff_t v = 0; v < taps; v++) {
                    const ptrdiff_t pixel = across * x + (paired ? fc_paired_tap(taps, v) : v);
                    if (inside <= pixel && pixel < outside)
                        sum += get(weight, u * taps + v) * get(image[i * stride + u], pixel);
                }
            if (x - column < last || store_mask >> (x - column - last) & 1)
                put(expected, i * step + x, clip(sum, sweep.low, sweep.high));
        }
    variant->run(&sweep);
    compare(map, expected, variant->rows * step, "sweep", variant->rows, vectors, variant->kernel);
    for (ptrdiff_t r = 0; r < lines; r++) free(image[r]);
    free(weight);
    free(start);
}

void check_sweeps(const fc_kernels *kernels) {
    for (const fc_sweep_variant *variant = kernels->sweeps; variant->rows; variant++) {
        const ptrdiff_t kernel = variant->kernel, stride_y = variant->stride_y;
        for (ptrdiff_t more = 0; more < (kernel ? 1 : 3); more++)
            for (ptrdiff_t taps = kernel ? kernel : 1; taps <= (kernel ? kernel : 4); taps++)
                for (ptrdiff_t stride = stride_y ? stride_y : 1; stride <= (stride_y ? stride_y : 3); stride++)
                    for (int starts = 0; starts < 2; starts++)
                        check_sweep(kernels, variant, kernel ? kernel : variant->rows + more, taps, stride, starts);
    }
}
