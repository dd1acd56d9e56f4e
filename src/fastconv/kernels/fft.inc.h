/* Fourier transforms of blocks, for convolution.

   A point is two vectors, the real and imaginary parts of as many numbers as there are lanes. Transforms are along points, in
   place and in passes: a pass of radix r splits every transform of r * m points into r of m (J. W. Cooley and J. W. Tukey, "An
   algorithm for the machine calculation of complex Fourier series", 1965). Forward passes decimate in frequency, and leave bins in
   the order of reversed digits; inverse ones undo them, the last one first, and take that order. Spectra are only multiplied by
   each other, so nothing is ever sorted. Along the other axis, squares of points are turned first: lanes become points. Lanes never
   meet, so bits do not depend on how many there are.

   Why own transforms: the fast libraries need a C++ compiler or a licence of their own, and they keep rows of interleaved numbers in
   natural order, which costs shuffles and a sort that a convolution does not need. */
#include "expects.h"
#include "kernels.h"
#include "move.inc.h"
#include "simd.h"

#undef POINT
#define POINT (2 * LANES) /* numbers */

/* The transform of 4 points; x[1] and x[3] count `odd` times, if that is not 1. */
INLINE void NAMED(dft4)(vec *re, vec *im, const int is_scaled, const vec odd) {
    const vec even_r = v_add(re[0], re[2]), even_i = v_add(im[0], im[2]);
    const vec diff_r = v_sub(re[0], re[2]), diff_i = v_sub(im[0], im[2]);
    const vec odd_r = v_add(re[1], re[3]), odd_i = v_add(im[1], im[3]);
    const vec turn_r = v_sub(im[1], im[3]), turn_i = v_sub(re[3], re[1]); /* -i times their difference */
    re[0] = is_scaled ? v_fma(odd, odd_r, even_r) : v_add(even_r, odd_r);
    im[0] = is_scaled ? v_fma(odd, odd_i, even_i) : v_add(even_i, odd_i);
    re[2] = is_scaled ? v_fnma(odd, odd_r, even_r) : v_sub(even_r, odd_r);
    im[2] = is_scaled ? v_fnma(odd, odd_i, even_i) : v_sub(even_i, odd_i);
    re[1] = is_scaled ? v_fma(odd, turn_r, diff_r) : v_add(diff_r, turn_r);
    im[1] = is_scaled ? v_fma(odd, turn_i, diff_i) : v_add(diff_i, turn_i);
    re[3] = is_scaled ? v_fnma(odd, turn_r, diff_r) : v_sub(diff_r, turn_r);
    im[3] = is_scaled ? v_fnma(odd, turn_i, diff_i) : v_sub(diff_i, turn_i);
}

/* The transform of 8 points: of the sums and of the differences of those 4 apart, the latter turned by eighths. */
INLINE void NAMED(dft8)(vec *re, vec *im) {
    vec even_r[4], even_i[4], odd_r[4], odd_i[4];
    UNROLLED for (int p = 0; p < 4; p++) {
        const vec r = v_sub(re[p], re[p + 4]), i = v_sub(im[p], im[p + 4]);
        even_r[p] = v_add(re[p], re[p + 4]), even_i[p] = v_add(im[p], im[p + 4]);
        odd_r[p] = p == 0 ? r : p == 1 ? v_add(r, i) : p == 2 ? i : v_sub(i, r);
        odd_i[p] = p == 0 ? i : p == 1 ? v_sub(i, r) : p == 2 ? v_sub(v_splat(0), r) : v_sub(v_splat(0), v_add(r, i));
    }
    NAMED(dft4)(even_r, even_i, 0, v_splat(1));
    NAMED(dft4)(odd_r, odd_i, 1, v_splat((real)0.70710678118654752440));
    UNROLLED for (int q = 0; q < 4; q++) {
        re[2 * q] = even_r[q], im[2 * q] = even_i[q];
        re[2 * q + 1] = odd_r[q], im[2 * q + 1] = odd_i[q];
    }
}

