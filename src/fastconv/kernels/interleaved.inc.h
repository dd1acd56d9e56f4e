/* Rows of transposed convolutions with pixels in the lanes.

   With a stride along the columns, the outputs of a row with the same remainder by it make a phase, which sees some of
   the taps. A phase is summed like the maps of a convolution without stride, in register tiles of filters and pixels; the
   phases of a few vectors of pixels meet in a small buffer, and are interleaved from there into the maps. This is stride 2,
   two filters:

       image          x0 x1 x2 x3 ...
         |              taps of phase 0        taps of phase 1
         v
       sums           a0 a1 a2 a3 ...        b0 b1 b2 b3 ...       filter 0, 4 vectors of each
                      c0 c1 c2 c3 ...        d0 d1 d2 d3 ...       filter 1
         |
         v
       maps           a0 b0 a1 b1 a2 b2 ...
                      c0 d0 c1 d1 c2 d2 ... */
#include "epilogue.inc.h"
#include "expects.h"
#include "kernels.h"
#include "move.inc.h"
#include "simd.h"
#include "variants.h"

/* Add the products of some taps to sums (filters, vectors) of one phase. */
INLINE void NAMED(add_taps)(const int filters, const int vectors, vec (*sum)[TILE_MAX_VECTORS], const fc_interleaved_row *row,
                            const real *image, const ptrdiff_t first, const ptrdiff_t last) {
    const ptrdiff_t *offset = row->offset + first, *end = row->offset + last;
    const real *weight = (const real *)row->weight + first * filters;
    ROLLED for (; offset < end; offset++, weight += filters) {
        /* In integers, or compilers would keep a pointer for every vector, more than there are registers for. */
        const real *pixels = (const real *)((size_t)image + (size_t)*offset * sizeof(real));
        vec w[TILE_MAX_FILTERS];
        UNROLLED for (int i = 0; i < filters; i++) w[i] = v_splat(weight[i]);
        UNROLLED for (int j = 0; j < vectors; j++) {
            const vec x = v_load(pixels + j * LANES);
            UNROLLED for (int i = 0; i < filters; i++) sum[i][j] = v_fma(w[i], x, sum[i][j]);
        }
    }
}

