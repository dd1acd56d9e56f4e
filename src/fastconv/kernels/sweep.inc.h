/* The sweep kernel: slide one kernel down some rows of one image, for filters that see a single channel.

   map[i, pixel] = bias + sum over kernel rows u and taps v of weight[u, v] * image_row[i * stride + u][pixel + offset[v]], in order.
   Input row r feeds output rows i with 0 <= r - i * stride < kernel_rows: its pixels are loaded once for all of them.
   Masks keep a vector within its image: what they leave out counts as zero, and is not read. */

INLINE vec NAMED(load_part)(const real *pixels, const unsigned mask) {
#if VECTOR_BYTES == 64
    return v_load_mask(pixels, mask);
#else
    if (mask == (1u << LANES) - 1) return v_load(pixels);
#  ifdef v_load_mask
    return v_load_mask(pixels, mask);
#  else
    real lanes[LANES];
    for (int i = 0; i < LANES; i++) lanes[i] = mask >> i & 1 ? pixels[i] : 0;
    return v_load(lanes);
#  endif
#endif
}

INLINE void NAMED(sweep_row)(const int first, const int last, const int vectors, const int taps, const int stride,
                             vec (*sum)[SWEEP_MAX_VECTORS], const real *image, const real *weight, const fc_sweep *sweep) {
#define SWEEP_TAP(v) \
    { \
        vec pixels[SWEEP_MAX_VECTORS]; \
        UNROLLED for (int j = 0; j < vectors; j++) \
            pixels[j] = NAMED(load_part)(image + sweep->offset[v] + sweep->column[j], sweep->mask[j * sweep->taps + (v)]); \
        UNROLLED for (int i = first; i <= last; i++) { \
            const vec w = v_splat(weight[(v) - i * stride * sweep->weight_step]); \
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(w, pixels[j], sum[i][j]); \
        } \
    }
    if (taps == 3) UNROLLED for (int v = 0; v < 3; v++) SWEEP_TAP(v)
    else ROLLED for (ptrdiff_t v = 0; v < sweep->taps; v++) SWEEP_TAP(v)
#undef SWEEP_TAP
}

INLINE void NAMED(sweep_start)(const int rows, const int vectors, vec (*sum)[SWEEP_MAX_VECTORS], const fc_sweep *sweep) {
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_splat((real)sweep->bias);
}

INLINE void NAMED(sweep_finish)(const int rows, const int vectors, vec (*sum)[SWEEP_MAX_VECTORS], const fc_sweep *sweep) {
    const vec low = v_splat((real)sweep->low), high = v_splat((real)sweep->high);
    real *map = sweep->map;
    UNROLLED for (int i = 0; i < rows; i++, map += sweep->map_step)
        UNROLLED for (int j = 0; j < vectors; j++)
            v_store(map + sweep->column[j], v_min(high, v_max(low, sum[i][j])));
}

/* A kernel of so many rows and taps, known here: every row of the image is a piece of code of its own. */
INLINE void NAMED(sweep_known)(const int rows, const int vectors, const int kernel, const int stride, const fc_sweep *sweep) {
    vec sum[SWEEP_MAX_ROWS][SWEEP_MAX_VECTORS];
    NAMED(sweep_start)(rows, vectors, sum, sweep);
    UNROLLED for (int r = 0; r < (rows - 1) * stride + kernel; r++) {
        const int first = r < kernel ? 0 : (r - kernel) / stride + 1, last = r / stride < rows ? r / stride : rows - 1;
        NAMED(sweep_row)(first, last, vectors, kernel, stride, sum, sweep->image_row[r],
                         (const real *)sweep->weight + r * sweep->weight_step, sweep);
    }
    NAMED(sweep_finish)(rows, vectors, sum, sweep);
}

/* Any kernel and stride, one output row at a time. */
INLINE void NAMED(sweep_any)(const int vectors, const fc_sweep *sweep) {
    vec sum[1][SWEEP_MAX_VECTORS];
    NAMED(sweep_start)(1, vectors, sum, sweep);
    ROLLED for (ptrdiff_t u = 0; u < sweep->kernel_rows; u++)
        NAMED(sweep_row)(0, 0, vectors, 0, 0, sum, sweep->image_row[u],
                         (const real *)sweep->weight + u * sweep->weight_step, sweep);
    NAMED(sweep_finish)(1, vectors, sum, sweep);
}

/* Any kernel of at least as many rows as are computed, stride 1. */
INLINE void NAMED(sweep_tall)(const int rows, const int vectors, const fc_sweep *sweep) {
    vec sum[SWEEP_MAX_ROWS][SWEEP_MAX_VECTORS];
    const real *weight = sweep->weight;
    const ptrdiff_t kernel_rows = sweep->kernel_rows;
    NAMED(sweep_start)(rows, vectors, sum, sweep);
    UNROLLED for (int r = 0; r < rows - 1; r++)
        NAMED(sweep_row)(0, r, vectors, 0, 1, sum, sweep->image_row[r], weight + r * sweep->weight_step, sweep);
    ROLLED for (ptrdiff_t r = rows - 1; r < kernel_rows; r++)
        NAMED(sweep_row)(0, rows - 1, vectors, 0, 1, sum, sweep->image_row[r], weight + r * sweep->weight_step, sweep);
    UNROLLED for (int r = 0; r < rows - 1; r++)
        NAMED(sweep_row)(r + 1, rows - 1, vectors, 0, 1, sum, sweep->image_row[kernel_rows + r],
                         weight + (kernel_rows + r) * sweep->weight_step, sweep);
    NAMED(sweep_finish)(rows, vectors, sum, sweep);
}

#define SWEEP_KNOWN(rows, vectors, kernel, stride) \
    NOINLINE void NAMED(sweep_##rows##_##vectors##_##kernel##_##stride)(const fc_sweep *sweep) { \
        NAMED(sweep_known)(rows, vectors, kernel, stride, sweep); \
    }
#define SWEEP_ANY(vectors) \
    NOINLINE void NAMED(sweep_1_##vectors)(const fc_sweep *sweep) { NAMED(sweep_any)(vectors, sweep); }
#define SWEEP_TALL(rows, vectors) \
    NOINLINE void NAMED(sweep_##rows##_##vectors)(const fc_sweep *sweep) { NAMED(sweep_tall)(rows, vectors, sweep); }
SWEEPS(SWEEP_KNOWN, SWEEP_ANY, SWEEP_TALL)
#undef SWEEP_KNOWN
#undef SWEEP_ANY
#undef SWEEP_TALL
