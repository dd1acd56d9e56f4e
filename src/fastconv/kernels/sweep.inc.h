/* The sweeps: slide one kernel down some rows of one image, for filters that have a single channel.

   map[i, x] = bias + sum over kernel rows u and taps v of
               weight[u, v] * image_row[i * stride_y + u][x * stride_x + offset[v]], in order.
   Sums may start from others than the bias: from those of another channel.
   Input row r belongs to output rows i with 0 <= r - i * stride_y < kernel_rows: its pixels are loaded once for all of them.
   At the borders of an image masks leave out lanes, which count as zeros and are not read. */
#include "epilogue.inc.h"
#include "expects.h"
#include "kernels.h"
#include "move.inc.h"
#include "simd.h"
#include "variants.h"


/* `shape`, what the sweep is compiled for, is a constant in each of its copies. */

/* Load vector j of what a tap reads from `pixels` on, through mask v if it is at an edge. */
INLINE vec NAMED(sweep_load)(const fc_sweep_variant shape, const fc_sweep *sweep, const real *pixels, const int j,
                             const ptrdiff_t v) {
    const int is_last = shape.masked && j == shape.vectors - 1;
    pixels += shape.stride_x * (is_last ? sweep->last : j * LANES);
    if (shape.masked && j == 0) return NAMED(load_part)(pixels, sweep->mask[v]);
    return is_last ? NAMED(load_part)(pixels, sweep->last_mask[v]) : v_load(pixels);
}

/* Between the order of a row of outputs and that of the lanes of sums: with stride_x 2 that in which pixels are dealt. */
INLINE vec NAMED(sweep_apart)(const fc_sweep_variant shape, const vec pixels) {
    return shape.stride_x == 2 ? v_in_order(pixels) : pixels;
}

/* Add the products of one tap, whose weight in output row 0 is given, to the output rows first..last. */
INLINE void NAMED(sweep_tap)(const fc_sweep_variant shape, vec (*sum)[SWEEP_MAX_VECTORS], const int first, const int last,
                             const vec *pixels, const real *weight, const ptrdiff_t kernel_row) {
    UNROLLED for (int i = first; i <= last; i++) {
        const vec w = v_splat(weight[-i * shape.stride_y * kernel_row]);
        UNROLLED for (int j = 0; j < shape.vectors; j++) sum[i][j] = v_fma(w, pixels[j], sum[i][j]);
    }
}

/* Add the products of tap v of an input row; with stride_x 2 those of tap v + 1 as well, unless v is a single one. */
INLINE void NAMED(sweep_taps)(const fc_sweep_variant shape, const fc_sweep *sweep, vec (*sum)[SWEEP_MAX_VECTORS],
                              const int first, const int last, const ptrdiff_t v, const int single, const real *image,
                              const real *weight) {
    const ptrdiff_t kernel_row = shape.kernel ? shape.kernel : sweep->taps;
    vec pixels[SWEEP_MAX_VECTORS], next[SWEEP_MAX_VECTORS];
    image += sweep->offset[v];
    UNROLLED for (int j = 0; j < shape.vectors; j++) {
        pixels[j] = NAMED(sweep_load)(shape, sweep, image, j, v);
        if (shape.stride_x == 2) {
            const vec a = pixels[j], b = NAMED(sweep_load)(shape, sweep, image + LANES, j, v + 1);
            pixels[j] = v_even_apart(a, b);
            next[j] = v_odd_apart(a, b);
        }
        v_keep(pixels[j]);
    }
    NAMED(sweep_tap)(shape, sum, first, last, pixels, weight + v, kernel_row);
    if (shape.stride_x == 2 && !single) NAMED(sweep_tap)(shape, sum, first, last, next, weight + v + 1, kernel_row);
}

#ifdef v_slide
#define DEALT_MAX_KERNEL 5
/* The lanes that the two vectors of pixels of an output vector read: of the first and of the last one of a row of outputs,
   and of the vector behind them. */
typedef struct {
    v_mask first[2], last[2], behind;
} NAMED(sweep_edges);

INLINE NAMED(sweep_edges) NAMED(find_edges)(const fc_sweep_variant shape, const fc_sweep *sweep) {
    const int kernel = (int)shape.kernel;
    NAMED(sweep_edges) edges;
    UNROLLED for (int i = 0; i < 2; i++) {
        edges.first[i] = (v_mask)sweep->mask[i];
        edges.last[i] = (v_mask)sweep->last_mask[i];
        v_keep_mask(edges.first[i]);
        v_keep_mask(edges.last[i]);
    }
    edges.behind = (v_mask)(sweep->last_mask[kernel] >> (LANES - kernel + 1)); /* they end what the last tap reads */
    v_keep_mask(edges.behind);
    return edges;
}

