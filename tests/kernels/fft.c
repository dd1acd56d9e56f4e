/* Fourier transforms: against the definition, for every radix; products, squares of points, loads and stores. */
#include "check.h"
#include <math.h>

/* Replace numbers that differ by less than a rounding error by those that are expected, so that `compare` sees others. */
static void round_to(void *found, const void *expected, ptrdiff_t count, double error) {
    for (ptrdiff_t i = 0; i < count; i++)
        if (fabs(get(found, i) - get(expected, i)) <= error) put(found, i, get(expected, i));
}

/* exp(-2 pi i k / n) */
static void root(ptrdiff_t k, ptrdiff_t n, double *cosine, double *sine) {
    const double angle = -2 * acos(-1) * (double)(k % n) / (double)n;
    *cosine = cos(angle), *sine = sin(angle);
}

static void check_passes(const fc_kernels *kernels, const char *radices) {
    const ptrdiff_t lanes = kernels->lanes;
    fc_fft fft = {.length = 1, .passes = 0};
    for (; radices[fft.passes]; fft.passes++) fft.length *= fft.radix[fft.passes] = radices[fft.passes] - '0';
    const ptrdiff_t n = fft.length, count = 2 * n * lanes;
    const double error = (is_double ? 1e-13 : 3e-5) * (double)n;
    void *twiddles = draw(8 * n), *given = draw(count), *points = copy(given, count), *expected = draw(count);
    ptrdiff_t m = n, number = 0;
    for (ptrdiff_t pass = 0; pass < fft.passes; pass++) {
        const ptrdiff_t whole = m, radix = fft.radix[pass];
        m /= radix;
        for (ptrdiff_t j = 0; j < m; j++)
            for (ptrdiff_t q = 1; q < radix; q++, number += 2) {
                double cosine, sine;
                root(j * q, whole, &cosine, &sine);
                put(twiddles, number, cosine), put(twiddles, number + 1, sine);
            }
    }
    fft.twiddles = twiddles, fft.twiddle_numbers = number;
    for (ptrdiff_t place = 0; place < n; place++) {
        ptrdiff_t bin = 0, rest = place, weight = 1, width = n;
        for (ptrdiff_t pass = 0; pass < fft.passes; pass++) { /* the place in reversed digits */
            width /= fft.radix[pass];
            bin += rest / width * weight;
            rest %= width, weight *= fft.radix[pass];
        }
        for (ptrdiff_t lane = 0; lane < lanes; lane++) {
            double re = 0, im = 0, cosine, sine;
            for (ptrdiff_t j = 0; j < n; j++) {
                const double r = get(given, 2 * j * lanes + lane), i = get(given, (2 * j + 1) * lanes + lane);
                root(j * bin, n, &cosine, &sine);
                re += r * cosine - i * sine, im += r * sine + i * cosine;
            }
            put(expected, 2 * place * lanes + lane, re), put(expected, (2 * place + 1) * lanes + lane, im);
        }
    }
    kernels->fft_forward(&fft, points);
    round_to(points, expected, count, error);
    void *back = copy(points, count);
    compare(points, expected, count, "fft_forward", n, fft.passes, 0);
    kernels->fft_inverse(&fft, back);
    for (ptrdiff_t i = 0; i < count; i++) put(back, i, get(back, i) / (double)n);
    round_to(back, given, count, error);
    compare(back, given, count, "fft_inverse", n, fft.passes, 0);
    free(twiddles);
}

static void check_products(const fc_kernels *kernels, ptrdiff_t terms, int inverse) {
    const ptrdiff_t lanes = kernels->lanes, first = 3, points = 2 * FFT_AT_ONCE, count = 2 * (first + points) * lanes;
    const void *x[4], *w[4];
    void *to = draw(2 * points * lanes), *expected = draw(2 * points * lanes);
    for (ptrdiff_t t = 0; t < terms; t++) x[t] = draw(count), w[t] = draw(count);
    for (ptrdiff_t p = 0; p < points; p++)
        for (ptrdiff_t lane = 0; lane < lanes; lane++) {
            const ptrdiff_t r_at = (2 * p + inverse) * lanes + lane, i_at = (2 * p + 1 - inverse) * lanes + lane;
            double re = 0, im = 0;
            for (ptrdiff_t t = 0; t < terms; t++) {
                const double r = get(x[t], r_at + 2 * first * lanes), i = get(x[t], i_at + 2 * first * lanes);
                const double sine = get(w[t], 2 * (p + first) * lanes + lane);
                const double cosine = get(w[t], (2 * (p + first) + 1) * lanes + lane);
                re += r * cosine - i * sine, im += r * sine + i * cosine;
            }
            put(expected, r_at, re), put(expected, i_at, im);
        }
    kernels->fft_multiply(to, x, w, terms, first, points, inverse);
    compare(to, expected, 2 * points * lanes, "fft_multiply", terms, inverse, 0);
    for (ptrdiff_t t = 0; t < terms; t++) free((void *)x[t]), free((void *)w[t]);
}

