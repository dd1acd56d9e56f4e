/* The micro-kernels of every instruction set that this machine can run, against naive loops over small integers, whose sums
   are exact: tiles, panels, frames, sweeps, stacks, Winograd's forms, and what transposes, gathers or scatters.
   Exits with 1 after the first kernel that is wrong.

   cc -O2 -ffp-contract=off -Isrc/fastconv/kernels tests/kernels_check.c src/fastconv/kernels/{isa_*,dispatch}.c */
#include "kernels.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TAPS = 32, MAX_LINES = 32 };

static const char *isa_name;
static int is_double; /* what the kernels compute in; here all values are doubles */
static int checks;

static double get(const void *array, ptrdiff_t i) { return is_double ? ((const double *)array)[i] : ((const float *)array)[i]; }

static void put(void *array, ptrdiff_t i, double value) {
    if (is_double)
        ((double *)array)[i] = value;
    else
        ((float *)array)[i] = (float)value;
}

static size_t bytes(ptrdiff_t count) { return (size_t)count * (is_double ? sizeof(double) : sizeof(float)); }

/* A pointer to number i of an array. */
static void *at(const void *array, ptrdiff_t i) { return (char *)array + bytes(i); }

/* An array of integers from -4 to 4. */
static void *draw(ptrdiff_t count) {
    static unsigned state = 1;
    void *array = malloc(bytes(count));
    if (!array) exit(2);
    for (ptrdiff_t i = 0; i < count; i++) {
        state = state * 1664525 + 1013904223;
        put(array, i, (double)(state >> 16) - (state >> 16) / 9 * 9.0 - 4);
    }
    return array;
}

static void *copy(const void *array, ptrdiff_t count) { return memcpy(draw(count), array, bytes(count)); }

static double clip(double value, double low, double high) { return value < low ? low : value > high ? high : value; }

/* Compare arrays, all of them, and free both; a NaN is like another. */
static void compare(void *found, void *expected, ptrdiff_t count, const char *kernel, ptrdiff_t a, ptrdiff_t b, ptrdiff_t c) {
    for (ptrdiff_t i = 0; i < count; i++)
        if (!(get(found, i) == get(expected, i)) && !(isnan(get(found, i)) && isnan(get(expected, i)))) {
            printf("%s float%d %s %td x %td (%td): %g instead of %g at %td\n", isa_name, is_double ? 64 : 32, kernel, a, b, c,
                   get(found, i), get(expected, i), i);
            exit(1);
        }
    free(found);
    free(expected);
    checks++;
}

/* What is tried of a tile. */
enum { PACKED = 1, ADDS_TO_MAP = 2, CLIPS = 4, KEEPS = 8, KEPT = 16, VARIANTS = 24 };

