/* The micro-kernels of Winograd convolution: transforms along one axis, by the matrices of one form.

   A form F(outputs, taps) with a stride computes `outputs` sums of `taps` products from one product per position:
   sums = A ((G taps) * (B inputs)), * by element. It has stride * (outputs - 1) + taps inputs and as many positions,
   which are points: 0 (if their number is even), pairs of a and -a, infinity. Column i of A holds powers of point i.
   Rows of B of a pair differ in the sign of every other column; those of 0 and infinity are zero in every other one.
   With stride 2, even inputs and taps, and odd ones (phases), have stride-1 forms of their own; phase 0 comes first. */
#include "epilogue.inc.h"
#include "expects.h"
#include "kernels.h"
#include "move.inc.h"
#include "simd.h"
#include "variants.h"
#include "winograd_gradient.inc.h"

/* For one phase of a form of this stride: out[i] = sum over j of B[i * row_step + j * stride] * in[j * stride]. */
INLINE void NAMED(forward_phase)(const int positions, const int taps, const real *B, const int row_step,
                                 const int stride, const vec *in, vec *out) {
    const int has_zero = positions % 2 == 0, last = positions - 1;
    if (taps == 1) { /* B is the identity */
        UNROLLED for (int i = 0; i < positions; i++) out[i] = in[i * stride];
        return;
    }
    UNROLLED for (int i = has_zero; i < last; i += 2) {
        const real *b = B + i * row_step;
        vec same = v_splat(0), opposite = v_splat(0); /* in sign, in the two rows of a pair */
        UNROLLED for (int j = has_zero; j < last; j += 2) {
            opposite = v_fma(v_splat(b[j * stride]), in[j * stride], opposite);
            if (j + 1 < last) same = v_fma(v_splat(b[(j + 1) * stride]), in[(j + 1) * stride], same);
        }
        out[i] = v_add(same, opposite);
        out[i + 1] = v_sub(same, opposite);
    }
    vec origin = v_splat(0), infinity = v_splat(0); /* of the points 0 and infinity */
    UNROLLED for (int j = 0; j < positions; j++) {
        if (j % 2 == 0 && has_zero) origin = v_fma(v_splat(B[j * stride]), in[j * stride], origin);
        if (j % 2 == has_zero) infinity = v_fma(v_splat(B[last * row_step + j * stride]), in[j * stride], infinity);
    }
    if (has_zero) out[0] = origin;
    out[last] = infinity;
}

/* For one phase: out[k] += sum over i of A[k * row_step + i] * in[i]. */
INLINE void NAMED(inverse_phase)(const int positions, const int outputs, const int taps, const real *A, const int row_step,
                                 const vec *in, vec *out) {
    const int has_zero = positions % 2 == 0, last = positions - 1;
    if (taps == 1) { /* A is the identity */
        UNROLLED for (int k = 0; k < outputs; k++) out[k] = v_add(out[k], in[k]);
        return;
    }
    if (has_zero) out[0] = v_add(out[0], in[0]);
    UNROLLED for (int i = has_zero; i < last; i += 2) {
        const vec sum = v_add(in[i], in[i + 1]), difference = v_sub(in[i], in[i + 1]);
        out[0] = v_add(out[0], sum);
        UNROLLED for (int k = 1; k < outputs; k++)
            out[k] = v_fma(v_splat(A[k * row_step + i]), k % 2 ? difference : sum, out[k]);
    }
    out[outputs - 1] = v_add(out[outputs - 1], in[last]);
}

#define POSITIONS(outputs, taps, stride) ((stride) * ((outputs) - 1) + (taps))

INLINE void NAMED(forward)(const int outputs, const int taps, const int stride, const real *B, const vec *in, vec *out) {
    const int positions = POSITIONS(outputs, taps, stride), first_taps = (taps + stride - 1) / stride;
    const int first = POSITIONS(outputs, first_taps, 1); /* positions of phase 0 */
    NAMED(forward_phase)(first, first_taps, B, positions, stride, in, out);
    if (stride == 2)
        NAMED(forward_phase)(positions - first, taps - first_taps, B + first * positions + 1, positions, 2, in + 1,
                             out + first);
}

