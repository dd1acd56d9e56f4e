/* The tile kernels: slide some filters over some neighbouring pixels, sums in registers, taps in order.

   map[i, pixel] = bias[i] + sum over taps t of weight[i, t] * image[pixel + offset[t]], with lanes that are neighbouring pixels, or
   neighbouring filters: each step loads what fills the lanes and spreads one number after the other of the other side over a vector.
   Later chunks of taps are added up by themselves and then added to the map, which keeps rounding errors small. */

/* Add what filters see through one tap, and pack_to it if there is a place to. */
INLINE void NAMED(tile_tap)(const int filters, const int vectors, vec (*sum)[TILE_MAX_VECTORS], const real **image,
                            const ptrdiff_t offset, const char *weight, const ptrdiff_t filter_step, real *pack_to) {
    vec pixels[TILE_MAX_VECTORS];
    UNROLLED for (int j = 0; j < vectors; j++) pixels[j] = v_load(image[j] + offset);
    if (pack_to)
        UNROLLED for (int j = 0; j < vectors; j++) v_store(pack_to + j * LANES, pixels[j]);
    UNROLLED for (int i = 0; i < filters; i++) {
        const vec w = v_splat(*(const real *)(weight + i * filter_step));
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(w, pixels[j], sum[i][j]);
    }
}

