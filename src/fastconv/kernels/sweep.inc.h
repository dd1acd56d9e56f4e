/* The sweep kernel: slide one kernel down some rows of one image, for filters that see a single channel.

   map[i, pixel] = bias + sum over kernel rows u and taps v of weight[u, v] * image_row[i * stride + u][pixel * across + offset[v]],
   in order. Input row r feeds output rows i with 0 <= r - i * stride < kernel_rows: its pixels are loaded once for all of them.
   At the edges of an image masks leave out lanes, which count as zero and are not read. */

INLINE void NAMED(store_part)(real *map, const unsigned mask, const vec sum) {
#ifdef v_store_mask
    v_store_mask(map, mask, sum);
#else
    real lanes[LANES];
    if (mask == (1u << LANES) - 1) {
        v_store(map, sum);
        return;
    }
    v_store(lanes, sum);
    for (int i = 0; i < LANES; i++)
        if (mask >> i & 1) map[i] = lanes[i];
#endif
}

/* What is known of a sweep when it is compiled: rows and vectors of the tile, taps in a row of the kernel and its strides
   (0: not known), and whether the tile has edges. */
#define SWEEP_SHAPE const int rows, const int vectors, const int taps, const int stride, const int across, const int edges
#define SWEEP_GIVEN rows, vectors, taps, stride, across, edges
#define SWEEP_SUMS vec (*sum)[SWEEP_MAX_VECTORS]

/* Load vector j of what taps see from `pixels` on; v says which mask applies. */
INLINE vec NAMED(sweep_load)(SWEEP_SHAPE, const real *pixels, const int j, const ptrdiff_t v, const fc_sweep *sweep) {
    (void)rows, (void)taps, (void)stride;
    pixels += across * (edges && j == vectors - 1 ? sweep->last : j * LANES);
    return edges && j == 0             ? NAMED(load_part)(pixels, sweep->mask[v])
           : edges && j == vectors - 1 ? NAMED(load_part)(pixels, sweep->last_mask[v])
                                       : v_load(pixels);
}

/* Add what output rows first..last see of one tap, whose pixels are at hand. */
INLINE void NAMED(sweep_tap)(SWEEP_SHAPE, SWEEP_SUMS, const int first, const int last, const vec *pixels, const real *weight,
                             const ptrdiff_t weight_step) {
    (void)rows, (void)taps, (void)across, (void)edges;
    UNROLLED for (int i = first; i <= last; i++) {
        const vec w = v_splat(weight[-i * stride * weight_step]);
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(w, pixels[j], sum[i][j]);
    }
}

/* Add what output rows first..last see of tap v in an input row, and of the next tap if `across` is 2 and there is one. */
INLINE void NAMED(sweep_taps)(SWEEP_SHAPE, SWEEP_SUMS, const int first, const int last, const ptrdiff_t v, const int single,
                              const real *image, const real *weight, const fc_sweep *sweep) {
    vec pixels[SWEEP_MAX_VECTORS], next[SWEEP_MAX_VECTORS];
    const ptrdiff_t weight_step = taps ? taps : sweep->taps;
    image += sweep->offset[v];
    UNROLLED for (int j = 0; j < vectors; j++) {
        pixels[j] = NAMED(sweep_load)(SWEEP_GIVEN, image, j, v, sweep);
        if (across == 2) {
            const vec a = pixels[j], b = NAMED(sweep_load)(SWEEP_GIVEN, image + LANES, j, v + 1, sweep);
            pixels[j] = v_even(a, b);
            next[j] = v_odd(a, b);
        }
        v_keep(pixels[j]);
    }
    NAMED(sweep_tap)(SWEEP_GIVEN, sum, first, last, pixels, weight + v, weight_step);
    if (across == 2 && !single) NAMED(sweep_tap)(SWEEP_GIVEN, sum, first, last, next, weight + v + 1, weight_step);
}

#ifdef v_slide
/* Add all taps of one row, which see pixels side by side, in pairs: for loads across lines are slow, vectors are put together from
   what is loaded once, and used for both taps of a pair. */