INLINE void NAMED(dft3)(vec *re, vec *im) {
    const vec half = v_splat((real)0.5), sine = v_splat((real)0.86602540378443864676);
    const vec sum_r = v_add(re[1], re[2]), sum_i = v_add(im[1], im[2]);
    const vec diff_r = v_sub(im[1], im[2]), diff_i = v_sub(re[2], re[1]);
    const vec mean_r = v_fnma(half, sum_r, re[0]), mean_i = v_fnma(half, sum_i, im[0]);
    re[0] = v_add(re[0], sum_r), im[0] = v_add(im[0], sum_i);
    re[1] = v_fma(sine, diff_r, mean_r), im[1] = v_fma(sine, diff_i, mean_i);
    re[2] = v_fnma(sine, diff_r, mean_r), im[2] = v_fnma(sine, diff_i, mean_i);
}

INLINE void NAMED(dft5)(vec *re, vec *im) {
    const vec cos1 = v_splat((real)0.30901699437494742410), cos2 = v_splat((real)-0.80901699437494742410);
    const vec sin1 = v_splat((real)0.95105651629515357212), sin2 = v_splat((real)0.58778525229247312917);
    const vec near_r = v_add(re[1], re[4]), near_i = v_add(im[1], im[4]), far_r = v_add(re[2], re[3]), far_i = v_add(im[2], im[3]);
    const vec turn1_r = v_sub(im[1], im[4]), turn1_i = v_sub(re[4], re[1]);
    const vec turn2_r = v_sub(im[2], im[3]), turn2_i = v_sub(re[3], re[2]);
    const vec even1_r = v_fma(cos2, far_r, v_fma(cos1, near_r, re[0])), even1_i = v_fma(cos2, far_i, v_fma(cos1, near_i, im[0]));
    const vec even2_r = v_fma(cos1, far_r, v_fma(cos2, near_r, re[0])), even2_i = v_fma(cos1, far_i, v_fma(cos2, near_i, im[0]));
    const vec odd1_r = v_fma(sin2, turn2_r, v_mul(sin1, turn1_r)), odd1_i = v_fma(sin2, turn2_i, v_mul(sin1, turn1_i));
    const vec odd2_r = v_fnma(sin1, turn2_r, v_mul(sin2, turn1_r)), odd2_i = v_fnma(sin1, turn2_i, v_mul(sin2, turn1_i));
    re[0] = v_add(re[0], v_add(near_r, far_r)), im[0] = v_add(im[0], v_add(near_i, far_i));
    re[1] = v_add(even1_r, odd1_r), im[1] = v_add(even1_i, odd1_i), re[4] = v_sub(even1_r, odd1_r), im[4] = v_sub(even1_i, odd1_i);
    re[2] = v_add(even2_r, odd2_r), im[2] = v_add(even2_i, odd2_i), re[3] = v_sub(even2_r, odd2_r), im[3] = v_sub(even2_i, odd2_i);
}

/* Multiply by a scalar of modulus 1 (twiddle factor). */
INLINE void NAMED(twiddle)(vec *re, vec *im, const vec cosine, const vec sine) {
    const vec r = *re;
    *re = v_fnma(*im, sine, v_mul(r, cosine));
    *im = v_fma(r, sine, v_mul(*im, cosine));
}

/* Butterflies of one place in each of `blocks` transforms of radix * m points; forward ones are turned behind, inverse ones in
   front, unless the place is the first. Real and imaginary parts change places in an inverse transform. */
INLINE void NAMED(butterflies)(const int radix, const int inverse, const int turned, real *x, const ptrdiff_t m,
                               const ptrdiff_t blocks, const real *w) {
    const ptrdiff_t r_at = inverse ? LANES : 0, i_at = LANES - r_at, step = m * POINT;
    vec cosine[8], sine[8];
    UNROLLED for (int q = 1; q < radix; q++)
        if (turned) cosine[q] = v_splat(w[2 * q - 2]), sine[q] = v_splat(w[2 * q - 1]);
    ROLLED for (ptrdiff_t b = 0; b < blocks; b++, x += radix * step) {
        vec re[8], im[8];
        UNROLLED for (int q = 0; q < radix; q++) {
            re[q] = v_load(x + q * step + r_at), im[q] = v_load(x + q * step + i_at);
            if (inverse && turned && q) NAMED(twiddle)(re + q, im + q, cosine[q], sine[q]);
        }
        if (radix == 3) NAMED(dft3)(re, im);
        if (radix == 4) NAMED(dft4)(re, im, 0, v_splat(1));
        if (radix == 5) NAMED(dft5)(re, im);
        if (radix == 8) NAMED(dft8)(re, im);
        UNROLLED for (int q = 0; q < radix; q++) {
            if (!inverse && turned && q) NAMED(twiddle)(re + q, im + q, cosine[q], sine[q]);
            v_store(x + q * step + r_at, re[q]), v_store(x + q * step + i_at, im[q]);
        }
    }
}