INLINE void NAMED(inverse)(const int outputs, const int taps, const int stride, const real *A, const vec *in, vec *out) {
    const int positions = POSITIONS(outputs, taps, stride), first_taps = (taps + stride - 1) / stride;
    const int first = POSITIONS(outputs, first_taps, 1); /* positions of phase 0 */
    UNROLLED for (int k = 0; k < outputs; k++) out[k] = v_splat(0);
    NAMED(inverse_phase)(first, outputs, first_taps, A, positions, in, out);
    if (stride == 2)
        NAMED(inverse_phase)(positions - first, outputs, taps - first_taps, A + first, positions, in + first, out);
}

INLINE void NAMED(transform)(const int outputs, const int taps, const int stride, const int inverse, const fc_transform *t) {
    const int positions = POSITIONS(outputs, taps, stride), results = inverse ? outputs : positions;
    expects(t->matrix && t->to && t->items >= 0 && t->runs >= 0);
    for (int j = 0; j < positions; j++) expects(t->from[j]);
    for (ptrdiff_t run = 0; run < t->runs; run++) {
        const ptrdiff_t item_step = t->item_step, to_item_step = t->to_item_step, to_step = t->to_step;
        const real *from[TRANSFORM_MAX_POSITIONS];
        real *to = (real *)t->to + run * t->to_run_step;
        UNROLLED for (int j = 0; j < positions; j++) from[j] = (const real *)t->from[j] + run * t->run_step;
        ROLLED for (ptrdiff_t item = 0; item < t->items; item++) {
            vec in[TRANSFORM_MAX_POSITIONS], out[TRANSFORM_MAX_POSITIONS];
            UNROLLED for (int j = 0; j < positions; j++) in[j] = v_load(from[j] + item * item_step);
            if (inverse)
                NAMED(inverse)(outputs, taps, stride, t->matrix, in, out);
            else
                NAMED(forward)(outputs, taps, stride, t->matrix, in, out);
            UNROLLED for (int i = 0; i < results; i++) v_store(to + item * to_item_step + i * to_step, out[i]);
        }
    }
}

/* One run of winograd_few for `filters` filters from f on, which share the loads of the tiles. */
INLINE void NAMED(few_filters)(const int outputs, const int taps, const int filters,
                               const fc_winograd_few *few, const ptrdiff_t f, const ptrdiff_t run) {
    const int positions = POSITIONS(outputs, taps, 1);
    const ptrdiff_t channels = few->channels, to_step = few->runs * LANES;
    const real *weight = (const real *)few->weight + run * channels * positions * LANES + f;
    const real *tiles = (const real *)few->tiles + run * channels * positions * LANES;
    vec sum[FEW_MAX_FILTERS][TRANSFORM_MAX_POSITIONS];
    UNROLLED for (int i = 0; i < positions; i++)
        UNROLLED for (int k = 0; k < filters; k++) sum[k][i] = v_splat(0);
    ROLLED for (ptrdiff_t c = 0; c < channels; c++, tiles += positions * LANES, weight += positions * LANES)
        UNROLLED for (int i = 0; i < positions; i++) {
            const vec in = v_load(tiles + i * LANES);
            UNROLLED for (int k = 0; k < filters; k++) sum[k][i] = v_fma(v_splat(weight[i * LANES + k]), in, sum[k][i]);
        }
    real *to = (real *)few->to + f * outputs * to_step + run * LANES;
    UNROLLED for (int k = 0; k < filters; k++) {
        vec out[TRANSFORM_MAX_POSITIONS];
        NAMED(inverse)(outputs, taps, 1, few->matrix, sum[k], out);
        UNROLLED for (int i = 0; i < outputs; i++) v_store(to + (k * outputs + i) * to_step, out[i]);
    }
}

INLINE void NAMED(winograd_few)(const int outputs, const int taps, const fc_winograd_few *few) {
    const int fit = (REGISTERS - 4) / POSITIONS(outputs, taps, 1); /* filters whose sums leave 4 registers free */
    const int filters = fit < FEW_MAX_FILTERS ? fit : FEW_MAX_FILTERS;
    ptrdiff_t f = 0;
    expects(few->matrix && few->weight && few->tiles && few->to && few->channels > 0 && few->runs > 0);
    expects(0 < few->filters && few->filters <= LANES);
    for (; f + filters <= few->filters; f += filters)
        for (ptrdiff_t run = 0; run < few->runs; run++) NAMED(few_filters)(outputs, taps, filters, few, f, run);
    for (; f < few->filters; f++)
        for (ptrdiff_t run = 0; run < few->runs; run++) NAMED(few_filters)(outputs, taps, 1, few, f, run);
}