INLINE void NAMED(slide_row)(const int vectors, SWEEP_SUMS, const real *image, const real *weight, const ptrdiff_t taps) {
    ROLLED for (ptrdiff_t v = 0; v < taps; v += 2 * SWEEP_PAIR) {
        const ptrdiff_t some = taps - v < 2 * SWEEP_PAIR ? taps - v : 2 * SWEEP_PAIR;
        vec seen[SWEEP_MAX_VECTORS + 2 * SWEEP_PAIR / LANES], slid[SWEEP_MAX_VECTORS + SWEEP_PAIR / LANES];
        UNROLLED for (int j = 0; j < vectors; j++) seen[j] = v_load(image + v + j * LANES);
        UNROLLED for (int j = vectors; j < vectors + 2 * SWEEP_PAIR / LANES; j++) {
            const ptrdiff_t left = some - 1 - (j - vectors) * LANES, lanes = left < 0 ? 0 : left < LANES ? left : LANES;
            seen[j] = v_load_mask(image + v + j * LANES, (1u << lanes) - 1);
        }
#  define SLIDE(i) \
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

INLINE void NAMED(sweep_row)(SWEEP_SHAPE, SWEEP_SUMS, const int first, const int last, const ptrdiff_t r, const fc_sweep *sweep) {
    const real *image = (const real *)sweep->image_row[r] + across * sweep->column;
    const real *weight = (const real *)sweep->weight + r * (taps ? taps : sweep->taps);
#ifdef v_slide
    if (rows == 1 && !edges) {
        NAMED(slide_row)(vectors, sum, image + sweep->offset[0], weight, sweep->taps);
        return;
    }
#endif
    if (taps == 3) {
        UNROLLED for (int v = 0; v < 3; v += across)
            NAMED(sweep_taps)(SWEEP_GIVEN, sum, first, last, v, v == 2, image, weight, sweep);
    } else {
        ptrdiff_t v = 0;
        ROLLED for (; v <= sweep->taps - across; v += across)
            NAMED(sweep_taps)(SWEEP_GIVEN, sum, first, last, v, 0, image, weight, sweep);
        if (across == 2 && v < sweep->taps) NAMED(sweep_taps)(SWEEP_GIVEN, sum, first, last, v, 1, image, weight, sweep);
    }
}

INLINE void NAMED(sweep)(SWEEP_SHAPE, const int kernel_rows, const fc_sweep *sweep) {
    vec sum[SWEEP_MAX_ROWS][SWEEP_MAX_VECTORS];
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_splat((real)sweep->bias);
    if (kernel_rows) { /* every input row is a piece of code of its own */
        UNROLLED for (int r = 0; r < (rows - 1) * stride + kernel_rows; r++)
            NAMED(sweep_row)(SWEEP_GIVEN, sum, r < kernel_rows ? 0 : (r - kernel_rows) / stride + 1,
                             r / stride < rows ? r / stride : rows - 1, r, sweep);
    } else { /* input rows that all output rows see, and before and after them those that only some see */
        UNROLLED for (int r = 0; r < rows - 1; r++)
            NAMED(sweep_row)(SWEEP_GIVEN, sum, 0, r, r, sweep);
        ROLLED for (ptrdiff_t r = rows - 1; r < sweep->kernel_rows; r++)
            NAMED(sweep_row)(SWEEP_GIVEN, sum, 0, rows - 1, r, sweep);
        UNROLLED for (int r = 0; r < rows - 1; r++)
            NAMED(sweep_row)(SWEEP_GIVEN, sum, r + 1, rows - 1, sweep->kernel_rows + r, sweep);
    }
    const vec low = v_splat((real)sweep->low), high = v_splat((real)sweep->high);
    const ptrdiff_t map_step = sweep->map_step, last = edges ? sweep->last : (vectors - 1) * LANES;
    const int nontemporal = sweep->nontemporal;
    real *map = (real *)sweep->map + sweep->column;
    UNROLLED for (int i = 0; i < rows; i++, map += map_step)
        UNROLLED for (int j = 0; j < vectors; j++) {
            const vec clipped = v_min(high, v_max(low, sum[i][j]));
            if (edges && vectors == 1)
                NAMED(store_part)(map, sweep->store_mask, clipped);
            else if (nontemporal)
                v_stream(map + (j == vectors - 1 ? last : j * LANES), clipped);
            else
                v_store(map + (j == vectors - 1 ? last : j * LANES), clipped);
        }
}

#define SWEEP(rows, vectors, kernel, stride, across, edges) \
    NOINLINE void NAMED(sweep_##rows##_##vectors##_##kernel##_##stride##_##across##_##edges)(const fc_sweep *sweep) { \
        NAMED(sweep)(rows, vectors, kernel, stride, across, edges, kernel, sweep); \
    }
SWEEPS(SWEEP)
#undef SWEEP
#undef SWEEP_SHAPE
#undef SWEEP_GIVEN
#undef SWEEP_SUMS

/* The stack kernel: the same sums for LANES maps at once, each from a channel of its own: a vector holds one pixel of LANES channels,
   so that no load crosses a line of memory, and no map is too narrow.

   map[pixel] = bias + sum over kernel rows u and taps v of weight[u, v] * image_row[u][pixel * across + v - pad], in order.
   What lies beyond the image, rows that are NULL and columns on either side, is zero and skipped if that is allowed. */
INLINE void NAMED(stack)(const int pixels, const int taps, const int across, const fc_stack *stack) {
    vec sum[STACK_MAX_PIXELS];
    const ptrdiff_t start = stack->column * across - stack->pad, columns = stack->columns;
    const real *weight = stack->weight;
    real *map = (real *)stack->map + stack->column * LANES;
    const int skip_zeros = stack->skip_zeros;
    UNROLLED for (int j = 0; j < pixels; j++) sum[j] = v_load((const real *)stack->bias);
    ROLLED for (ptrdiff_t u = 0; u < stack->kernel_rows; u++, weight += taps * LANES) {
        const real *image = stack->image_row[u];
        const ptrdiff_t first = -start, last = image ? columns - start : first;
        vec w[STACK_MAX_TAPS];
        if (!image && skip_zeros) continue;
        UNROLLED for (int v = 0; v < taps; v++) w[v] = v_load(weight + v * LANES);
        UNROLLED for (int i = 0; i < (pixels - 1) * across + taps; i++) {
            const int inside = first <= i && i < last;
            if (!inside && skip_zeros) continue;
            const vec x = inside ? v_load(image + (start + i) * LANES) : v_splat(0);
            UNROLLED for (int j = 0; j < pixels; j++)
                if (0 <= i - j * across && i - j * across < taps) sum[j] = v_fma(w[i - j * across], x, sum[j]);
        }
    }
    UNROLLED for (int j = 0; j < pixels; j++) v_store(map + j * LANES, sum[j]);
}

#define STACK(pixels, taps, across) \
    NOINLINE void NAMED(stack_##pixels##_##taps##_##across)(const fc_stack *stack) { NAMED(stack)(pixels, taps, across, stack); }
STACKS(STACK)
#undef STACK
