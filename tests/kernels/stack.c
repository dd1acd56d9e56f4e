/* Stacks of every variant. */
#include "check.h"
#include <math.h>

/* One row lies beyond the image; if its zeros are not skipped, one of its weights is infinite. */
static void check_stack(const fc_kernels *kernels, const fc_stack_variant *variant, ptrdiff_t pad, int skip_zeros) {
    const ptrdiff_t lanes = kernels->lanes, taps = variant->taps, across = variant->stride_x;
    const ptrdiff_t column = 2, pixels = column + variant->pixels;
    const ptrdiff_t columns = (pixels - 1) * across + taps - 2 * pad, kernel_rows = 4, missing = 1;
    void *weight = draw(kernel_rows * taps * lanes), *bias = draw(lanes), *image[4];
    void *map = draw(pixels * lanes), *expected = copy(map, pixels * lanes);
    const fc_stack stack = {weight, bias, kernel_rows, columns, pad, (const void *const *)image, column, map, skip_zeros};
    for (ptrdiff_t u = 0; u < kernel_rows; u++) image[u] = u == missing ? NULL : draw(columns * lanes);
    if (!skip_zeros) put(weight, missing * taps * lanes, INFINITY);
    for (ptrdiff_t i = column * lanes; i < pixels * lanes; i++) {
        double sum = get(bias, i % lanes);
        for (ptrdiff_t u = 0; u < kernel_rows; u++)
            for (ptrdiff_t v = 0; v < taps; v++) {
                const ptrdiff_t x = i / lanes * across + v - pad;
                const double pixel = image[u] && 0 <= x && x < columns ? get(image[u], x * lanes + i % lanes) : 0;
                sum += get(weight, (u * taps + v) * lanes + i % lanes) * pixel;
            }
        put(expected, i, sum);
    }
    variant->run(&stack);
    compare(map, expected, pixels * lanes, "stack", variant->pixels, taps, across);
    for (ptrdiff_t u = 0; u < kernel_rows; u++) free(image[u]);
    free(weight), free(bias);
}

void check_stacks(const fc_kernels *kernels) {
    for (const fc_stack_variant *variant = kernels->stacks; variant->pixels; variant++)
        for (ptrdiff_t pad = 0; pad <= variant->taps / 2; pad++)
            for (int skip_zeros = 0; skip_zeros < 2; skip_zeros++) check_stack(kernels, variant, pad, skip_zeros);
}