INLINE int NAMED(inverse_rows)(const int outputs, const int taps, const fc_inverse_rows *request) {
    const int positions = POSITIONS(outputs, taps, 1);
    const vec low = v_splat((real)request->low), high = v_splat((real)request->high), bias = v_splat((real)request->bias);
    const int clips = request->low > -INFINITY || request->high < INFINITY;
    const ptrdiff_t rows = request->rows, row_step = request->row_step, columns = request->columns;
    const real *from = request->from, *prefetch = request->prefetch, *matrix = request->matrix;
    real *map = request->map;
    const int streams = request->nontemporal && sizeof(vec) == 64 && (size_t)map % sizeof(vec) == 0 && row_step % LANES == 0;
    vec nonfinite = v_splat(0); /* NaN once a sum is not finite: 0 * infinity is NaN */
    expects(outputs != 3 && matrix && from && map && request->low <= request->high);
    expects(0 < columns && columns <= outputs * LANES); /* rows may be 0: a map may have fewer than the dilation */
    if (outputs == 3) return 0; /* not a power of two, as interleave needs */
    ROLLED for (ptrdiff_t row = 0; row < rows; row++, from += positions * LANES, map += row_step, prefetch += row_step) {
        vec in[TRANSFORM_MAX_POSITIONS], out[TRANSFORM_MAX_POSITIONS];
        UNROLLED for (int i = 0; i < positions; i++) in[i] = v_load(from + i * LANES);
        NAMED(inverse)(outputs, taps, 1, matrix, in, out);
        vec total = out[0];
        UNROLLED for (int k = 1; k < outputs; k++) total = v_add(total, out[k]);
        nonfinite = v_fma(total, v_splat(0), nonfinite);
        UNROLLED for (int k = 0; k < outputs; k++) out[k] = v_add(out[k], bias);
        if (clips)
            UNROLLED for (int k = 0; k < outputs; k++) out[k] = NAMED(clip)(out[k], low, high);
        NAMED(interleave)(outputs, out);
        UNROLLED for (int k = 0; k < outputs; k++) {
            const ptrdiff_t inside = columns - k * LANES;
            if (!streams) prefetch_l2(prefetch + k * LANES);
            if (inside >= LANES)
                NAMED(store)(map + k * LANES, out[k], streams);
            else if (inside > 0)
                NAMED(store_part)(map + k * LANES, (1u << inside) - 1, out[k]);
        }
    }
    return NAMED(has_nan)(nonfinite);
}

#define FORM_NAME(name, outputs, taps, stride) NAMED(name##_##outputs##_##taps##_##stride)
#define TRANSFORMS(outputs, taps, stride) \
    NOINLINE void FORM_NAME(forward, outputs, taps, stride)(const fc_transform *transform) { \
        NAMED(transform)(outputs, taps, stride, 0, transform); \
    } \
    NOINLINE void FORM_NAME(inverse, outputs, taps, stride)(const fc_transform *transform) { \
        NAMED(transform)(outputs, taps, stride, 1, transform); \
    }
#define FORM(outputs, taps, stride) \
    TRANSFORMS(outputs, taps, stride) \
    NOINLINE void FORM_NAME(winograd_few, outputs, taps, stride)(const fc_winograd_few *few) { \
        NAMED(winograd_few)(outputs, taps, few); \
    } \
    NOINLINE int FORM_NAME(inverse_rows, outputs, taps, stride)(const fc_inverse_rows *request) { \
        return NAMED(inverse_rows)(outputs, taps, request); \
    }
#define FORM_ROW(outputs, taps, stride) \
    {outputs, taps, stride, FORM_NAME(forward, outputs, taps, stride), FORM_NAME(inverse, outputs, taps, stride), \
     FORM_NAME(spread, outputs, taps, stride), FORM_NAME(winograd_few, outputs, taps, stride), \
     FORM_NAME(inverse_rows, outputs, taps, stride)},
#define TRANSFORMS_ROW(outputs, taps, stride) \
    {outputs, taps, stride, FORM_NAME(forward, outputs, taps, stride), FORM_NAME(inverse, outputs, taps, stride), \
     FORM_NAME(spread, outputs, taps, stride), NULL, NULL},
FORMS(FORM, TRANSFORMS)
static const fc_form NAMED(forms)[] = {FORMS(FORM_ROW, TRANSFORMS_ROW) {0, 0, 0, NULL, NULL, NULL, NULL, NULL}};
#undef FORM_NAME
#undef TRANSFORMS
#undef FORM
#undef FORM_ROW
#undef TRANSFORMS_ROW
#undef POSITIONS