/* Sum one phase of some vectors of pixels into sums (filters, vectors), chunk by chunk of its taps. */
INLINE void NAMED(sum_phase)(const int filters, const int vectors, const fc_interleaved_row *row, const ptrdiff_t phase,
                             const real *image, real *sums) {
    ptrdiff_t first = row->first[phase];
    const ptrdiff_t last = row->first[phase + 1];
    real *to[TILE_MAX_VECTORS];
    UNROLLED for (int j = 0; j < vectors; j++) to[j] = sums + j * LANES;
    for (int adds = 0; first < last || !adds; adds = 1, first += row->chunk) {
        const int is_last = last - first <= row->chunk;
        vec sum[TILE_MAX_FILTERS][TILE_MAX_VECTORS];
        UNROLLED for (int i = 0; i < filters; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_splat(adds ? 0 : ((const real *)row->bias)[i]);
        NAMED(add_taps)(filters, vectors, sum, row, image, first, is_last ? last : first + row->chunk);
        NAMED(finish_tile)(filters, vectors, sum, to, vectors * LANES, adds, is_last ? row->low : -INFINITY,
                           is_last ? row->high : INFINITY);
    }
}

/* Store neighbouring vectors of a row of which only `columns` numbers are left. */
INLINE void NAMED(store_columns)(const int vectors, real *map, const vec *row, const ptrdiff_t columns, const int streams) {
    UNROLLED for (int v = 0; v < vectors; v++) {
        const ptrdiff_t inside = columns - v * LANES;
        if (inside >= LANES)
            NAMED(store)(map + v * LANES, row[v], streams);
        else if (inside > 0)
            NAMED(store_part)(map + v * LANES, (1u << inside) - 1, row[v]);
    }
}

/* map[i * phases + p] = sums[p * step + i], for `columns` numbers of the map; phases are a power of two, up to 8. */
INLINE void NAMED(interleave_vectors)(const int phases, real *map, const real *sums, const ptrdiff_t step,
                                      const ptrdiff_t columns, const int streams) {
    ROLLED for (ptrdiff_t column = 0; column < columns; column += phases * LANES, sums += LANES) {
        vec row[8];
        UNROLLED for (int p = 0; p < phases; p++) row[p] = v_load(sums + p * step);
        NAMED(interleave)(phases, row);
        NAMED(store_columns)(phases, map + column, row, columns - column, streams);
    }
}

/* The same for any number of phases. */
NOINLINE void NAMED(interleave_phases)(const ptrdiff_t phases, real *map, const real *sums, const ptrdiff_t step,
                                       const ptrdiff_t columns, const int streams) {
    if (phases == 1)
        NAMED(interleave_vectors)(1, map, sums, step, columns, streams);
    else if (phases == 2)
        NAMED(interleave_vectors)(2, map, sums, step, columns, streams);
    else if (phases == 4)
        NAMED(interleave_vectors)(4, map, sums, step, columns, streams);
    else if (phases == 8)
        NAMED(interleave_vectors)(8, map, sums, step, columns, streams);
    else
        for (ptrdiff_t p = 0; p < phases; p++, sums += step)
            for (ptrdiff_t i = 0; i * phases + p < columns; i++) map[i * phases + p] = sums[i];
}

/* Compute some vectors of pixels of each phase, from pixel `first` of the row on. */
INLINE void NAMED(interleaved_part)(const int filters, const int vectors, const fc_interleaved_row *row,
                                    const ptrdiff_t first, const int streams) {
    const ptrdiff_t phases = row->phases, step = filters * vectors * LANES, left = row->columns - first * phases;
    real *sums = row->sums, *map = (real *)row->map + first * phases;
    for (ptrdiff_t p = 0; p < phases; p++)
        NAMED(sum_phase)(filters, vectors, row, p, (const real *)row->image + first, sums + p * step);
    for (int i = 0; i < filters; i++)
        NAMED(interleave_phases)(phases, map + i * row->map_step, sums + i * vectors * LANES, step,
                                 left < phases * vectors * LANES ? left : phases * vectors * LANES, streams);
}

/* The same for one filter and two phases of few taps: sums stay in registers until they are interleaved. */
INLINE void NAMED(interleaved_pair)(const int vectors, const fc_interleaved_row *row, const ptrdiff_t first, const int streams) {
    const vec low = v_splat((real)row->low), high = v_splat((real)row->high), bias = v_splat(*(const real *)row->bias);
    const real *image = (const real *)row->image + first;
    real *map = (real *)row->map + 2 * first;
    vec sum[2][1][TILE_MAX_VECTORS];
    UNROLLED for (int p = 0; p < 2; p++) {
        UNROLLED for (int j = 0; j < vectors; j++) sum[p][0][j] = bias;
        NAMED(add_taps)(1, vectors, sum[p], row, image, row->first[p], row->first[p + 1]);
    }
    UNROLLED for (int j = 0; j < vectors; j++) {
        vec pair[2] = {NAMED(clip)(sum[0][0][j], low, high), NAMED(clip)(sum[1][0][j], low, high)};
        NAMED(interleave)(2, pair);
        NAMED(store_columns)(2, map + 2 * j * LANES, pair, row->columns - 2 * (first + j * LANES), streams);
    }
}

INLINE void NAMED(interleaved_row)(const int filters, const fc_interleaved_row *row) {
    const ptrdiff_t pixels = (row->columns + row->phases - 1) / row->phases;
    const int streams = row->nontemporal && (size_t)row->map % sizeof(vec) == 0 && row->map_step % LANES == 0;
    ptrdiff_t first = 0;
    expects(row->image && row->weight && row->offset && row->first && row->sums && row->map && row->bias);
    expects(row->phases > 0 && row->chunk > 0 && row->columns > 0 && row->low <= row->high);
    if (filters == 1 && row->phases == 2 && row->first[2] - row->first[0] <= row->chunk) {
        for (; pixels - first > 2 * LANES; first += 4 * LANES) NAMED(interleaved_pair)(4, row, first, streams);
        if (pixels > first) NAMED(interleaved_pair)(2, row, first, streams);
        return;
    }
    if (filters * 4 < REGISTERS - REGISTERS / 8)
        for (; pixels - first > 2 * LANES; first += 4 * LANES) NAMED(interleaved_part)(filters, 4, row, first, streams);
    for (; pixels > first; first += 2 * LANES) NAMED(interleaved_part)(filters, 2, row, first, streams);
}

#define INTERLEAVED_ROW(filters) \
    NOINLINE void NAMED(interleaved_row_##filters)(const fc_interleaved_row *row) { NAMED(interleaved_row)(filters, row); }
INTERLEAVED_ROWS(INTERLEAVED_ROW)
#undef INTERLEAVED_ROW
