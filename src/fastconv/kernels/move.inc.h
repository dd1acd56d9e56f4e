/* Data movement: parts of vectors, transposition, deinterleaving, and the ways between rows of numbers and vectors.

   Most are butterflies. The index of a number in a square of vectors is (vector, lane), both in bits; a step of a butterfly
   exchanges one bit of the vector with one bit of the lane, and log2(LANES) steps transpose the square. */
#include "epilogue.inc.h"
#include "expects.h"
#include "kernels.h"
#include "simd.h"

#if defined(MOVE) == (REAL_BITS == 64) /* once for float, then once for double */
#if REAL_BITS == 32
#  define MOVE
#else
#  undef MOVE
#endif

#ifndef v_load_mask
NOINLINE vec NAMED(load_lanes)(const real *pixels, const unsigned mask) {
    real lanes[LANES];
    for (int i = 0; i < LANES; i++) lanes[i] = mask >> i & 1 ? pixels[i] : 0;
    return v_load(lanes);
}
#endif

/* Load the lanes whose bits are set in mask, and read no others, which are zero. */
INLINE vec NAMED(load_part)(const real *pixels, const unsigned mask) {
#ifdef v_load_mask
    return v_load_mask(pixels, mask);
#else
    return mask == (1u << LANES) - 1 ? v_load(pixels) : NAMED(load_lanes)(pixels, mask);
#endif
}

/* Load a vector of a row from `column` on, with zeros where the row has no columns. */
INLINE vec NAMED(load_columns)(const real *row, const ptrdiff_t column, const ptrdiff_t columns) {
    const ptrdiff_t before = column < 0 ? -column : 0, behind = columns - column, first = before < LANES ? before : LANES;
    const ptrdiff_t last = behind < first ? first : behind < LANES ? behind : LANES;
    return NAMED(load_part)(row + column, (1u << last) - (1u << first));
}

INLINE int NAMED(has_nan)(const vec x) {
    real lanes[LANES];
    int nans = 0;
    v_store(lanes, x);
    for (int i = 0; i < LANES; i++) nans |= lanes[i] != lanes[i];
    return nans;
}

/* Swap a bit of the register index with the lowest bit of the lane index, or with the lowest bit of the index of quads. */
INLINE void NAMED(transpose_step)(vec *row, const int bit, const int quads) {
    UNROLLED for (int i = 0; i < LANES; i++)
        if (!(i & bit)) {
            const vec a = row[i], b = row[i + bit];
            row[i] = quads ? v_even_quads(a, b) : v_zip_low(a, b);
            row[i + bit] = quads ? v_odd_quads(a, b) : v_zip_high(a, b);
        }
}

/* Transpose LANES vectors in registers. */
INLINE void NAMED(transpose_vectors)(vec *row) {
    if (QUAD_LANES > 2) NAMED(transpose_step)(row, 2, 0);
    if (QUAD_LANES > 1) NAMED(transpose_step)(row, 1, 0);
    if (LANES > QUAD_LANES) NAMED(transpose_step)(row, QUAD_LANES, 1);
    if (LANES > 2 * QUAD_LANES) NAMED(transpose_step)(row, 2 * QUAD_LANES, 1);
}

/* Interleave `count` vectors, a power of two: lane i of all of them, then lane i + 1. */
INLINE void NAMED(interleave)(const int count, vec *row) {
    vec zipped[TRANSFORM_MAX_POSITIONS];
    UNROLLED for (int done = 1; done < count; done *= 2) {
        UNROLLED for (int i = 0; i < count / 2; i++) {
            zipped[2 * i] = v_low(row[i], row[i + count / 2]);
            zipped[2 * i + 1] = v_high(row[i], row[i + count / 2]);
        }
        UNROLLED for (int i = 0; i < count; i++) row[i] = zipped[i];
    }
}

/* Deinterleave `phases` vectors, a power of two: the lanes of phase 0, then those of phase 1. The inverse of `interleave`. */
INLINE void NAMED(deinterleave_vectors)(const int phases, vec *row) {
    vec halves[8];
    UNROLLED for (int bit = 1; bit < phases; bit *= 2) {
        UNROLLED for (int v = 0; v < phases / 2; v++) {
            halves[v] = v_even(row[2 * v], row[2 * v + 1]);
            halves[v + phases / 2] = v_odd(row[2 * v], row[2 * v + 1]);
        }
        UNROLLED for (int v = 0; v < phases; v++) row[v] = halves[v];
    }
}