/* For kernels of x_taps columns: along the columns by y, row by row, then each row by x. */
INLINE void NAMED(transform_kernel_rows)(const int x_taps, const fc_kernel_transform *t) {
    const real *y = t->y, *x = t->x, *from = t->from;
    const ptrdiff_t y_taps = t->y_taps, taps = y_taps * x_taps;
    const ptrdiff_t y_rows = t->y_rows, x_rows = t->x_rows, to_step = t->to_column_step;
    ROLLED for (ptrdiff_t c = 0; c < t->channels; c++, from += t->channel_step) {
        vec kernel[KERNEL_MAX_TAPS * KERNEL_MAX_TAPS];
        ROLLED for (ptrdiff_t tap = 0; tap < taps; tap++)
            kernel[tap] = t->offset[tap] < 0 ? v_splat(0) : v_load(from + t->offset[tap]);
        ROLLED for (ptrdiff_t i = 0; i < y_rows; i++) {
            real *to = (real *)t->to + c * t->to_channel_step + i * t->to_row_step;
            vec row[KERNEL_MAX_TAPS];
            UNROLLED for (int v = 0; v < x_taps; v++) row[v] = v_splat(0);
            ROLLED for (ptrdiff_t u = 0; u < y_taps; u++) {
                const vec factor = v_splat(y[i * y_taps + u]);
                UNROLLED for (int v = 0; v < x_taps; v++) row[v] = v_fma(factor, kernel[u * x_taps + v], row[v]);
            }
            ROLLED for (ptrdiff_t j = 0; j < x_rows; j++, to += to_step) {
                vec sum = v_splat(0);
                UNROLLED for (int v = 0; v < x_taps; v++) sum = v_fma(v_splat(x[j * x_taps + v]), row[v], sum);
                v_store(to, sum);
            }
        }
    }
}

/* The same for 3x3, all in registers. */
INLINE void NAMED(transform_3x3)(const fc_kernel_transform *t) {
    const real *from = t->from, *to_kernel = t->to;
    const ptrdiff_t y_rows = t->y_rows, x_rows = t->x_rows, to_row_step = t->to_row_step, to_step = t->to_column_step;
    ROLLED for (ptrdiff_t c = 0; c < t->channels; c++, from += t->channel_step, to_kernel += t->to_channel_step) {
        const real *y = t->y;
        real *to_row = (real *)to_kernel;
        vec kernel[9];
        UNROLLED for (int tap = 0; tap < 9; tap++)
            kernel[tap] = t->offset[tap] < 0 ? v_splat(0) : v_load(from + t->offset[tap]);
        ROLLED for (ptrdiff_t i = 0; i < y_rows; i++, y += 3, to_row += to_row_step) {
            const real *x = t->x;
            real *to = to_row;
            vec row[3];
            UNROLLED for (int v = 0; v < 3; v++) {
                row[v] = v_splat(0);
                UNROLLED for (int u = 0; u < 3; u++) row[v] = v_fma(v_splat(y[u]), kernel[u * 3 + v], row[v]);
            }
            ROLLED for (ptrdiff_t j = 0; j < x_rows; j++, x += 3, to += to_step) {
                vec sum = v_splat(0);
                UNROLLED for (int v = 0; v < 3; v++) sum = v_fma(v_splat(x[v]), row[v], sum);
                v_store(to, sum);
            }
        }
    }
}

static void NAMED(transform_kernels)(const fc_kernel_transform *t) {
    expects(t->from && t->offset && t->y && t->x && t->to && t->channels >= 0);
    expects(0 < t->y_taps && t->y_taps <= KERNEL_MAX_TAPS && 0 < t->x_taps && t->x_taps <= KERNEL_MAX_TAPS);
    if (t->y_taps == 3 && t->x_taps == 3) {
        NAMED(transform_3x3)(t);
        return;
    }
    switch (t->x_taps) {
    case 1: NAMED(transform_kernel_rows)(1, t); break;
    case 2: NAMED(transform_kernel_rows)(2, t); break;
    case 3: NAMED(transform_kernel_rows)(3, t); break;
    case 4: NAMED(transform_kernel_rows)(4, t); break;
    case 5: NAMED(transform_kernel_rows)(5, t); break;
    }
}