INLINE void NAMED(fft_pass)(const int radix, const int inverse, real *x, const ptrdiff_t m, const ptrdiff_t blocks,
                            const real *w) {
    NAMED(butterflies)(radix, inverse, 0, x, m, blocks, w);
    ROLLED for (ptrdiff_t j = 1; j < m; j++) {
        w += 2 * (radix - 1);
        NAMED(butterflies)(radix, inverse, 1, x + j * POINT, m, blocks, w);
    }
}

#define FFT_RADICES(F) F(3) F(4) F(5) F(8)
#define FFT_PASSES(radix) \
    NOINLINE void NAMED(forward_##radix)(real *x, ptrdiff_t m, ptrdiff_t blocks, const real *w) { \
        NAMED(fft_pass)(radix, 0, x, m, blocks, w); \
    } \
    NOINLINE void NAMED(inverse_##radix)(real *x, ptrdiff_t m, ptrdiff_t blocks, const real *w) { \
        NAMED(fft_pass)(radix, 1, x, m, blocks, w); \
    }
FFT_RADICES(FFT_PASSES)
#undef FFT_PASSES

static void NAMED(fft_forward)(const fc_fft *fft, void *points) {
    const real *w = fft->twiddles;
    ptrdiff_t m = fft->length;
    expects(fft->length > 0 && fft->passes <= FFT_MAX_PASSES);
    for (ptrdiff_t pass = 0; pass < fft->passes; pass++) {
        const ptrdiff_t radix = fft->radix[pass], blocks = fft->length / m;
        m /= radix;
#define FFT_FORWARD(r) if (radix == r) NAMED(forward_##r)(points, m, blocks, w);
        FFT_RADICES(FFT_FORWARD)
        w += 2 * (radix - 1) * m;
    }
}

static void NAMED(fft_inverse)(const fc_fft *fft, void *points) {
    const real *w = (const real *)fft->twiddles + fft->twiddle_numbers;
    ptrdiff_t m = 1;
    for (ptrdiff_t pass = fft->passes - 1; pass >= 0; pass--) {
        const ptrdiff_t radix = fft->radix[pass], blocks = fft->length / (m * radix);
        w -= 2 * (radix - 1) * m;
#define FFT_INVERSE(r) if (radix == r) NAMED(inverse_##r)(points, m, blocks, w);
        FFT_RADICES(FFT_INVERSE)
        m *= radix;
    }
}
#undef FFT_RADICES
#undef FFT_FORWARD
#undef FFT_INVERSE

/* Turn squares of LANES points, so that lanes become points: those at from + s * from_step go to to + s * to_step, in points. */
static void NAMED(fft_turn)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t squares) {
    for (ptrdiff_t s = 0; s < squares; s++)
        for (int part = 0; part < POINT; part += LANES) {
            const real *source = (const real *)from + s * from_step * POINT + part;
            real *target = (real *)to + s * to_step * POINT + part;
            vec square[LANES];
            UNROLLED for (int i = 0; i < LANES; i++) square[i] = v_load(source + i * POINT);
            NAMED(transpose_vectors)(square);
            UNROLLED for (int i = 0; i < LANES; i++) v_store(target + i * POINT, square[i]);
        }
}

/* to[p] = sum over terms t of x[t][first + p] * w[t][first + p]; the parts of w have changed places, and those of x and `to` do if `inverse`. */
static void NAMED(fft_multiply)(void *to, const void *const *x, const void *const *w, ptrdiff_t terms, ptrdiff_t first,
                                ptrdiff_t points, int inverse) {
    const ptrdiff_t r_at = inverse ? LANES : 0, i_at = LANES - r_at;
    expects(points % FFT_AT_ONCE == 0);
    ROLLED for (ptrdiff_t at = 0; at < points * POINT; at += FFT_AT_ONCE * POINT) {
        real *const out = (real *)to + at;
        vec re[FFT_AT_ONCE], im[FFT_AT_ONCE];
        UNROLLED for (int p = 0; p < FFT_AT_ONCE; p++) re[p] = im[p] = v_splat(0);
        ROLLED for (ptrdiff_t t = 0; t < terms; t++) {
            const real *one = (const real *)x[t] + first * POINT + at;
            const real *other = (const real *)w[t] + first * POINT + at;
            UNROLLED for (int p = 0; p < FFT_AT_ONCE; p++) {
                const vec r = v_load(one + p * POINT + r_at), i = v_load(one + p * POINT + i_at);
                const vec sine = v_load(other + p * POINT), cosine = v_load(other + p * POINT + LANES);
                re[p] = v_fnma(i, sine, v_fma(r, cosine, re[p]));
                im[p] = v_fma(i, cosine, v_fma(r, sine, im[p]));
            }
        }
        UNROLLED for (int p = 0; p < FFT_AT_ONCE; p++)
            v_store(out + p * POINT + r_at, re[p]), v_store(out + p * POINT + i_at, im[p]);
    }
}