INLINE void NAMED(tile)(const int filters, const int vectors, const fc_tile *tile) {
    vec sum[TILE_MAX_FILTERS][TILE_MAX_VECTORS];
    const real *image[TILE_MAX_VECTORS];
    const real *bias = tile->bias;
    const char *weight = tile->weight;
    char *pack_to = tile->pack_to;
    const char *packed = tile->packed, *prefetch = tile->prefetch;
    const ptrdiff_t filter_step = tile->filter_step, tap_step = tile->tap_step, taps = tile->taps;
    const ptrdiff_t *offset = tile->offset, packed_step = tile->packed_step, prefetch_step = tile->prefetch_step;
    UNROLLED for (int j = 0; j < vectors; j++) image[j] = tile->image[j];
    UNROLLED for (int i = 0; i < filters; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_splat(bias ? bias[i] : 0);
    if (packed) {
        const char *end = packed + taps * packed_step;
        ROLLED for (; packed != end; packed += packed_step, weight += tap_step, prefetch += prefetch_step) {
            UNROLLED for (int j = 0; j < vectors; j++) image[j] = (const real *)packed + j * LANES;
            prefetch_l2(prefetch);
            NAMED(tile_tap)(filters, vectors, sum, image, 0, weight, filter_step, NULL);
        }
    } else if (pack_to) {
        ROLLED for (ptrdiff_t t = 0; t < taps; t++, weight += tap_step, pack_to += packed_step, prefetch += prefetch_step) {
            UNROLLED for (int j = 0; j < vectors; j++) prefetch_l2((const real *)prefetch + j * LANES);
            NAMED(tile_tap)(filters, vectors, sum, image, offset[t], weight, filter_step, (real *)pack_to);
        }
    } else {
        ROLLED for (ptrdiff_t t = 0; t < taps; t++, weight += tap_step)
            NAMED(tile_tap)(filters, vectors, sum, image, offset[t], weight, filter_step, NULL);
    }
    const vec low = v_splat((real)tile->low), high = v_splat((real)tile->high);
    const ptrdiff_t map_step = tile->map_step;
    real *map[TILE_MAX_VECTORS];
    UNROLLED for (int j = 0; j < vectors; j++) map[j] = tile->map[j];
    if (!bias) /* before any store: the last vector of a row may lie over its neighbour */
        UNROLLED for (int i = 0; i < filters; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_add(v_load(map[j] + i * map_step), sum[i][j]);
    if (tile->low > -INFINITY || tile->high < INFINITY)
        UNROLLED for (int i = 0; i < filters; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_min(high, v_max(low, sum[i][j]));
    UNROLLED for (int i = 0; i < filters; i++)
        UNROLLED for (int j = 0; j < vectors; j++) v_store(map[j] + i * map_step, sum[i][j]);
}

INLINE void NAMED(filter_tile)(const int pixels, const int vectors, const fc_filter_tile *tile) {
    vec sum[TILE_MAX_FILTERS][FILTER_TILE_VECTORS];
    const real *pixel[TILE_MAX_FILTERS];
    const real *weight = tile->weight, *bias = tile->bias, *prefetch = tile->prefetch;
    const ptrdiff_t width = tile->width, prefetch_step = tile->prefetch_step;
    const ptrdiff_t *offset = tile->offset, *end = offset + tile->taps;
    UNROLLED for (int i = 0; i < pixels; i++) pixel[i] = tile->pixel[i];
    UNROLLED for (int i = 0; i < pixels; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = bias ? v_load(bias + j * LANES) : v_splat(0);
    ROLLED for (; offset < end; offset++, weight += width, prefetch += prefetch_step) {
        const ptrdiff_t seen = *offset;
        vec filters[FILTER_TILE_VECTORS];
        UNROLLED for (int j = 0; j < vectors; j++) filters[j] = v_load(weight + j * LANES);
        if (pixels > 1) /* a stream that nothing holds up needs no help */
            UNROLLED for (int j = 0; j < vectors; j++) prefetch_l1(prefetch + j * LANES);
        UNROLLED for (int i = 0; i < pixels; i++) {
            const vec x = v_splat(pixel[i][seen]);
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(x, filters[j], sum[i][j]);
        }
    }
    const vec low = v_splat((real)tile->low), high = v_splat((real)tile->high);
    real *sums = tile->sums;
    if (!bias)
        UNROLLED for (int i = 0; i < pixels; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_add(v_load(sums + i * tile->sums_step + j * LANES), sum[i][j]);
    if (tile->low > -INFINITY || tile->high < INFINITY)
        UNROLLED for (int i = 0; i < pixels; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_min(high, v_max(low, sum[i][j]));
    UNROLLED for (int i = 0; i < pixels; i++, sums += tile->sums_step)
        UNROLLED for (int j = 0; j < vectors; j++) v_store(sums + j * LANES, sum[i][j]);
}

#define TILE(filters, vectors) \
    NOINLINE void NAMED(tile_##filters##_##vectors)(const fc_tile *tile) { NAMED(tile)(filters, vectors, tile); }
#define FILTER_TILE(pixels, vectors) \
    NOINLINE void NAMED(filter_tile_##pixels##_##vectors)(const fc_filter_tile *tile) { NAMED(filter_tile)(pixels, vectors, tile); }
TILES(TILE)
FILTER_TILES(FILTER_TILE)
#undef TILE
#undef FILTER_TILE

/* Copy whole vectors: what overruns a run is overwritten by the next one, or lies in the slack behind the panel. */
static void NAMED(im2col)(const fc_im2col *panel) {
    const ptrdiff_t *start = panel->start, *seen = panel->seen, *length = panel->length, runs = panel->runs;
    real *row = panel->panel;
    for (ptrdiff_t t = 0; t < panel->taps; t++, row += panel->width) {
        const real *image = (const real *)panel->image + panel->offset[t];
        for (ptrdiff_t s = 0; s < runs; s++) {
            const real *from = image + seen[s];
            real *to = row + start[s];
            v_store(to, v_load(from));
            for (ptrdiff_t i = LANES; i < length[s]; i += LANES) v_store(to + i, v_load(from + i));
        }
    }
}

/* Let a bit of the vectors' numbers change places with the bit of the lanes' that tells neighbours apart, or neighbouring quads. */
INLINE void NAMED(transpose_step)(vec *row, const int bit, const int quads) {
    UNROLLED for (int i = 0; i < LANES; i++)
        if (!(i & bit)) {
            const vec a = row[i], b = row[i + bit];
            row[i] = quads ? v_even_quads(a, b) : v_zip_low(a, b);
            row[i + bit] = quads ? v_odd_quads(a, b) : v_zip_high(a, b);
        }
}

/* Transpose LANES vectors: all bits have changed places. */
INLINE void NAMED(transpose_vectors)(vec *row) {
    if (QUAD_LANES > 2) NAMED(transpose_step)(row, 2, 0);
    if (QUAD_LANES > 1) NAMED(transpose_step)(row, 1, 0);
    if (LANES > QUAD_LANES) NAMED(transpose_step)(row, QUAD_LANES, 1);
    if (LANES > 2 * QUAD_LANES) NAMED(transpose_step)(row, 2 * QUAD_LANES, 1);
}

/* Transpose a matrix square by square; the last ones move back over their neighbours. */
static void NAMED(transpose)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t rows,
                             ptrdiff_t columns) {
    real *target = to;
    const real *source = from;
    if (rows < LANES || columns < LANES) {
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t c = 0; c < columns; c++) target[c * to_step + r] = source[r * from_step + c];
        return;
    }
    for (ptrdiff_t r = 0; r < rows; r += LANES)
        for (ptrdiff_t c = 0; c < columns; c += LANES) {
            const ptrdiff_t row = r + LANES < rows ? r : rows - LANES, column = c + LANES < columns ? c : columns - LANES;
            vec square[LANES];
            UNROLLED for (int i = 0; i < LANES; i++) square[i] = v_load(source + (row + i) * from_step + column);
            NAMED(transpose_vectors)(square);
            UNROLLED for (int i = 0; i < LANES; i++) v_store(target + (column + i) * to_step + row, square[i]);
        }
}

/* One pixel meets a vector of filters as they are, each a row: they are transposed square by square on their way. */
static void NAMED(one_pixel)(const fc_filter_tile *tile, ptrdiff_t filters) {
    const real *row[LANES], *pixel = tile->pixel[0], *bias = tile->bias;
    const ptrdiff_t *offset = tile->offset;
    const ptrdiff_t taps = tile->taps;
    real *sums = tile->sums;
    vec sum = bias ? v_load(bias) : v_splat(0);
    ptrdiff_t t = 0;
    UNROLLED for (int i = 0; i < LANES; i++) row[i] = (const real *)tile->weight + (i < filters ? i : filters - 1) * tile->width;
    ROLLED for (; t + LANES <= taps; t += LANES) {
        vec square[LANES];
        UNROLLED for (int i = 0; i < LANES; i++) square[i] = v_load(row[i] + t);
        NAMED(transpose_vectors)(square);
        UNROLLED for (int i = 0; i < LANES; i++) sum = v_fma(v_splat(pixel[offset[t + i]]), square[i], sum);
    }
    for (; t < taps; t++) {
        real lanes[LANES];
        for (int i = 0; i < LANES; i++) lanes[i] = row[i][t];
        sum = v_fma(v_splat(pixel[offset[t]]), v_load(lanes), sum);
    }
    if (!bias) sum = v_add(v_load(sums), sum);
    v_store(sums, v_min(v_splat((real)tile->high), v_max(v_splat((real)tile->low), sum)));
}

/* Load some lanes, the others being zero, and read no others. */
#ifndef v_load_mask
NOINLINE vec NAMED(load_lanes)(const real *pixels, const unsigned mask) {
    real lanes[LANES];
    for (int i = 0; i < LANES; i++) lanes[i] = mask >> i & 1 ? pixels[i] : 0;
    return v_load(lanes);
}
#endif

INLINE vec NAMED(load_part)(const real *pixels, const unsigned mask) {
#if VECTOR_BYTES == 64
    return v_load_mask(pixels, mask);
#else
    if (mask == (1u << LANES) - 1) return v_load(pixels);
#  ifdef v_load_mask
    return v_load_mask(pixels, mask);
#  else
    return NAMED(load_lanes)(pixels, mask);
#  endif
#endif
}

/* A vector of a row, from `column` on, zeros where it has no columns. */
INLINE vec NAMED(load_columns)(const real *row, const ptrdiff_t column, const ptrdiff_t columns) {
    const ptrdiff_t before = column < 0 ? -column : 0, behind = columns - column, first = before < LANES ? before : LANES;
    const ptrdiff_t last = behind < first ? first : behind < LANES ? behind : LANES;
    return NAMED(load_part)(row + column, (1u << last) - (1u << first));
}

/* Deal rows out. Dealing the pairs of vectors out, even lanes to the first half, rotates the bits of (vector, lane) by one: done once
   for every bit of `phases`, slots and vectors have changed places. In long rows the second vector begins at the image's first column,
   where the image may be aligned. The last vectors of a slot move back; what overruns a slot that is shorter than a vector is
   overwritten by the next one. */
INLINE void NAMED(deinterleave_phases)(const int phases, const fc_deinterleave *frame) {
    const ptrdiff_t last = frame->to_step > LANES ? frame->to_step - LANES : 0, columns = frame->columns;
    const real *pixels = frame->from;
    const ptrdiff_t left = -frame->first / phases % LANES, second = left > 0 && last >= 3 * LANES ? left : LANES;
    real *to = frame->to;
    for (ptrdiff_t r = 0; r < frame->rows; r++, pixels += frame->from_step, to += frame->slots * frame->to_step) {
        ROLLED for (ptrdiff_t i = 0; i < frame->to_step; i = i ? i + LANES : second) {
            const ptrdiff_t at = i < last ? i : last, column = frame->first + phases * at;
            vec row[8], dealt[8];
            if (column >= 0 && column + phases * LANES <= columns)
                UNROLLED for (int v = 0; v < phases; v++) row[v] = v_load(pixels + column + v * LANES);
            else
                UNROLLED for (int v = 0; v < phases; v++) row[v] = NAMED(load_columns)(pixels, column + v * LANES, columns);
            UNROLLED for (int bit = 1; bit < phases; bit *= 2) {
                UNROLLED for (int v = 0; v < phases / 2; v++) {
                    dealt[v] = v_even(row[2 * v], row[2 * v + 1]);
                    dealt[v + phases / 2] = v_odd(row[2 * v], row[2 * v + 1]);
                }
                UNROLLED for (int v = 0; v < phases; v++) row[v] = dealt[v];
            }
            UNROLLED for (int slot = 0; slot < phases; slot++)
                if (slot < frame->slots) v_store(to + slot * frame->to_step + at, row[slot]);
        }
    }
}

static void NAMED(deinterleave)(const fc_deinterleave *frame) {
    if (frame->phases == 1)
        NAMED(deinterleave_phases)(1, frame);
    else if (frame->phases == 2)
        NAMED(deinterleave_phases)(2, frame);
    else if (frame->phases == 4)
        NAMED(deinterleave_phases)(4, frame);
    else
        NAMED(deinterleave_phases)(8, frame);
}

/* Multiply and add as fast as can be, PEAK_SUMS vectors a round: what benchmarks call the peak. */
static double NAMED(peak)(ptrdiff_t rounds) {
    vec sum[PEAK_SUMS];
    real total[LANES];
    UNROLLED for (int i = 0; i < PEAK_SUMS; i++) sum[i] = v_splat((real)i);
    ROLLED for (ptrdiff_t r = 0; r < rounds; r++)
        UNROLLED for (int i = 0; i < PEAK_SUMS; i++) {
            sum[i] = v_fma(sum[i], v_splat((real)0.5), v_splat(1));
            v_keep(sum[i]);
        }
    UNROLLED for (int i = 1; i < PEAK_SUMS; i++) sum[0] = v_add(sum[0], sum[i]);
    v_store(total, sum[0]);
    return total[0];
}