/* Vectors of pixels to vectors of their 2, 3, 4 or 8 channels. */
INLINE void NAMED(split_channels)(const int channels, vec *row) {
    if (channels != 3) {
        NAMED(deinterleave_vectors)(channels, row);
        return;
    }
#ifdef v_third
    const vec a = row[0], b = row[1], c = row[2];
    row[0] = v_third(a, b, c, 0);
    row[1] = v_third(a, b, c, 1);
    row[2] = v_third(a, b, c, 2);
#endif
}

/* The inverse of split_channels. */
INLINE void NAMED(merge_channels)(const int channels, vec *row) {
    if (channels != 3) {
        NAMED(interleave)(channels, row);
        return;
    }
#ifdef v_third
    const vec a = v_mix(row[0], 0), b = v_mix(row[1], 1), c = v_mix(row[2], 2);
    row[0] = v_mixed(a, b, c, 0);
    row[1] = v_mixed(a, b, c, 1);
    row[2] = v_mixed(a, b, c, 2);
#endif
}

/* Transpose pixels of few channels, side by side: as `transpose`, with `channels` columns, or rows if they are merged. The
   last vectors move back; `second` is the pixel where the second ones begin, and non-temporal stores do. */
INLINE void NAMED(transpose_pixels)(const int channels, const int merges, real *to, const ptrdiff_t to_step, const real *from,
                                    const ptrdiff_t from_step, const ptrdiff_t pixels, const ptrdiff_t second,
                                    const int nontemporal) {
    ROLLED for (ptrdiff_t p = 0; p < pixels; p = p ? p + LANES : second) {
        const ptrdiff_t at = p + LANES < pixels ? p : pixels - LANES;
        vec row[TRANSFORM_MAX_POSITIONS];
        UNROLLED for (int i = 0; i < channels; i++)
            row[i] = v_load(merges ? from + i * from_step + at : from + channels * at + i * LANES);
        if (merges)
            NAMED(merge_channels)(channels, row);
        else
            NAMED(split_channels)(channels, row);
        UNROLLED for (int i = 0; i < channels; i++)
            NAMED(store)(merges ? to + channels * at + i * LANES : to + i * to_step + at, row[i], nontemporal && at == p && p >= second % LANES);
    }
}

/* Whether transpose_pixels takes so many channels. */
INLINE int NAMED(are_few)(const ptrdiff_t channels) {
#ifdef v_third
    return (2 <= channels && channels <= 4) || channels == 8;
#else
    return channels == 2 || channels == 4 || channels == 8;
#endif
}

NOINLINE void NAMED(split)(real *to, ptrdiff_t to_step, const real *from, ptrdiff_t pixels, ptrdiff_t channels) {
    if (channels == 2) NAMED(transpose_pixels)(2, 0, to, to_step, from, 0, pixels, LANES, 0);
    if (channels == 3) NAMED(transpose_pixels)(3, 0, to, to_step, from, 0, pixels, LANES, 0);
    if (channels == 4) NAMED(transpose_pixels)(4, 0, to, to_step, from, 0, pixels, LANES, 0);
    if (channels == 8) NAMED(transpose_pixels)(8, 0, to, to_step, from, 0, pixels, LANES, 0);
}

NOINLINE void NAMED(merge)(real *to, const real *from, ptrdiff_t from_step, ptrdiff_t pixels, ptrdiff_t channels,
                           int nontemporal) {
    ptrdiff_t second = LANES;
    while (nontemporal && second > 0 && (size_t)(to + second * channels) % VECTOR_BYTES) second--;
    if (second == 0) second = LANES, nontemporal = 0;
    if (channels == 2) NAMED(transpose_pixels)(2, 1, to, 0, from, from_step, pixels, second, nontemporal);
    if (channels == 3) NAMED(transpose_pixels)(3, 1, to, 0, from, from_step, pixels, second, nontemporal);
    if (channels == 4) NAMED(transpose_pixels)(4, 1, to, 0, from, from_step, pixels, second, nontemporal);
    if (channels == 8) NAMED(transpose_pixels)(8, 1, to, 0, from, from_step, pixels, second, nontemporal);
}

#ifdef v_load_mask
/* Transpose a matrix with fewer columns than a vector has lanes; the last ones of its rows move back. */
NOINLINE void NAMED(transpose_narrow)(real *to, ptrdiff_t to_step, const real *from, ptrdiff_t from_step, ptrdiff_t rows,
                                      ptrdiff_t columns) {
    for (ptrdiff_t r = 0; r < rows; r += LANES) {
        const ptrdiff_t row = r + LANES < rows ? r : rows - LANES;
        vec square[LANES];
        UNROLLED for (int i = 0; i < LANES; i++)
            square[i] = NAMED(load_part)(from + (row + i) * from_step, (1u << columns) - 1);
        NAMED(transpose_vectors)(square);
        UNROLLED for (int i = 0; i < LANES; i++)
            if (i < columns) v_store(to + i * to_step + row, square[i]);
    }
}
#endif