/* Load some numbers of a row, zeros behind them. */
INLINE vec NAMED(load_some)(const real *row, const ptrdiff_t count) {
    return count >= LANES ? v_load(row) : count <= 0 ? v_splat(0) : NAMED(load_part)(row, (1u << count) - 1);
}

/* Fill a column of points with two blocks, and note the largest magnitudes in each band of rows. */
static void NAMED(fft_load)(const fc_fft_load *load, void *points, ptrdiff_t column) {
    const ptrdiff_t rows = load->rows;
    expects(load->length >= rows && load->band_rows > 0);
    for (int part = 0; part < 2; part++) {
        const fc_fft_block *block = &load->block[part];
        const real *from = (const real *)block->from + column;
        const ptrdiff_t step = block->row_step;
        const ptrdiff_t whole = block->columns - column >= LANES ? block->rows - 1 : 0;
        real *to = (real *)points + part * LANES, *bright = block->bright ? (real *)block->bright + column : NULL;
        for (ptrdiff_t first = 0; first < rows; first += load->band_rows) {
            const ptrdiff_t last = first + load->band_rows < rows ? first + load->band_rows : rows;
            vec most = v_splat(0);
            ptrdiff_t row = first;
            for (; row < last && row < whole; row++) {
                const vec x = v_load(from + row * step);
                prefetch_l2(from + row * step + 2 * LANES); /* rows lie in pages of their own */
                v_store(to + row * POINT, x);
                most = v_max(most, v_abs(x));
            }
            for (; row < last; row++) {
                const ptrdiff_t columns = row < block->rows - 1 ? block->columns : row < block->rows ? block->last_columns : 0;
                const vec x = NAMED(load_some)(from + row * step, columns - column);
                v_store(to + row * POINT, x);
                most = v_max(most, v_abs(x));
            }
            if (bright) {
                v_store(bright, v_max(v_load(bright), most));
                bright += load->bright_step;
            }
        }
        for (ptrdiff_t row = rows; row < load->length; row++) v_store(to + row * POINT, v_splat(0));
    }
}

/* Rows of one part of columns of points: to[row * to_step + x] = scale * (number x of point row * row_step) + bias, clipped to
   low..high.
   Returns 1 if any number was NaN or infinite, else 0. */
static int NAMED(fft_store)(const fc_fft_store *store, void *to_, ptrdiff_t to_step, const void *from_, ptrdiff_t rows,
                            ptrdiff_t columns) {
    const vec scale = v_splat((real)store->scale), bias = v_splat((real)store->bias);
    const vec low = v_splat((real)store->low), high = v_splat((real)store->high);
    vec nonfinite = v_splat(0);
    for (ptrdiff_t row = 0; row < rows; row++) {
        const real *from = (const real *)from_ + row * store->row_step * POINT;
        real *to = (real *)to_ + row * to_step;
        ptrdiff_t column = 0;
        for (; column + LANES <= columns; column += LANES, from += store->column_step * POINT) {
            prefetch_l2(to + 4 * to_step + column);
            const vec x = v_load(from);
            nonfinite = v_fma(x, v_splat(0), nonfinite);
            v_store(to + column, NAMED(clip)(v_fma(scale, x, bias), low, high));
        }
        if (column < columns) {
            const vec x = v_load(from);
            nonfinite = v_fma(x, v_splat(0), nonfinite);
            NAMED(store_part)(to + column, (1u << (columns - column)) - 1, NAMED(clip)(v_fma(scale, x, bias), low, high));
        }
    }
    return NAMED(has_nan)(nonfinite);
}
