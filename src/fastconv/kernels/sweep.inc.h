/* The sweep kernel: slide one kernel down some rows of one image, for filters that see a single channel.

   Input row r feeds output rows i with 0 <= r - i * stride < kernel_rows: each pixel is loaded once for all of them. */

INLINE void NAMED(sweep_row)(const int first, const int last, const int vectors, vec (*sum)[SWEEP_VECTORS],
                             const real *image, const ptrdiff_t *column, const real *weight, const fc_sweep *sweep) {
    const ptrdiff_t row_step = sweep->stride * sweep->weight_step;
    ROLLED for (ptrdiff_t v = 0; v < sweep->taps; v++) {
        vec pixels[SWEEP_VECTORS];
        UNROLLED for (int j = 0; j < vectors; j++) pixels[j] = v_load(image + sweep->offset[v] + column[j]);
        UNROLLED for (int i = first; i <= last; i++) {
            const vec w = v_splat(weight[v - i * row_step]);
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(w, pixels[j], sum[i][j]);
        }
    }
}

INLINE void NAMED(sweep)(const int rows, const int vectors, const fc_sweep *sweep) {
    vec sum[SWEEP_ROWS][SWEEP_VECTORS];
    ptrdiff_t column[SWEEP_VECTORS];
    const ptrdiff_t stride = sweep->stride, kernel_rows = sweep->kernel_rows;
    UNROLLED for (int j = 0; j < vectors; j++) column[j] = sweep->column[j];
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_splat((real)sweep->bias);
    ROLLED for (ptrdiff_t r = 0; r < (rows - 1) * stride + kernel_rows; r++) {
        const ptrdiff_t first = r < kernel_rows ? 0 : (r - kernel_rows) / stride + 1;
        const ptrdiff_t last = r / stride < rows ? r / stride : rows - 1;
        const real *image = sweep->image_row[r], *weight = (const real *)sweep->weight + r * sweep->weight_step;
        /* One copy of the loop for every set of rows, so that all sums stay in registers. */
#define ROWS(a, b) \
    case (a) * SWEEP_ROWS + (b): \
        if ((b) < rows) NAMED(sweep_row)(a, b, vectors, sum, image, column, weight, sweep); \
        break;
        switch (first * SWEEP_ROWS + last) {
            ROWS(0, 0) ROWS(0, 1) ROWS(0, 2) ROWS(0, 3) ROWS(1, 1) ROWS(1, 2) ROWS(1, 3) ROWS(2, 2) ROWS(2, 3) ROWS(3, 3)
        }
#undef ROWS
    }
    const vec low = v_splat((real)sweep->low), high = v_splat((real)sweep->high);
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int j = 0; j < vectors; j++)
            v_store((real *)sweep->map + i * sweep->map_step + column[j], v_min(high, v_max(low, sum[i][j])));
}

#define SWEEP(rows, vectors) \
    NOINLINE void NAMED(sweep_##rows##_##vectors)(const fc_sweep *sweep) { NAMED(sweep)(rows, vectors, sweep); }
SWEEPS(SWEEP)
#undef SWEEP