/* Transpose a matrix square by square; the last squares move back and lie over their neighbours. */
NOINLINE void NAMED(transpose_some)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t rows,
                                    ptrdiff_t columns, int nontemporal) {
    real *target = to;
    const real *source = from;
    expects(to && from && rows >= 0 && columns >= 0);
    if (rows >= LANES && from_step == columns && NAMED(are_few)(columns)) {
        NAMED(split)(target, to_step, source, rows, columns);
        return;
    }
    if (columns >= LANES && to_step == rows && NAMED(are_few)(rows)) {
        NAMED(merge)(target, source, from_step, columns, rows, nontemporal);
        return;
    }
#ifdef v_load_mask
    if (rows >= LANES && 1 < columns && columns < LANES) {
        NAMED(transpose_narrow)(target, to_step, source, from_step, rows, columns);
        return;
    }
#endif
    if (rows < LANES || columns < LANES) {
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t c = 0; c < columns; c++) target[c * to_step + r] = source[r * from_step + c];
        return;
    }
    nontemporal = nontemporal && (size_t)to % VECTOR_BYTES == 0 && to_step % LANES == 0;
    for (ptrdiff_t c = 0; c < columns; c += LANES)
        for (ptrdiff_t r = 0; r < rows; r += LANES) {
            const ptrdiff_t row = r + LANES < rows ? r : rows - LANES, column = c + LANES < columns ? c : columns - LANES;
            vec square[LANES];
            UNROLLED for (int i = 0; i < LANES; i++) square[i] = v_load(source + (row + i) * from_step + column);
            NAMED(transpose_vectors)(square);
            UNROLLED for (int i = 0; i < LANES; i++)
                NAMED(store)(target + (column + i) * to_step + row, square[i], nontemporal && row == r);
        }
}

static void NAMED(transpose)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t rows,
                             ptrdiff_t columns) {
    NAMED(transpose_some)(to, to_step, from, from_step, rows, columns, 0);
}

static void NAMED(stream_transposed)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t rows,
                                     ptrdiff_t columns) {
    NAMED(transpose_some)(to, to_step, from, from_step, rows, columns, 1);
}

/* Deinterleave rows. In long rows the second vector begins at the image's first column, where the image may be aligned. The
   last vector of a slot moves back; what overruns a slot that is shorter than a vector is overwritten by the next slot. */
INLINE void NAMED(deinterleave_phases)(const int phases, const fc_deinterleave *rows) {
    const ptrdiff_t last = rows->to_step > LANES ? rows->to_step - LANES : 0, columns = rows->columns;
    const ptrdiff_t left = -rows->first / phases % LANES, second = left > 0 && last >= 3 * LANES ? left : LANES;
    const real *pixels = rows->from;
    real *to = rows->to;
    for (ptrdiff_t r = 0; r < rows->rows; r++, pixels += rows->from_step, to += rows->slots * rows->to_step) {
        ROLLED for (ptrdiff_t i = 0; i < rows->to_step; i = i ? i + LANES : second) {
            const ptrdiff_t at = i < last ? i : last, column = rows->first + phases * at;
            vec row[8];
            if (column >= 0 && column + phases * LANES <= columns)
                UNROLLED for (int v = 0; v < phases; v++) row[v] = v_load(pixels + column + v * LANES);
            else
                UNROLLED for (int v = 0; v < phases; v++) row[v] = NAMED(load_columns)(pixels, column + v * LANES, columns);
            NAMED(deinterleave_vectors)(phases, row);
            UNROLLED for (int slot = 0; slot < phases; slot++)
                if (slot < rows->slots) v_store(to + slot * rows->to_step + at, row[slot]);
        }
    }
}

static void NAMED(deinterleave)(const fc_deinterleave *rows) {
    expects(rows->to && rows->from && rows->to_step > 0 && rows->columns >= 0 && rows->rows >= 0);
    expects(rows->phases == 1 || rows->phases == 2 || rows->phases == 4 || rows->phases == 8);
    expects(1 <= rows->slots && rows->slots <= rows->phases);
    if (rows->phases == 1)
        NAMED(deinterleave_phases)(1, rows);
    else if (rows->phases == 2)
        NAMED(deinterleave_phases)(2, rows);
    else if (rows->phases == 4)
        NAMED(deinterleave_phases)(4, rows);
    else
        NAMED(deinterleave_phases)(8, rows);
}

