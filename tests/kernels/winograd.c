/* The micro-kernels of every Winograd form, with random matrices. */
#include "check.h"
#include <math.h>

/* Give random B (positions, positions) and A (outputs, positions) the structure that transforms of a form rely on: see
   winograd.inc.h. Of a pair of points a and -a, the second has the numbers of the first, with every other sign changed. */
static void structure(const fc_form *form, ptrdiff_t positions, void *B, void *A) {
    const ptrdiff_t outputs = form->outputs, stride = form->stride, first_taps = (form->taps + stride - 1) / stride;
    const ptrdiff_t first = outputs + first_taps - 1; /* positions of phase 0 */
    for (ptrdiff_t i = 0; i < positions; i++) {
        const ptrdiff_t phase = i >= first, row = i - phase * first, taps = phase ? form->taps - first_taps : first_taps;
        const ptrdiff_t last = outputs + taps - 2, has_zero = last % 2, is_pair = has_zero <= row && row < last;
        const int copies = taps == 1, is_second = is_pair && (row - has_zero) % 2;
        for (ptrdiff_t j = 0; j < positions; j++) {
            const ptrdiff_t column = j / stride;
            double value = get(B, i * positions + j);
            if (j % stride != phase)
                value = 0;
            else if (copies)
                value = column == row;
            else if (!is_pair)
                value *= column % 2 == (row == last ? has_zero : 0);
            else if (column < has_zero || column == last)
                value = 0;
            else if (is_second)
                value = get(B, (i - 1) * positions + j) * (column % 2 == has_zero ? -1 : 1);
            put(B, i * positions + j, value);
        }
        for (ptrdiff_t k = 0; k < outputs; k++) {
            double value = get(A, k * positions + i);
            if (copies || !is_pair)
                value = k == (copies ? row : row == last ? outputs - 1 : 0);
            else if (k == 0)
                value = 1;
            else if (is_second)
                value = get(A, k * positions + i - 1) * (k % 2 ? -1 : 1);
            put(A, k * positions + i, value);
        }
    }
}

/* Check a transform of a form. */
static void check_transform(const fc_kernels *kernels, fc_transform_fn *transform, const char *name, const void *matrix,
                            ptrdiff_t results, ptrdiff_t inputs) {
    const ptrdiff_t lanes = kernels->lanes, items = 3, runs = 2, step = lanes + 1;
    const ptrdiff_t item_step = lanes + 2, run_step = items * item_step + 1, from_step = runs * run_step;
    const ptrdiff_t to_item_step = results * step, to_run_step = items * to_item_step + 3, count = runs * to_run_step;
    void *from = draw(inputs * from_step), *to = draw(count), *expected = copy(to, count);
    fc_transform request = {.matrix = matrix, .item_step = item_step, .run_step = run_step, .to = to, .to_step = step,
                            .to_item_step = to_item_step, .to_run_step = to_run_step, .items = items, .runs = runs};
    for (ptrdiff_t j = 0; j < inputs; j++) request.from[j] = at(from, j * from_step);
    for (ptrdiff_t run = 0; run < runs; run++)
        for (ptrdiff_t item = 0; item < items; item++)
            for (ptrdiff_t i = 0; i < results; i++)
                for (ptrdiff_t lane = 0; lane < lanes; lane++) {
                    double sum = 0;
                    for (ptrdiff_t j = 0; j < inputs; j++)
                        sum += get(matrix, i * inputs + j) * get(request.from[j], run * run_step + item * item_step + lane);
                    put(expected, run * to_run_step + item * to_item_step + i * step + lane, sum);
                }
    transform(&request);
    compare(to, expected, count, name, results, inputs, 0);
    free(from);
}