static void check_tile(const fc_kernels *kernels, ptrdiff_t filters, ptrdiff_t vectors, ptrdiff_t taps, int variant) {
    const ptrdiff_t lanes = kernels->lanes, width = vectors * lanes, step = width + 1;
    const ptrdiff_t filter_step = variant & PACKED ? 1 : taps, tap_step = variant & PACKED ? filters : 1;
    const double low = variant & CLIPS ? 0 : -INFINITY, high = variant & CLIPS ? 6 : INFINITY;
    ptrdiff_t offset[MAX_TAPS];
    void *weight = draw(filters * taps), *image = draw(width + 2 * taps), *bias = draw(filters > width ? filters : width);
    void *map = draw(filters * step), *expected = copy(map, filters * step);
    void *panel = draw(taps * step), *packed = copy(panel, taps * step);
    fc_tile tile = {.weight = weight, .filter_step = (ptrdiff_t)bytes(filter_step), .tap_step = (ptrdiff_t)bytes(tap_step),
                    .offset = offset, .taps = taps, .pack_to = variant & KEEPS ? panel : NULL, .packed_step = (ptrdiff_t)bytes(step),
                    .prefetch = image, .prefetch_step = (ptrdiff_t)bytes(1), .map_step = step,
                    .bias = variant & ADDS_TO_MAP ? NULL : bias, .low = low, .high = high};
    for (ptrdiff_t t = 0; t < taps; t++) offset[t] = t * 7 % (2 * taps);
    for (ptrdiff_t j = 0; j < vectors; j++) {
        /* at the end of a row the last vector lies over its neighbour */
        const ptrdiff_t first = j * lanes - (j && j == vectors - 1);
        tile.image[j] = at(image, first);
        tile.map[j] = at(map, first);
        for (ptrdiff_t t = 0; t < taps && variant & (KEEPS | KEPT); t++)
            for (ptrdiff_t i = 0; i < lanes; i++) put(packed, t * step + j * lanes + i, get(image, first + offset[t] + i));
        for (ptrdiff_t i = 0; i < filters; i++)
            for (ptrdiff_t pixel = first; pixel < first + lanes; pixel++) {
                double sum = tile.bias ? get(bias, i) : get(map, i * step + pixel);
                for (ptrdiff_t t = 0; t < taps; t++)
                    sum += get(weight, i * filter_step + t * tap_step) * get(image, pixel + offset[t]);
                put(expected, i * step + pixel, clip(sum, low, high));
            }
    }
    if (variant & KEPT) { /* what another tile saw */
        free(panel);
        tile.packed = panel = copy(packed, taps * step);
        tile.image[0] = NULL;
    }
    kernels->tile[filters][vectors](&tile);
    compare(map, expected, filters * step, "tile", filters, vectors, taps);
    compare(panel, packed, taps * step, "tile that keeps", filters, vectors, taps);
    free(weight), free(image), free(bias);
}

static void check_panel(const fc_kernels *kernels, ptrdiff_t taps) {
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
    compare(panel, expected, taps * width, "panel", taps, width, 0);
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
    const int nontemporal = rows % 2; /* past the cache, from the first place on that is a multiple of a vector's size */
    const ptrdiff_t lanes = kernels->lanes, step = nontemporal ? (count + lanes) / lanes * lanes : count + 3;
    void *from = draw(count * lanes), *bias = draw(lanes), *room = draw(rows * step + lanes);
    void *to = nontemporal ? at(room, lanes - (ptrdiff_t)((uintptr_t)room % bytes(lanes) / bytes(1))) : room;
    void *expected = copy(to, rows * step), *other = copy(to, rows * step);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t p = 0; p < count; p++) put(expected, i * step + p, clip(get(from, p * lanes + i) + get(bias, i), 0, 6));
    const int is_bad = kernels->scatter(to, step, rows, from, count, bias, 0, 6, nontemporal);
    put(from, count * lanes - 1, NAN);
    if (is_bad || !kernels->scatter(other, step, rows, from, count, bias, 0, 6, 0)) {
        printf("%s: scatter does not tell what is finite\n", isa_name);
        exit(1);
    }
    compare(copy(to, rows * step), expected, rows * step, "scatter", rows, count, nontemporal);
    free(from), free(bias), free(other), free(room);
}

static void check_filter_tile(const fc_kernels *kernels, ptrdiff_t pixels, ptrdiff_t vectors, ptrdiff_t taps, int variant) {
    const ptrdiff_t lanes = kernels->lanes, count = vectors * lanes, width = count + 1, step = count + 2;
    const double low = variant & CLIPS ? 0 : -INFINITY, high = variant & CLIPS ? 6 : INFINITY;
    ptrdiff_t offset[MAX_TAPS];
    void *weight = draw(taps * width), *image = draw(3 * pixels + 2 * taps), *bias = draw(count);
    void *sums = draw(pixels * step), *expected = copy(sums, pixels * step);
    fc_filter_tile tile = {.offset = offset, .taps = taps, .weight = weight, .width = width, .sums = sums, .sums_step = step,
                           .bias = variant & ADDS_TO_MAP ? NULL : bias, .low = low, .high = high};
    for (ptrdiff_t t = 0; t < taps; t++) offset[t] = t * 7 % (2 * taps);
    for (ptrdiff_t i = 0; i < pixels; i++) {
        tile.pixel[i] = at(image, 3 * i);
        for (ptrdiff_t k = 0; k < count; k++) {
            double sum = tile.bias ? get(bias, k) : get(sums, i * step + k);
            for (ptrdiff_t t = 0; t < taps; t++) sum += get(image, 3 * i + offset[t]) * get(weight, t * width + k);
            put(expected, i * step + k, clip(sum, low, high));
        }
    }
    kernels->filter_tile[pixels][vectors](&tile);
    compare(sums, expected, pixels * step, "filter tile", pixels, vectors, taps);
    free(weight), free(image), free(bias);
}