/* Copy whole vectors: what overruns a run is overwritten by the next one, or lies behind the panel. */
static void NAMED(im2col)(const fc_im2col *im2col) {
    const ptrdiff_t *start = im2col->start, *seen = im2col->seen, *length = im2col->length, runs = im2col->runs;
    real *row = im2col->panel;
    expects(row && im2col->image && im2col->offset && im2col->taps > 0 && runs > 0);
    for (ptrdiff_t s = 0; s < runs; s++)
        expects(start[s] >= 0 && length[s] > 0 && start[s] + length[s] <= (s + 1 < runs ? start[s + 1] : im2col->width));
    for (ptrdiff_t t = 0; t < im2col->taps; t++, row += im2col->width) {
        const real *image = (const real *)im2col->image + im2col->offset[t];
        for (ptrdiff_t s = 0; s < runs; s++) {
            const real *from = image + seen[s];
            real *to = row + start[s];
            v_store(to, v_load(from));
            for (ptrdiff_t i = LANES; i < length[s]; i += LANES) v_store(to + i, v_load(from + i));
        }
    }
}

/* Transpose LANES places of all rows at a time; the last ones move back over their neighbours, and few that are left over, an
   eighth of a vector, are copied one by one, as are all where no whole vector may be read. */
static void NAMED(gather)(void *to, const void *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t count, ptrdiff_t before,
                          ptrdiff_t room) {
    real *out = to;
    const real *in = from;
    ptrdiff_t p = 0;
    expects(to && from && 1 <= rows && rows <= LANES && before >= 0 && 0 <= count && count <= room);
    for (; p + LANES / 8 < count && LANES <= before + room; p += LANES) {
        const ptrdiff_t at = p < room - LANES ? p : room - LANES;
        vec pixels[LANES];
        UNROLLED for (int i = 0; i < LANES; i++) pixels[i] = i < rows ? v_load(in + i * from_step + at) : v_splat(0);
        NAMED(transpose_vectors)(pixels);
        UNROLLED for (int i = 0; i < LANES; i++) v_store(out + (at + i) * LANES, pixels[i]);
    }
    for (; p < count; p++)
        for (ptrdiff_t i = 0; i < LANES; i++) out[p * LANES + i] = i < rows ? in[i * from_step + p] : 0;
}

/* The inverse of `gather`, with the epilogue; zero times all numbers adds up to a NaN if any of them is not finite. */
static int NAMED(scatter)(void *to, ptrdiff_t to_step, ptrdiff_t rows, const void *from, ptrdiff_t count, const void *bias,
                          double low_, double high_, int nontemporal) {
    const vec low = v_splat((real)low_), high = v_splat((real)high_);
    const int streams = nontemporal && sizeof(vec) == 64 && (size_t)to % sizeof(vec) == 0 && to_step % LANES == 0;
    vec nonfinite = v_splat(0);
    ptrdiff_t p = 0;
    expects(to && from && bias && 1 <= rows && rows <= LANES && count >= 0 && low_ <= high_);
    for (; p + LANES / 8 < count; p += LANES) {
        const ptrdiff_t inside = count - p;
        vec maps[LANES];
        UNROLLED for (int i = 0; i < LANES; i++) {
            maps[i] = i < inside ? v_load((const real *)from + (p + i) * LANES) : v_splat(0);
            nonfinite = v_fma(maps[i], v_splat(0), nonfinite);
        }
        NAMED(transpose_vectors)(maps);
        UNROLLED for (int i = 0; i < LANES; i++) {
            if (i >= rows) break;
            const vec map = NAMED(clip)(v_add(maps[i], v_splat(((const real *)bias)[i])), low, high);
            if (streams && inside >= LANES)
                v_stream((real *)to + i * to_step + p, map);
            else
                NAMED(store_part)((real *)to + i * to_step + p, inside < LANES ? (1u << inside) - 1 : (1u << LANES) - 1, map);
        }
    }
    for (; p < count; p++) {
        const vec pixel = v_load((const real *)from + p * LANES);
        real lanes[LANES];
        nonfinite = v_fma(pixel, v_splat(0), nonfinite);
        v_store(lanes, pixel);
        for (ptrdiff_t i = 0; i < rows; i++) {
            const real map = lanes[i] + ((const real *)bias)[i];
            ((real *)to)[i * to_step + p] = map < low_ ? (real)low_ : map > high_ ? (real)high_ : map;
        }
    }
    return NAMED(has_nan)(nonfinite);
}

#endif
