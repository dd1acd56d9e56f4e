/* Rows on their way from integers to floats and back, and sums of neighbours. */
#include "check.h"
#include <math.h>

static void check_truncate(const fc_kernels *kernels, ptrdiff_t count, int bytes, int is_near) {
    static const double odd[] = {-300.75, 70000.5, -0.25, 4294967298.0, -1099511628000.0}; /* the last two are not near */
    const double scale = 0.5;
    void *from = draw(count), *found = draw(count), *expected = draw(count);
    unsigned char *to = malloc((size_t)(count * bytes + 1));
    if (!to) exit(2);
    to[count * bytes] = 99;
    for (ptrdiff_t i = 0; i < count; i++) {
        if (i % 3 == 1) put(from, i, odd[i % (is_near ? 3 : 5)]);
        const int64_t whole = (int64_t)(get(from, i) * scale);
        put(expected, i, bytes == 1 ? (double)(uint8_t)whole : (double)(uint16_t)whole);
    }
    kernels->truncate(to, from, count, bytes, scale, is_near);
    for (ptrdiff_t i = 0; i < count; i++) {
        uint16_t number;
        memcpy(&number, to + i * bytes, sizeof(number) * (bytes == 2));
        put(found, i, bytes == 1 ? (double)to[i] : (double)number);
    }
    if (to[count * bytes] != 99) fail("truncate: behind the row");
    compare(found, expected, count, "truncate", count, bytes, is_near);
    free(from);
    free(to);
}

static void check_narrow(const fc_kernels *kernels, ptrdiff_t count, int type) {
    static const double odd[] = {-300.75, 70000.5, 0.5, 1.5, NAN, INFINITY, -40000};
    static const double low[] = {-128, 0, -32768, 0}, high[] = {127, 255, 32767, 65535}; /* from FC_INT8 on */
    void *from = draw(count), *found = draw(count), *expected = draw(count);
    void *to = malloc((size_t)(count * 2));
    if (!to) exit(2);
    for (ptrdiff_t i = 0; i < count; i++) {
        if (i % 3 == 1) put(from, i, odd[i % 7]);
        const double whole = rint(get(from, i));
        put(expected, i, isnan(whole) ? 0 : clip(whole, low[type - FC_INT8], high[type - FC_INT8]));
    }
    if (!kernels->narrow(to, from, count, type)) fail("narrow: the type");
    if (!kernels->widen(found, to, count, type)) fail("widen: the type");
    compare(found, expected, count, "narrow and widen", count, type, 0);
    free(from);
    free(to);
}

static void check_turn(const fc_kernels *kernels, ptrdiff_t count, int turns) {
    void *from = draw(count), *found = draw(count), *expected = draw(count);
    for (ptrdiff_t i = 0; i < count; i++)
        if (i % 5 == 2) put(from, i, i % 2 ? NAN : -INFINITY);
    for (ptrdiff_t i = 0; i < count; i++) {
        const double other = get(from, i ^ 1);
        put(expected, i, !turns ? get(from, i) + 0 * other : i % 2 ? other : -other);
    }
    kernels->turn(found, from, count, turns);
    compare(found, expected, count, "turn", count, turns, 0);
    free(from);
}

void check_conversions(const fc_kernels *kernels) {
    for (ptrdiff_t count = 1; count < 300; count += count < 70 ? 1 : 53)
        for (int way = 0; way < 4; way++) {
            check_truncate(kernels, count, 1 + (way & 1), way >> 1);
            check_narrow(kernels, count, FC_INT8 + way);
            check_turn(kernels, 2 * count, way & 1);
        }
}

static void check_box_columns(const fc_kernels *kernels, ptrdiff_t columns, ptrdiff_t rows, ptrdiff_t taps) {
    const ptrdiff_t from_step = columns + kernels->lanes + 1, to_step = columns + kernels->lanes;
    void *from = draw((rows + taps) * from_step), *to = draw(rows * to_step);
    void *found = draw(rows * columns), *expected = draw(rows * columns);
    kernels->box_columns(to, to_step, from, from_step, taps, rows, columns);
    for (ptrdiff_t y = 0; y < rows; y++)
        for (ptrdiff_t x = 0; x < columns; x++) {
            double sum = 0;
            for (ptrdiff_t t = 0; t < taps; t++) sum += get(from, (y + t) * from_step + x);
            put(expected, y * columns + x, sum);
            put(found, y * columns + x, get(to, y * to_step + x));
        }
    compare(found, expected, rows * columns, "box_columns", rows, columns, taps);
    free(from);
    free(to);
}

static void check_box_row(const fc_kernels *kernels, ptrdiff_t count, ptrdiff_t step, ptrdiff_t taps) {
    void *from = draw(count + taps * step + 2 * kernels->lanes), *found = draw(count + kernels->lanes), *expected = draw(count);
    for (ptrdiff_t i = 0; i < count; i++) {
        double sum = 0;
        for (ptrdiff_t t = 0; t < taps; t++) sum += get(from, i + t * step);
        put(expected, i, sum);
    }
    kernels->box_row(found, from, step, taps, count);
    compare(found, expected, count, "box_row", count, step, taps);
    free(from);
}

void check_boxes(const fc_kernels *kernels) {
    static const ptrdiff_t taps[] = {1, 2, 3, 7, 8, 13, 64, 100};
    for (int i = 0; i < 8; i++)
        for (ptrdiff_t count = 1; count < 80; count += count < 20 ? 1 : 13) {
            check_box_columns(kernels, count, 5, taps[i]);
            check_box_row(kernels, count, 1 + count % 4, taps[i]);
        }
}