/* Check a product of vectors with the transpose of a matrix (inputs, results): spread, or collect if it is NULL. */
static void check_adjoint(const fc_kernels *kernels, fc_transform_fn *spread, const void *matrix, ptrdiff_t results,
                          ptrdiff_t inputs, ptrdiff_t items, int adds) {
    const ptrdiff_t lanes = kernels->lanes, runs = 2, step = lanes + 1, item_step = lanes + 2, run_step = items * item_step + 1;
    const ptrdiff_t to_item_step = results * step, to_run_step = items * to_item_step + 3, count = runs * to_run_step;
    void *from = draw(inputs * runs * run_step), *to = draw(count), *expected = copy(to, count);
    fc_transform request = {.matrix = matrix, .item_step = item_step, .run_step = run_step, .to = to, .to_step = step,
                            .to_item_step = to_item_step, .to_run_step = to_run_step, .items = items, .runs = runs};
    for (ptrdiff_t j = 0; j < inputs; j++) request.from[j] = at(from, j * runs * run_step);
    for (ptrdiff_t run = 0; run < runs; run++)
        for (ptrdiff_t item = 0; item < items; item++)
            for (ptrdiff_t i = 0; i < results; i++)
                for (ptrdiff_t lane = 0; lane < lanes; lane++) {
                    const ptrdiff_t place = run * to_run_step + item * to_item_step + i * step + lane;
                    double sum = adds ? get(expected, place) : 0;
                    for (ptrdiff_t j = 0; j < inputs; j++)
                        sum += get(matrix, j * results + i) * get(request.from[j], run * run_step + item * item_step + lane);
                    put(expected, place, sum);
                }
    if (spread)
        spread(&request);
    else
        kernels->collect(&request, inputs, results, adds);
    compare(to, expected, count, spread ? "spread" : "collect", results, inputs, items);
    free(from);
}

static void check_few(const fc_kernels *kernels, const fc_form *form, const void *matrix, ptrdiff_t positions,
                      ptrdiff_t filters) {
    const ptrdiff_t lanes = kernels->lanes, outputs = form->outputs, channels = 3, runs = 2;
    const ptrdiff_t count = filters * outputs * runs * lanes;
    void *weight = draw(runs * channels * positions * lanes), *tiles = draw(runs * channels * positions * lanes);
    void *to = draw(count), *expected = draw(count);
    const fc_winograd_few few = {matrix, weight, tiles, to, channels, filters, runs};
    for (ptrdiff_t f = 0; f < filters; f++)
        for (ptrdiff_t k = 0; k < outputs; k++)
            for (ptrdiff_t run = 0; run < runs; run++)
                for (ptrdiff_t lane = 0; lane < lanes; lane++) {
                    double sum = 0;
                    for (ptrdiff_t c = 0; c < channels; c++)
                        for (ptrdiff_t i = 0; i < positions; i++) {
                            const ptrdiff_t position = ((run * channels + c) * positions + i) * lanes;
                            sum += get(matrix, k * positions + i) * get(weight, position + f) * get(tiles, position + lane);
                        }
                    put(expected, ((f * outputs + k) * runs + run) * lanes + lane, sum);
                }
    form->few(&few);
    compare(to, expected, count, "winograd_few", outputs, form->taps, filters);
    free(weight), free(tiles);
}

static void check_inverse_rows(const fc_kernels *kernels, const fc_form *form, const void *matrix, ptrdiff_t positions,
                               ptrdiff_t columns, double low, double high) {
    const ptrdiff_t lanes = kernels->lanes, outputs = form->outputs, rows = 3;
    const int nontemporal = columns % 2; /* where the map is aligned */
    const ptrdiff_t step = outputs * lanes + (nontemporal ? lanes : 3);
    void *from = draw(rows * positions * lanes), *room = draw(rows * step + lanes);
    void *map = nontemporal ? aligned(room, lanes) : room;
    void *expected = copy(map, rows * step), *other = copy(map, rows * step);
    fc_inverse_rows request = {matrix, from, map, map, step, rows, columns, 2, low, high, nontemporal};
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t x = 0; x < columns; x++) {
            double sum = request.bias;
            for (ptrdiff_t i = 0; i < positions; i++)
                sum += get(matrix, x % outputs * positions + i) * get(from, (row * positions + i) * lanes + x / outputs);
            put(expected, row * step + x, clip(sum, low, high));
        }
    const int is_bad = form->inverse_rows(&request);
    put(from, rows * positions * lanes - 1, NAN);
    request.map = other;
    if (is_bad || !form->inverse_rows(&request))
        fail("inverse_rows does not tell what is finite");
    compare(copy(map, rows * step), expected, rows * step, "inverse_rows", outputs, form->taps, columns);
    free(from), free(other), free(room);
}