/* Add the products of input row r, all taps, with stride_x 2: its pixels are dealt once, into even and odd ones, which slide
   by one lane for every further pair of taps. */
INLINE void NAMED(sweep_dealt)(const fc_sweep_variant shape, const fc_sweep *sweep, const NAMED(sweep_edges) *edges,
                               vec (*sum)[SWEEP_MAX_VECTORS], const int first, const int last, const ptrdiff_t r) {
    const int vectors = (int)shape.vectors, kernel = (int)shape.kernel;
    const real *image = (const real *)sweep->image_row[r] + 2 * sweep->column + sweep->offset[0];
    const real *weight = (const real *)sweep->weight + r * kernel;
    vec pixels[2 * SWEEP_MAX_VECTORS], even[SWEEP_MAX_VECTORS + 1], odd[SWEEP_MAX_VECTORS + 1];
    UNROLLED for (int i = 0; i < 2 * vectors; i++)
        pixels[i] = i < 2                    ? v_load_mask(image + i * LANES, edges->first[i])
                    : i < 2 * (vectors - 1) ? v_load(image + i * LANES)
                                             : v_load_mask(image + i * LANES, edges->last[i % 2]);
    UNROLLED for (int j = 0; j < vectors; j++) {
        even[j] = v_even(pixels[2 * j], pixels[2 * j + 1]);
        odd[j] = v_odd(pixels[2 * j], pixels[2 * j + 1]);
    }
    const vec behind = v_load_mask(image + 2 * vectors * LANES, edges->behind);
    even[vectors] = kernel == 3 ? behind : v_even(behind, behind); /* of three taps, the last one reads a single pixel */
    odd[vectors] = v_odd(behind, behind);
    UNROLLED for (int v = 0; v < kernel; v += 2) {
        NAMED(sweep_tap)(shape, sum, first, last, even, weight + v, kernel);
        if (v + 1 < kernel) NAMED(sweep_tap)(shape, sum, first, last, odd, weight + v + 1, kernel);
        UNROLLED for (int j = 0; j <= vectors; j++) {
            even[j] = v_slide(even[j], even[j < vectors ? j + 1 : j], 1);
            odd[j] = v_slide(odd[j], odd[j < vectors ? j + 1 : j], 1);
        }
    }
}

/* Add the products of all taps of one row, which read neighbouring pixels, in pairs: loads across cache lines are slow, so
   vectors are put together in registers, and each serves both taps of a pair. */
INLINE void NAMED(slide_row)(const int vectors, vec (*sum)[SWEEP_MAX_VECTORS], const real *image, const real *weight,
                             const ptrdiff_t taps) {
    ROLLED for (ptrdiff_t v = 0; v < taps; v += 2 * SWEEP_PAIR) {
        const ptrdiff_t some = taps - v < 2 * SWEEP_PAIR ? taps - v : 2 * SWEEP_PAIR;
        vec seen[SWEEP_MAX_VECTORS + 2 * SWEEP_PAIR / LANES], slid[SWEEP_MAX_VECTORS + SWEEP_PAIR / LANES];
        UNROLLED for (int j = 0; j < vectors; j++) seen[j] = v_load(image + v + j * LANES);
        UNROLLED for (int j = vectors; j < vectors + 2 * SWEEP_PAIR / LANES; j++) {
            const ptrdiff_t left = some - 1 - (j - vectors) * LANES, lanes = left < 0 ? 0 : left < LANES ? left : LANES;
            seen[j] = v_load_mask(image + v + j * LANES, (1u << lanes) - 1);
        }
#  define SLIDE(i) /* v_slide takes a literal */ \
    if (i < some) { \
        UNROLLED for (int j = 0; j < vectors + SWEEP_PAIR / LANES; j++) \
            slid[j] = v_slide(seen[j + i / LANES], seen[j + i / LANES + 1], i % LANES); \
        const vec first = v_splat(*weight++); \
        UNROLLED for (int j = 0; j < vectors; j++) sum[0][j] = v_fma(first, slid[j], sum[0][j]); \
        if (i + SWEEP_PAIR < some) { \
            const vec second = v_splat(*weight++); \
            UNROLLED for (int j = 0; j < vectors; j++) sum[0][j] = v_fma(second, slid[j + SWEEP_PAIR / LANES], sum[0][j]); \
        } \
    }
        SLIDE(0) SLIDE(1) SLIDE(2) SLIDE(3) SLIDE(4) SLIDE(5) SLIDE(6) SLIDE(7)
        SLIDE(8) SLIDE(9) SLIDE(10) SLIDE(11) SLIDE(12) SLIDE(13) SLIDE(14) SLIDE(15)
#  undef SLIDE
    }
}
#endif