static void check_lone(const fc_kernels *kernels, ptrdiff_t filters, ptrdiff_t taps, int variant) {
    const ptrdiff_t lanes = kernels->lanes;
    const double low = variant & CLIPS ? 0 : -INFINITY, high = variant & CLIPS ? 6 : INFINITY;
    ptrdiff_t offset[MAX_TAPS];
    void *weight = draw(lanes * taps), *pixel = draw(2 * taps), *bias = draw(lanes), *sums = draw(lanes), *expected = copy(sums, lanes);
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

static void check_frame(const fc_kernels *kernels, ptrdiff_t phases, ptrdiff_t slots, ptrdiff_t first, ptrdiff_t step) {
    const ptrdiff_t rows = 3, columns = 2 * kernels->lanes + 3, from_step = columns + 1, count = rows * slots * step;
    void *from = draw(rows * from_step - 1), *to = draw(count + kernels->lanes), *expected = draw(count);
    const fc_deinterleave frame = {.to = to, .to_step = step, .slots = slots, .from = from, .from_step = from_step, .first = first,
                            .columns = columns, .rows = rows, .phases = phases};
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t slot = 0; slot < slots; slot++)
            for (ptrdiff_t i = 0; i < step; i++) {
                const ptrdiff_t c = first + phases * i + slot;
                put(expected, (r * slots + slot) * step + i, 0 <= c && c < columns ? get(from, r * from_step + c) : 0);
            }
    kernels->deinterleave(&frame);
    compare(copy(to, count), expected, count, "frame", phases, first, step);
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

/* Pixels that the masks leave out are NaN, so that a sum which saw one would tell. */
static void check_sweep(const fc_kernels *kernels, const fc_sweep_variant *kind, ptrdiff_t kernel_rows, ptrdiff_t taps, ptrdiff_t stride) {
    const ptrdiff_t lanes = kernels->lanes, vectors = kind->vectors, column = 3, lines = (kind->rows - 1) * stride + kernel_rows;
    const ptrdiff_t last = (vectors - 1) * lanes - (kind->masked && vectors > 1), across = kind->stride_x;
    const ptrdiff_t width = column + vectors * lanes, seen = across * width + taps, step = width + 1;
    const ptrdiff_t inside = kind->masked ? across * column + 1 : 0, outside = kind->masked ? seen - 3 : seen;
    const unsigned all = lanes < 32 ? (1u << lanes) - 1 : ~0u, store_mask = kind->masked && vectors == 1 && lanes > 1 ? all >> 1 : all;
    void *image[MAX_LINES], *weight = draw(kernel_rows * taps);
    void *map = draw(kind->rows * step), *expected = copy(map, kind->rows * step);
    ptrdiff_t offset[MAX_TAPS];
    unsigned mask[MAX_TAPS + 1] = {0}, last_mask[MAX_TAPS + 1] = {0};
    const fc_sweep sweep = {weight, offset, mask, vectors > 1 ? last_mask : mask, store_mask, kernel_rows, taps,
                            (const void *const *)image, column, last, map, step, 2, -50, 60, 0};
    const int paired = kind->rows == 1 && !kind->masked;
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
    for (ptrdiff_t i = 0; i < kind->rows; i++)
        for (ptrdiff_t x = column; x < column + last + lanes; x++) {
            double sum = sweep.bias;
            for (ptrdiff_t u = 0; u < kernel_rows; u++)
                for (ptrdiff_t v = 0; v < taps; v++) {
                    const ptrdiff_t pixel = across * x + (paired ? fc_paired_tap(taps, v) : v);
                    if (inside <= pixel && pixel < outside) sum += get(weight, u * taps + v) * get(image[i * stride + u], pixel);
                }
            if (x - column >= lanes || store_mask >> (x - column) & 1)
                put(expected, i * step + x, clip(sum, sweep.low, sweep.high));
        }
    kind->run(&sweep);
    compare(map, expected, kind->rows * step, "sweep", kind->rows, vectors, kind->kernel);
    for (ptrdiff_t r = 0; r < lines; r++) free(image[r]);
    free(weight);
}

/* One row lies beyond the image; if its zeros are not skipped, one of its weights is infinite. */
static void check_stack(const fc_kernels *kernels, const fc_stack_variant *kind, ptrdiff_t pad, int skip_zeros) {
    const ptrdiff_t lanes = kernels->lanes, taps = kind->taps, across = kind->stride_x, column = 2, pixels = column + kind->pixels;
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
    kind->run(&stack);
    compare(map, expected, pixels * lanes, "stack", kind->pixels, taps, across);
    for (ptrdiff_t u = 0; u < kernel_rows; u++) free(image[u]);
    free(weight), free(bias);
}

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

/* Check a transform of a form, or transform_filter if it is NULL. */
static void check_transform(const fc_kernels *kernels, fc_transform_fn *transform, const char *name, const void *matrix,
                            ptrdiff_t results, ptrdiff_t inputs) {
    const ptrdiff_t lanes = kernels->lanes, items = transform ? 3 : 1, runs = 2, step = lanes + 1;
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
    if (transform)
        transform(&request);
    else
        kernels->transform_filter(&request, results, inputs);
    compare(to, expected, count, name, results, inputs, 0);
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
    compare(to, expected, count, "few", outputs, form->taps, filters);
    free(weight), free(tiles);
}

static void check_inverse_rows(const fc_kernels *kernels, const fc_form *form, const void *matrix, ptrdiff_t positions,
                               ptrdiff_t columns, double low, double high) {
    const ptrdiff_t lanes = kernels->lanes, outputs = form->outputs, rows = 3;
    const int nontemporal = columns % 2; /* past the cache, from the first place on that is a multiple of a vector's size */
    const ptrdiff_t step = outputs * lanes + (nontemporal ? lanes : 3);
    void *from = draw(rows * positions * lanes), *room = draw(rows * step + lanes);
    void *map = nontemporal ? at(room, lanes - (ptrdiff_t)((uintptr_t)room % bytes(lanes) / bytes(1))) : room;
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
    if (is_bad || !form->inverse_rows(&request)) {
        printf("%s: inverse_rows does not tell what is finite\n", isa_name);
        exit(1);
    }
    compare(copy(map, rows * step), expected, rows * step, "inverse_rows", outputs, form->taps, columns);
    free(from), free(other), free(room);
}

static void check_form(const fc_kernels *kernels, const fc_form *form) {
    const ptrdiff_t lanes = kernels->lanes, outputs = form->outputs, positions = form->stride * (outputs - 1) + form->taps;
    void *B = draw(positions * positions), *A = draw(outputs * positions);
    structure(form, positions, B, A);
    check_transform(kernels, form->forward, "forward", B, positions, positions);
    check_transform(kernels, form->inverse, "inverse", A, outputs, positions);
    for (ptrdiff_t filters = 1; filters <= FEW_MAX_FILTERS + 1 && filters <= lanes; filters++)
        check_few(kernels, form, A, positions, filters);
    for (ptrdiff_t columns = 1; outputs != 3 && columns <= outputs * lanes; columns++) {
        check_inverse_rows(kernels, form, A, positions, columns, -INFINITY, INFINITY);
        check_inverse_rows(kernels, form, A, positions, columns, -5, 60);
    }
    free(A), free(B);
}

static void check_transform_filter(const fc_kernels *kernels, ptrdiff_t taps) {
    void *matrix = draw(TRANSFORM_MAX_POSITIONS * taps);
    for (ptrdiff_t results = 1; results <= TRANSFORM_MAX_POSITIONS; results++)
        check_transform(kernels, NULL, "transform_filter", matrix, results, taps);
    free(matrix);
}

static void check_kernels(const fc_kernels *kernels) {
    static const ptrdiff_t taps[] = {1, 2, 9, 25};
    for (int t = 0; t < 4; t++) {
        for (ptrdiff_t filters = 1; filters <= kernels->tile_filters; filters++)
            for (ptrdiff_t vectors = 1; vectors <= kernels->tile_vectors[filters]; vectors++)
                for (int variant = 0; variant < VARIANTS; variant++) check_tile(kernels, filters, vectors, taps[t], variant);
        for (ptrdiff_t pixels = 1; pixels <= kernels->tile_filters; pixels++)
            for (ptrdiff_t vectors = 1; vectors <= FILTER_TILE_VECTORS; vectors++)
                for (int variant = 0; variant < VARIANTS; variant += PACKED + 1)
                    check_filter_tile(kernels, pixels, vectors, taps[t], variant);
        check_panel(kernels, taps[t]);
    }
    for (ptrdiff_t phases = 1; phases <= 8; phases *= 2)
        for (ptrdiff_t slots = 1; slots <= phases; slots++)
            for (ptrdiff_t step = 1; step <= 3 * kernels->lanes; step++)
                for (ptrdiff_t first = -3 * kernels->lanes; first <= kernels->lanes + 1; first += first < -2 ? 5 : 1)
                    check_frame(kernels, phases, slots, first, step);
    for (ptrdiff_t filters = 1; filters <= kernels->lanes; filters++)
        for (ptrdiff_t taps = 1; taps <= 25; taps++)
            for (int variant = 0; variant < VARIANTS; variant += PACKED + 1) check_lone(kernels, filters, taps, variant);
    for (ptrdiff_t rows = 1; rows <= kernels->lanes; rows++)
        for (ptrdiff_t count = 1; count <= 2 * kernels->lanes + 1; count++) {
            check_gather(kernels, rows, count);
            check_scatter(kernels, rows, count);
        }
    for (ptrdiff_t rows = 1; rows <= 2 * kernels->lanes + 1; rows++)
        for (ptrdiff_t columns = 1; columns <= 2 * kernels->lanes + 1; columns++) check_transpose(kernels, rows, columns);
    for (const fc_sweep_variant *kind = kernels->sweeps; kind->rows; kind++)
        for (ptrdiff_t more = 0; more < (kind->kernel ? 1 : 3); more++)
            for (ptrdiff_t taps = kind->kernel ? kind->kernel : 1; taps <= (kind->kernel ? kind->kernel : 4); taps++)
                for (ptrdiff_t stride = kind->stride_y ? kind->stride_y : 1; stride <= (kind->stride_y ? kind->stride_y : 3); stride++)
                    check_sweep(kernels, kind, kind->kernel ? kind->kernel : kind->rows + more, taps, stride);
    for (const fc_stack_variant *kind = kernels->stacks; kind->pixels; kind++)
        for (ptrdiff_t pad = 0; pad <= kind->taps / 2; pad++)
            for (int skip_zeros = 0; skip_zeros < 2; skip_zeros++) check_stack(kernels, kind, pad, skip_zeros);
    for (const fc_form *form = kernels->forms; form->outputs; form++) {
        check_form(kernels, form);
        check_transform_filter(kernels, form->taps);
    }
}

int main(void) {
    static const char *const names[] = {"avx512", "avx2", "neon", "baseline"};
    for (int i = 0; i < 4; i++) {
        const fc_isa *isa = fc_find_isa(names[i]);
        if (!isa) continue;
        isa_name = isa->name;
        checks = 0;
        for (is_double = 0; is_double < 2; is_double++) check_kernels(is_double ? &isa->f64 : &isa->f32);
        printf("%s: %d checks\n", isa_name, checks);
    }
    return 0;
}
