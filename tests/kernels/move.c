/* Data movement: im2col, deinterleave, transpose, gather and scatter. */
#include "check.h"
#include <math.h>

static void check_im2col(const fc_kernels *kernels, ptrdiff_t taps) {
    const ptrdiff_t lanes = kernels->lanes, length[] = {lanes + 1, 1, 2 * lanes - 1};
    const ptrdiff_t start[] = {0, lanes + 1, lanes + 2}, seen[] = {2, 3 * lanes, 5 * lanes + 1}, width = 3 * lanes + 1;
    ptrdiff_t offset[MAX_TAPS];
    void *image = draw(8 * lanes + taps), *panel = draw(taps * width + lanes), *expected = draw(taps * width);
    const fc_im2col request = {panel, width, image, offset, taps, 3, start, seen, length};
    for (ptrdiff_t t = 0; t < taps; t++) {
        offset[t] = t * 5 % taps;
        for (int s = 0; s < 3; s++)
            for (ptrdiff_t i = 0; i < length[s]; i++)
                put(expected, t * width + start[s] + i, get(image, seen[s] + offset[t] + i));
    }
    kernels->im2col(&request);
    compare(panel, expected, taps * width, "im2col", taps, width, 0);
    free(image);
}

static void check_gather(const fc_kernels *kernels, ptrdiff_t rows, ptrdiff_t count) {
    const ptrdiff_t lanes = kernels->lanes, step = count + count % 3;
    void *from = draw(rows * step), *to = draw((count + 2 * lanes) * lanes), *expected = draw(count * lanes);
    for (ptrdiff_t p = 0; p < count; p++)
        for (ptrdiff_t i = 0; i < lanes; i++) put(expected, p * lanes + i, i < rows ? get(from, i * step + p) : 0);
    kernels->gather(at(to, lanes * lanes), from, step, rows, count, 0, step);
    compare(copy(at(to, lanes * lanes), count * lanes), expected, count * lanes, "gather", rows, count, 0);
    free(from), free(to);
}

static void check_scatter(const fc_kernels *kernels, ptrdiff_t rows, ptrdiff_t count) {
    const int nontemporal = rows % 2; /* where the map is aligned */
    const ptrdiff_t lanes = kernels->lanes, step = nontemporal ? (count + lanes) / lanes * lanes : count + 3;
    void *from = draw(count * lanes), *bias = draw(lanes), *room = draw(rows * step + lanes);
    void *to = nontemporal ? aligned(room, lanes) : room;
    void *expected = copy(to, rows * step), *other = copy(to, rows * step);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t p = 0; p < count; p++) put(expected, i * step + p, clip(get(from, p * lanes + i) + get(bias, i), 0, 6));
    const int is_bad = kernels->scatter(to, step, rows, from, count, bias, 0, 6, nontemporal);
    put(from, count * lanes - 1, NAN);
    if (is_bad || !kernels->scatter(other, step, rows, from, count, bias, 0, 6, 0))
        fail("scatter does not tell what is finite");
    compare(copy(to, rows * step), expected, rows * step, "scatter", rows, count, nontemporal);
    free(from), free(bias), free(other), free(room);
}

static void check_deinterleave(const fc_kernels *kernels, ptrdiff_t phases, ptrdiff_t slots, ptrdiff_t first, ptrdiff_t step) {
    const ptrdiff_t rows = 3, columns = 2 * kernels->lanes + 3, from_step = columns + 1, count = rows * slots * step;
    void *from = draw(rows * from_step - 1), *to = draw(count + kernels->lanes), *expected = draw(count);
    const fc_deinterleave request = {.to = to, .to_step = step, .slots = slots, .from = from, .from_step = from_step,
                                     .first = first, .columns = columns, .rows = rows, .phases = phases};
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t slot = 0; slot < slots; slot++)
            for (ptrdiff_t i = 0; i < step; i++) {
                const ptrdiff_t c = first + phases * i + slot;
                put(expected, (r * slots + slot) * step + i, 0 <= c && c < columns ? get(from, r * from_step + c) : 0);
            }
    kernels->deinterleave(&request);
    compare(copy(to, count), expected, count, "deinterleave", phases, first, step);
    free(from), free(to);
}

static void check_transpose(const fc_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns) {
    const ptrdiff_t from_step = columns + 2, to_step = rows + 1;
    void *from = draw(rows * from_step), *to = draw(columns * to_step), *expected = copy(to, columns * to_step);
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < columns; c++) put(expected, c * to_step + r, get(from, r * from_step + c));
    kernels->transpose(to, to_step, from, from_step, rows, columns);
    compare(to, expected, columns * to_step, "transpose", rows, columns, 0);
    free(from);
}

/* Rows merged past the caches into columns side by side, wherever these begin. */
static void check_stream(const fc_kernels *kernels, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t start) {
    const ptrdiff_t count = start + rows * columns + 1;
    void *from = draw(rows * columns), *to = draw(count), *expected = copy(to, count);
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t c = 0; c < columns; c++) put(expected, start + c * rows + r, get(from, r * columns + c));
    kernels->stream_transposed(at(to, start), rows, from, columns, rows, columns);
    compare(to, expected, count, "stream_transposed", rows, columns, start);
    free(from);
}

void check_movement(const fc_kernels *kernels) {
    const ptrdiff_t lanes = kernels->lanes;
    static const ptrdiff_t taps[] = {1, 2, 9, 25};
    for (int t = 0; t < 4; t++) check_im2col(kernels, taps[t]);
    for (ptrdiff_t phases = 1; phases <= 8; phases *= 2)
        for (ptrdiff_t slots = 1; slots <= phases; slots++)
            for (ptrdiff_t step = 1; step <= 3 * lanes; step++)
                for (ptrdiff_t first = -3 * lanes; first <= lanes + 1; first += first < -2 ? 5 : 1)
                    check_deinterleave(kernels, phases, slots, first, step);
    for (ptrdiff_t rows = 1; rows <= lanes; rows++)
        for (ptrdiff_t count = 1; count <= 2 * lanes + 1; count++) {
            check_gather(kernels, rows, count);
            check_scatter(kernels, rows, count);
        }
    for (ptrdiff_t rows = 1; rows <= 2 * lanes + 1; rows++)
        for (ptrdiff_t columns = 1; columns <= 2 * lanes + 1; columns++) check_transpose(kernels, rows, columns);
    for (ptrdiff_t rows = 1; rows <= 2 * lanes + 1; rows++)
        for (ptrdiff_t columns = lanes - 1; columns <= 3 * lanes; columns += 5)
            for (ptrdiff_t start = 0; start <= 16; start++) check_stream(kernels, rows, columns, start);
}