/* Add the products of input row r, all taps, to the output rows first..last. */
INLINE void NAMED(sweep_row)(const fc_sweep_variant shape, const fc_sweep *sweep, vec (*sum)[SWEEP_MAX_VECTORS],
                             const int first, const int last, const ptrdiff_t r) {
    const real *image = (const real *)sweep->image_row[r] + shape.stride_x * sweep->column;
    const real *weight = (const real *)sweep->weight + r * (shape.kernel ? shape.kernel : sweep->taps);
#ifdef v_slide
    if (shape.rows == 1 && !shape.masked) {
        NAMED(slide_row)(shape.vectors, sum, image + sweep->offset[0], weight, sweep->taps);
        return;
    }
#endif
    if (shape.kernel == 3) {
        UNROLLED for (int v = 0; v < 3; v += shape.stride_x)
            NAMED(sweep_taps)(shape, sweep, sum, first, last, v, v == 2, image, weight);
    } else if (shape.kernel) {
        ROLLED for (ptrdiff_t v = 0; v < shape.kernel; v += shape.stride_x)
            NAMED(sweep_taps)(shape, sweep, sum, first, last, v, v + 1 == shape.kernel, image, weight);
    } else {
        ptrdiff_t v = 0;
        ROLLED for (; v <= sweep->taps - shape.stride_x; v += shape.stride_x)
            NAMED(sweep_taps)(shape, sweep, sum, first, last, v, 0, image, weight);
        if (shape.stride_x == 2 && v < sweep->taps) NAMED(sweep_taps)(shape, sweep, sum, first, last, v, 1, image, weight);
    }
}

/* Add the products of all input rows, for a kernel of known size. */
INLINE void NAMED(sweep_kernel)(const fc_sweep_variant shape, const fc_sweep *sweep, vec (*sum)[SWEEP_MAX_VECTORS]) {
    const int rows = (int)shape.rows, kernel = (int)shape.kernel, stride = (int)shape.stride_y;
#ifdef v_slide
    const int is_dealt = shape.stride_x == 2 && kernel <= DEALT_MAX_KERNEL;
    const NAMED(sweep_edges) edges = is_dealt ? NAMED(find_edges)(shape, sweep) : (NAMED(sweep_edges)){{0}, {0}, 0};
#endif
    UNROLLED for (int r = 0; r < (rows - 1) * stride + kernel; r++) {
        const int first = r < kernel ? 0 : (r - kernel) / stride + 1, last = r / stride < rows ? r / stride : rows - 1;
#ifdef v_slide
        if (is_dealt) {
            NAMED(sweep_dealt)(shape, sweep, &edges, sum, first, last, r);
            continue;
        }
#endif
        NAMED(sweep_row)(shape, sweep, sum, first, last, r);
    }
}

/* Add the products of all input rows, for a kernel of any size: those in the middle belong to all output rows. */
INLINE void NAMED(sweep_any)(const fc_sweep_variant shape, const fc_sweep *sweep, vec (*sum)[SWEEP_MAX_VECTORS]) {
    const int rows = (int)shape.rows;
    UNROLLED for (int r = 0; r < rows - 1; r++) NAMED(sweep_row)(shape, sweep, sum, 0, r, r);
    ROLLED for (ptrdiff_t r = rows - 1; r < sweep->kernel_rows; r++) NAMED(sweep_row)(shape, sweep, sum, 0, rows - 1, r);
    UNROLLED for (int r = 0; r < rows - 1; r++)
        NAMED(sweep_row)(shape, sweep, sum, r + 1, rows - 1, sweep->kernel_rows + r);
}