static void check_form(const fc_kernels *kernels, const fc_form *form) {
    const ptrdiff_t lanes = kernels->lanes, outputs = form->outputs, positions = form->stride * (outputs - 1) + form->taps;
    void *B = draw(positions * positions), *A = draw(outputs * positions);
    structure(form, positions, B, A);
    check_transform(kernels, form->forward, "forward", B, positions, positions);
    check_transform(kernels, form->inverse, "inverse", A, outputs, positions);
    check_adjoint(kernels, form->spread, A, positions, outputs, 3, 0);
    for (ptrdiff_t filters = 1; form->few && filters <= FEW_MAX_FILTERS + 1 && filters <= lanes; filters++)
        check_few(kernels, form, A, positions, filters);
    for (ptrdiff_t columns = 1; form->inverse_rows && outputs != 3 && columns <= outputs * lanes; columns++) {
        check_inverse_rows(kernels, form, A, positions, columns, -INFINITY, INFINITY);
        check_inverse_rows(kernels, form, A, positions, columns, -5, 60);
    }
    free(A), free(B);
}

/* Kernels lie turned, one vector apart; one tap is beyond them. */
static void check_transform_kernels(const fc_kernels *kernels, ptrdiff_t y_taps, ptrdiff_t x_taps, ptrdiff_t y_rows,
                                    ptrdiff_t x_rows) {
    const ptrdiff_t lanes = kernels->lanes, channels = 3, taps = y_taps * x_taps, channel_step = (taps + 1) * lanes;
    const ptrdiff_t column_step = lanes + 1, row_step = x_rows * column_step + 2, to_channel_step = y_rows * row_step + 3;
    const ptrdiff_t count = channels * to_channel_step;
    void *y = draw(y_rows * y_taps), *x = draw(x_rows * x_taps), *from = draw(channels * channel_step);
    void *to = draw(count), *expected = copy(to, count);
    ptrdiff_t offset[KERNEL_MAX_TAPS * KERNEL_MAX_TAPS];
    for (ptrdiff_t tap = 0; tap < taps; tap++) offset[tap] = tap == 1 ? -1 : (taps - tap) * lanes;
    const fc_kernel_transform request = {y, x, y_rows, y_taps, x_rows, x_taps, from, offset, channels, channel_step,
                                         to, to_channel_step, row_step, column_step};
    for (ptrdiff_t c = 0; c < channels; c++)
        for (ptrdiff_t i = 0; i < y_rows; i++)
            for (ptrdiff_t j = 0; j < x_rows; j++)
                for (ptrdiff_t lane = 0; lane < lanes; lane++) {
                    double sum = 0;
                    for (ptrdiff_t tap = 0; tap < taps; tap++) {
                        const double factor = get(y, i * y_taps + tap / x_taps) * get(x, j * x_taps + tap % x_taps);
                        if (offset[tap] >= 0) sum += factor * get(from, c * channel_step + offset[tap] + lane);
                    }
                    put(expected, c * to_channel_step + i * row_step + j * column_step + lane, sum);
                }
    kernels->transform_kernels(&request);
    compare(to, expected, count, "transform_kernels", y_taps, x_taps, 0);
    free(y), free(x), free(from);
}

static void check_collect(const fc_kernels *kernels, ptrdiff_t taps) {
    void *matrix = draw(TRANSFORM_MAX_POSITIONS * taps);
    for (ptrdiff_t positions = 1; positions <= TRANSFORM_MAX_POSITIONS; positions++)
        for (ptrdiff_t items = 1; items <= FILTER_TILE_VECTORS + 1; items++)
            for (int adds = 0; adds < 2; adds++) check_adjoint(kernels, NULL, matrix, taps, positions, items, adds);
    free(matrix);
}

void check_forms(const fc_kernels *kernels) {
    for (const fc_form *form = kernels->forms; form->outputs; form++) check_form(kernels, form);
    for (ptrdiff_t taps = 1; taps <= KERNEL_MAX_TAPS; taps++) {
        check_transform_kernels(kernels, taps, taps, taps + 1, taps + 2);
        check_transform_kernels(kernels, taps, 3, 4, 1);
        check_transform_kernels(kernels, 1, taps, 1, 5);
    }
    for (ptrdiff_t taps = 1; taps <= 5; taps++) check_collect(kernels, taps);
}
