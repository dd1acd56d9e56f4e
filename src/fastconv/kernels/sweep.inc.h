/* The sweep kernel: slide one kernel down some rows of one image, for filters that see a single channel.

   map[i, pixel] = bias + sum over kernel rows u and taps v of weight[u, v] * image_row[i * stride + u][pixel + offset[v]], in order.
   Input row r feeds output rows i with 0 <= r - i * stride < kernel_rows: its pixels are loaded once for all of them.
   At the edges of an image masks leave out lanes, which count as zero and are not read. */

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

/* What is known of a sweep when it is compiled: rows and vectors of the tile, taps in a row of the kernel and its stride
   (0: not known), and whether the tile has edges. */
#define SWEEP_SHAPE const int rows, const int vectors, const int taps, const int stride, const int edges
#define SWEEP_SUMS vec (*sum)[SWEEP_MAX_VECTORS]

/* Add what output rows first..last see of tap v in input row r. */
INLINE void NAMED(sweep_tap)(SWEEP_SHAPE, SWEEP_SUMS, const int first, const int last, const ptrdiff_t v,
                             const real *image, const real *weight, const fc_sweep *sweep) {
    vec pixels[SWEEP_MAX_VECTORS];
    const ptrdiff_t weight_step = taps ? taps : sweep->taps;
    (void)rows;
    UNROLLED for (int j = 0; j < vectors; j++) {
        const real *at = image + sweep->offset[v] + (edges && j == vectors - 1 ? sweep->last : j * LANES);
        pixels[j] = edges && j == 0             ? NAMED(load_part)(at, sweep->mask[v])
                    : edges && j == vectors - 1 ? NAMED(load_part)(at, sweep->last_mask[v])
                                                : v_load(at);
        v_keep(pixels[j]);
    }
    UNROLLED for (int i = first; i <= last; i++) {
        const vec w = v_splat(weight[v - i * stride * weight_step]);
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(w, pixels[j], sum[i][j]);
    }
}

INLINE void NAMED(sweep_row)(SWEEP_SHAPE, SWEEP_SUMS, const int first, const int last, const ptrdiff_t r, const fc_sweep *sweep) {
    const real *image = (const real *)sweep->image_row[r] + sweep->column;
    const real *weight = (const real *)sweep->weight + r * (taps ? taps : sweep->taps);
    if (taps == 3) {
        UNROLLED for (int v = 0; v < 3; v++)
            NAMED(sweep_tap)(rows, vectors, taps, stride, edges, sum, first, last, v, image, weight, sweep);
    } else {
        ROLLED for (ptrdiff_t v = 0; v < sweep->taps; v++)
            NAMED(sweep_tap)(rows, vectors, taps, stride, edges, sum, first, last, v, image, weight, sweep);
    }
}

INLINE void NAMED(sweep)(SWEEP_SHAPE, const int kernel_rows, const fc_sweep *sweep) {
    vec sum[SWEEP_MAX_ROWS][SWEEP_MAX_VECTORS];
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_splat((real)sweep->bias);
    if (kernel_rows) { /* every input row is a piece of code of its own */
        UNROLLED for (int r = 0; r < (rows - 1) * stride + kernel_rows; r++)
            NAMED(sweep_row)(rows, vectors, taps, stride, edges, sum, r < kernel_rows ? 0 : (r - kernel_rows) / stride + 1,
                             r / stride < rows ? r / stride : rows - 1, r, sweep);
    } else { /* input rows that all output rows see, and before and after them those that only some see */
        UNROLLED for (int r = 0; r < rows - 1; r++)
            NAMED(sweep_row)(rows, vectors, taps, stride, edges, sum, 0, r, r, sweep);
        ROLLED for (ptrdiff_t r = rows - 1; r < sweep->kernel_rows; r++)
            NAMED(sweep_row)(rows, vectors, taps, stride, edges, sum, 0, rows - 1, r, sweep);
        UNROLLED for (int r = 0; r < rows - 1; r++)
            NAMED(sweep_row)(rows, vectors, taps, stride, edges, sum, r + 1, rows - 1, sweep->kernel_rows + r, sweep);
    }
    const vec low = v_splat((real)sweep->low), high = v_splat((real)sweep->high);
    const ptrdiff_t map_step = sweep->map_step, last = edges ? sweep->last : (vectors - 1) * LANES;
    real *map = (real *)sweep->map + sweep->column;
    UNROLLED for (int i = 0; i < rows; i++, map += map_step)
        UNROLLED for (int j = 0; j < vectors; j++)
            v_store(map + (j == vectors - 1 ? last : j * LANES), v_min(high, v_max(low, sum[i][j])));
}

#define SWEEP(rows, vectors, kernel, stride, edges) \
    NOINLINE void NAMED(sweep_##rows##_##vectors##_##kernel##_##stride##_##edges)(const fc_sweep *sweep) { \
        NAMED(sweep)(rows, vectors, kernel, stride, edges, kernel, sweep); \
    }
SWEEPS(SWEEP)
#undef SWEEP
#undef SWEEP_SHAPE
#undef SWEEP_SUMS