INLINE void NAMED(sweep)(const fc_sweep_variant shape, const fc_sweep *sweep) {
    const int rows = (int)shape.rows, vectors = (int)shape.vectors, masked = (int)shape.masked;
    vec sum[SWEEP_MAX_ROWS][SWEEP_MAX_VECTORS];
    expects(sweep->weight && sweep->offset && sweep->image_row && sweep->map && sweep->low <= sweep->high);
    expects(shape.kernel ? sweep->kernel_rows == shape.kernel && sweep->taps == shape.kernel : sweep->kernel_rows >= rows);
    expects(sweep->taps > 0 && sweep->column >= 0);
    expects(masked ? sweep->mask && sweep->last_mask && sweep->last >= 0 : sweep->last == (vectors - 1) * LANES);
    expects(shape.stride_x == 1 || sweep->last == (vectors - 1) * LANES);
    expects(!sweep->nontemporal || sweep->map_step * sizeof(real) % VECTOR_BYTES == 0);
    expects(!sweep->nontemporal || (size_t)((real *)sweep->map + sweep->column) % VECTOR_BYTES == 0);
    if (sweep->start) {
        const real *start = sweep->start;
        UNROLLED for (int i = 0; i < rows; i++, start += sweep->start_step)
            UNROLLED for (int j = 0; j < vectors; j++)
                sum[i][j] = NAMED(sweep_apart)(shape, v_load(start + (masked && j == vectors - 1 ? sweep->last : j * LANES)));
    } else {
        UNROLLED for (int i = 0; i < rows; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_splat((real)sweep->bias);
    }
    if (shape.kernel)
        NAMED(sweep_kernel)(shape, sweep, sum);
    else
        NAMED(sweep_any)(shape, sweep, sum);
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = NAMED(sweep_apart)(shape, sum[i][j]);
    if (sweep->low > -INFINITY || sweep->high < INFINITY) {
        const vec low = v_splat((real)sweep->low), high = v_splat((real)sweep->high);
        UNROLLED for (int i = 0; i < rows; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = NAMED(clip)(sum[i][j], low, high);
    }
    const ptrdiff_t map_step = sweep->map_step, last = masked ? sweep->last : (vectors - 1) * LANES;
    const int nontemporal = sweep->nontemporal;
    real *map = (real *)sweep->map + sweep->column;
    UNROLLED for (int i = 0; i < rows; i++, map += map_step)
        UNROLLED for (int j = 0; j < vectors; j++)
            if (masked && j == vectors - 1 && !nontemporal)
                NAMED(store_part)(map + last, sweep->store_mask, sum[i][j]);
            else
                NAMED(store)(map + (j == vectors - 1 ? last : j * LANES), sum[i][j], nontemporal);
}

/* Sweep over all vectors at once; with AVX2 over both of 3x3 with masks in turn, for registers do not hold the masks of two. */
INLINE void NAMED(sweep_in_turn)(const fc_sweep_variant shape, const fc_sweep *sweep) {
#ifdef SIMD_AVX2
    if (shape.masked && shape.vectors == 2 && shape.kernel == 3 && shape.stride_x == 1) {
        const fc_sweep_variant one = {shape.rows, 1, shape.kernel, shape.stride_y, shape.stride_x, 1, NULL};
        fc_sweep half = *sweep;
        half.last = 0;
        half.store_mask = (1u << LANES) - 1;
        NAMED(sweep)(one, &half);
        half.store_mask = sweep->store_mask;
        half.mask = sweep->last_mask;
        half.column += sweep->last;
        if (half.start) half.start = (const real *)half.start + sweep->last;
        NAMED(sweep)(one, &half);
        return;
    }
#endif
    NAMED(sweep)(shape, sweep);
}

#define SWEEP_NAME(rows, vectors, kernel, stride_y, stride_x, masked) \
    NAMED(sweep_##rows##_##vectors##_##kernel##_##stride_y##_##stride_x##_##masked)
#define SWEEP(rows, vectors, kernel, stride_y, stride_x, masked) \
    NOINLINE void SWEEP_NAME(rows, vectors, kernel, stride_y, stride_x, masked)(const fc_sweep *sweep) { \
        NAMED(sweep_in_turn)((fc_sweep_variant){rows, vectors, kernel, stride_y, stride_x, masked, NULL}, sweep); \
    }
#define SWEEP_ROW(rows, vectors, kernel, stride_y, stride_x, masked) \
    {rows, vectors, kernel, stride_y, stride_x, masked, SWEEP_NAME(rows, vectors, kernel, stride_y, stride_x, masked)},
SWEEPS(SWEEP)
static const fc_sweep_variant NAMED(sweeps)[] = {SWEEPS(SWEEP_ROW) {0, 0, 0, 0, 0, 0, NULL}};
#undef SWEEP_NAME
#undef SWEEP
#undef SWEEP_ROW
