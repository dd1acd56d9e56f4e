/* The micro-kernels of the gradient of weights by Winograd's forms: the adjoints of the transforms of outputs and of taps.

   Forward, outputs = A ((G taps) * (B inputs)), * by element, of which the gradient of the taps is
   G' sum over tiles of ((A' gradient of the outputs) * (B inputs)). For the structure of A see winograd.inc.h. */
#include "expects.h"
#include "kernels.h"
#include "move.inc.h"
#include "simd.h"
#include "variants.h"

#define POSITIONS(outputs, taps, stride) ((stride) * ((outputs) - 1) + (taps))

/* For one phase of a form: out[i] = sum over k of A[k * row_step + i] * in[k]. Columns of A of a pair of points share their
   even powers, and their odd ones up to the sign. */
INLINE void NAMED(spread_phase)(const int positions, const int outputs, const int taps, const real *A, const int row_step,
                                const vec *in, vec *out) {
    const int has_zero = positions % 2 == 0, last = positions - 1;
    if (taps == 1) { /* A is the identity */
        UNROLLED for (int k = 0; k < outputs; k++) out[k] = in[k];
        return;
    }
    if (has_zero) out[0] = in[0];
    UNROLLED for (int i = has_zero; i < last; i += 2) {
        vec even = in[0], odd = v_splat(0);
        UNROLLED for (int k = 1; k < outputs; k++) {
            const vec power = v_splat(A[k * row_step + i]);
            if (k % 2)
                odd = v_fma(power, in[k], odd);
            else
                even = v_fma(power, in[k], even);
        }
        out[i] = v_add(even, odd);
        out[i + 1] = v_sub(even, odd);
    }
    out[last] = in[outputs - 1];
}

INLINE void NAMED(spread)(const int outputs, const int taps, const int stride, const fc_transform *t) {
    const int positions = POSITIONS(outputs, taps, stride), first_taps = (taps + stride - 1) / stride;
    const int first = POSITIONS(outputs, first_taps, 1); /* positions of phase 0 */
    const real *A = t->matrix;
    expects(A && t->to && t->items >= 0 && t->runs >= 0);
    for (int k = 0; k < outputs; k++) expects(t->from[k]);
    for (ptrdiff_t run = 0; run < t->runs; run++) {
        const ptrdiff_t item_step = t->item_step, to_item_step = t->to_item_step, to_step = t->to_step;
        const real *from[TRANSFORM_MAX_POSITIONS];
        real *to = (real *)t->to + run * t->to_run_step;
        UNROLLED for (int k = 0; k < outputs; k++) from[k] = (const real *)t->from[k] + run * t->run_step;
        ROLLED for (ptrdiff_t item = 0; item < t->items; item++) {
            vec in[TRANSFORM_MAX_POSITIONS], out[TRANSFORM_MAX_POSITIONS];
            UNROLLED for (int k = 0; k < outputs; k++) in[k] = v_load(from[k] + item * item_step);
            NAMED(spread_phase)(first, outputs, first_taps, A, positions, in, out);
            if (stride == 2)
                NAMED(spread_phase)(positions - first, outputs, taps - first_taps, A + first, positions, in, out + first);
            UNROLLED for (int i = 0; i < positions; i++) v_store(to + item * to_item_step + i * to_step, out[i]);
        }
    }
}

#define SPREAD(outputs, taps, stride) \
    NOINLINE void NAMED(spread_##outputs##_##taps##_##stride)(const fc_transform *transform) { \
        NAMED(spread)(outputs, taps, stride, transform); \
    }
FORMS(SPREAD, SPREAD)
#undef SPREAD
#undef POSITIONS

/* Multiply the transpose of G, a dense matrix (positions, taps), by the products of all positions, for some items at a
   time, which share the numbers of G. Return zero times all sums and `nonfinite`: NaN if any of them is not finite. */
INLINE vec NAMED(collect_items)(const int items, const int taps, const fc_transform *t, const ptrdiff_t positions,
                                 const int adds, const ptrdiff_t run, const ptrdiff_t item, vec nonfinite) {
    const ptrdiff_t from_place = run * t->run_step + item * t->item_step, item_step = t->item_step, to_step = t->to_step;
    const real *row = t->matrix;
    real *to = (real *)t->to + run * t->to_run_step + item * t->to_item_step;
    vec sum[FILTER_TILE_VECTORS][TRANSFORM_MAX_POSITIONS];
    UNROLLED for (int k = 0; k < items; k++)
        UNROLLED for (int j = 0; j < taps; j++) sum[k][j] = adds ? v_load(to + k * t->to_item_step + j * to_step) : v_splat(0);
    ROLLED for (ptrdiff_t i = 0; i < positions; i++, row += taps) {
        const real *from = (const real *)t->from[i] + from_place;
        vec product[FILTER_TILE_VECTORS];
        UNROLLED for (int k = 0; k < items; k++) product[k] = v_load(from + k * item_step);
        UNROLLED for (int j = 0; j < taps; j++) {
            const vec weight = v_splat(row[j]);
            UNROLLED for (int k = 0; k < items; k++) sum[k][j] = v_fma(weight, product[k], sum[k][j]);
        }
    }
    UNROLLED for (int k = 0; k < items; k++)
        UNROLLED for (int j = 0; j < taps; j++) {
            v_store(to + k * t->to_item_step + j * to_step, sum[k][j]);
            nonfinite = v_fma(sum[k][j], v_splat(0), nonfinite);
        }
    return nonfinite;
}

INLINE int NAMED(collect_taps)(const int taps, const fc_transform *t, const ptrdiff_t positions, const int adds) {
    const int items = taps < 5 ? FILTER_TILE_VECTORS : 2; /* whose sums fit 16 registers */
    vec nonfinite = v_splat(0);
    for (ptrdiff_t run = 0; run < t->runs; run++) {
        ptrdiff_t item = 0;
        for (; item + items <= t->items; item += items)
            nonfinite = NAMED(collect_items)(items, taps, t, positions, adds, run, item, nonfinite);
        for (; item < t->items; item++) nonfinite = NAMED(collect_items)(1, taps, t, positions, adds, run, item, nonfinite);
    }
    return NAMED(has_nan)(nonfinite);
}

static int NAMED(collect)(const fc_transform *t, ptrdiff_t positions, ptrdiff_t taps, int adds) {
    expects(t->matrix && t->to && 0 < positions && positions <= TRANSFORM_MAX_POSITIONS);
    expects(0 < taps && taps <= 5);
    for (ptrdiff_t i = 0; i < positions; i++) expects(t->from[i]);
    switch (taps) {
    case 1: return NAMED(collect_taps)(1, t, positions, adds);
    case 2: return NAMED(collect_taps)(2, t, positions, adds);
    case 3: return NAMED(collect_taps)(3, t, positions, adds);
    case 4: return NAMED(collect_taps)(4, t, positions, adds);
    case 5: return NAMED(collect_taps)(5, t, positions, adds);
    }
    return 0;
}