static void check_turns(const fc_kernels *kernels) {
    const ptrdiff_t lanes = kernels->lanes, squares = 3, step = lanes + 2, count = 2 * squares * step * lanes;
    void *from = draw(count), *to = draw(count), *expected = copy(to, count);
    for (ptrdiff_t s = 0; s < squares; s++)
        for (ptrdiff_t p = 0; p < lanes; p++)
            for (ptrdiff_t part = 0; part < 2; part++)
                for (ptrdiff_t lane = 0; lane < lanes; lane++)
                    put(expected, (2 * (s * step + lane) + part) * lanes + p,
                        get(from, (2 * (s * lanes + p) + part) * lanes + lane));
    kernels->fft_turn(to, step, from, lanes, squares);
    compare(to, expected, count, "fft_turn", squares, step, 0);
    free(from);
}

static void check_loads(const fc_kernels *kernels, ptrdiff_t columns, ptrdiff_t last_columns) {
    const ptrdiff_t lanes = kernels->lanes, rows = 5, length = 8, step = columns + 3, bands = 3;
    const ptrdiff_t room = (rows - 1) * step + (last_columns > lanes ? last_columns : columns < lanes ? columns : lanes);
    void *from = draw(room), *bright = draw(2 * bands * lanes), *points = draw(2 * length * lanes);
    void *expected = draw(2 * length * lanes), *most = copy(bright, 2 * bands * lanes);
    const fc_fft_load load = {
        .block = {{from, step, rows, columns, last_columns, bright}, {from, step, rows - 2, columns, columns, NULL}},
        .rows = rows, .length = length, .band_rows = 2, .bright_step = 2 * lanes};
    for (ptrdiff_t row = 0; row < length; row++)
        for (int part = 0; part < 2; part++)
            for (ptrdiff_t lane = 0; lane < lanes; lane++) {
                const ptrdiff_t some = row < load.block[part].rows - 1 ? columns : load.block[part].last_columns;
                const double x = row < load.block[part].rows && lane < some ? get(from, row * step + lane) : 0;
                put(expected, (2 * row + part) * lanes + lane, x);
                if (row < rows && !part && fabs(x) > get(most, row / 2 * 2 * lanes + lane))
                    put(most, row / 2 * 2 * lanes + lane, fabs(x));
            }
    kernels->fft_load(&load, points, 0);
    compare(points, expected, 2 * length * lanes, "fft_load", columns, last_columns, 0);
    for (ptrdiff_t i = 0; i < 2 * bands * lanes; i++) /* magnitudes are not negative */
        if (get(bright, i) < 0 && i % (2 * lanes) < lanes) put(bright, i, 0);
    for (ptrdiff_t i = 0; i < 2 * bands * lanes; i++)
        if (get(most, i) < 0 && i % (2 * lanes) < lanes) put(most, i, 0);
    compare(bright, most, 2 * bands * lanes, "brightness of fft_load", columns, last_columns, 0);
    free(from);
}

static void check_stores(const fc_kernels *kernels, ptrdiff_t columns) {
    const ptrdiff_t lanes = kernels->lanes, rows = 3, length = 2 * rows, vectors = (columns + lanes - 1) / lanes;
    const ptrdiff_t step = columns + 1, count = 2 * length * vectors * lanes;
    void *from = draw(count), *to = draw(rows * step), *expected = copy(to, rows * step), *other = copy(to, rows * step);
    const fc_fft_store store = {.scale = 0.5, .bias = 1, .low = -1, .high = 2, .row_step = 2, .column_step = length};
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t x = 0; x < columns; x++) {
            const double sum = get(from, 2 * (x / lanes * length + 2 * row) * lanes + x % lanes);
            put(expected, row * step + x, clip(0.5 * sum + 1, -1, 2));
        }
    const int is_bad = kernels->fft_store(&store, to, step, from, rows, columns);
    put(from, 2 * ((columns - 1) / lanes * length + 2) * lanes + (columns - 1) % lanes, INFINITY);
    if (is_bad || !kernels->fft_store(&store, other, step, from, rows, columns))
        fail("fft_store does not tell what is finite");
    compare(to, expected, rows * step, "fft_store", columns, rows, 0);
    free(from), free(other);
}

void check_transforms(const fc_kernels *kernels) {
    const char *const passes[] = {"44", "48", "84", "88", "344", "544", "3544", "448"};
    for (size_t i = 0; i < sizeof(passes) / sizeof(*passes); i++) check_passes(kernels, passes[i]);
    for (ptrdiff_t terms = 0; terms < 4; terms++)
        for (int inverse = 0; inverse < 2; inverse++) check_products(kernels, terms, inverse);
    check_turns(kernels);
    for (ptrdiff_t columns = 1; columns < 2 * kernels->lanes; columns++) {
        check_loads(kernels, columns, columns);
        check_loads(kernels, columns, (columns + 1) / 2);
        check_stores(kernels, columns);
    }
}
