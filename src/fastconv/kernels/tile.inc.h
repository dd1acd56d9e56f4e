/* The tile kernel: slide some filters over some vectors of neighbouring pixels, sums in registers.

   map[i, pixel] = bias[i] + sum over taps t of weight[i, t] * image[pixel + offset[t]], one lane a pixel, taps in order;
   each step loads the pixels of one tap and spreads one weight per filter over a vector. Later chunks of taps are added up
   by themselves and then added to the map, which keeps rounding errors small. */

INLINE void NAMED(tile)(const int filters, const int vectors, const int fetches, const fc_tile *tile) {
    vec sum[TILE_MAX_FILTERS][TILE_MAX_VECTORS];
    const real *image[TILE_MAX_VECTORS];
    const real *weight = tile->weight, *bias = tile->bias;
    const ptrdiff_t filter_step = tile->filter_step, tap_step = tile->tap_step, taps = tile->taps;
    const ptrdiff_t *offset = tile->offset;
    const real *ahead = tile->ahead;
    UNROLLED for (int j = 0; j < vectors; j++) image[j] = tile->image[j];
    UNROLLED for (int i = 0; i < filters; i++)
        UNROLLED for (int j = 0; j < vectors; j++)
            sum[i][j] = !bias ? v_splat(0) : tile->lanes_are_filters ? v_load(bias + j * LANES) : v_splat(bias[i]);
    ROLLED for (ptrdiff_t t = 0; t < taps; t++) {
        vec pixels[TILE_MAX_VECTORS];
        UNROLLED for (int j = 0; j < vectors; j++) pixels[j] = v_load(image[j] + offset[t]);
        if (fetches)
            UNROLLED for (int j = 0; j < vectors; j++) v_fetch(ahead + offset[t] + j * LANES);
        UNROLLED for (int i = 0; i < filters; i++) {
            const vec w = v_splat(weight[i * filter_step]);
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(w, pixels[j], sum[i][j]);
        }
        weight += tap_step;
    }
    const vec low = v_splat((real)tile->low), high = v_splat((real)tile->high);
    const ptrdiff_t map_step = tile->map_step;
    real *map[TILE_MAX_VECTORS];
    UNROLLED for (int j = 0; j < vectors; j++) map[j] = tile->map[j];
    if (!bias) /* before any store: the last vector of a row may lie over its neighbour */
        UNROLLED for (int i = 0; i < filters; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_add(v_load(map[j] + i * map_step), sum[i][j]);
    UNROLLED for (int i = 0; i < filters; i++)
        UNROLLED for (int j = 0; j < vectors; j++) v_store(map[j] + i * map_step, v_min(high, v_max(low, sum[i][j])));
}

#define TILE(filters, vectors) \
    NOINLINE void NAMED(tile_##filters##_##vectors)(const fc_tile *tile) { \
        if (tile->lanes_are_filters) /* then weights pass by once, and from afar */ \
            NAMED(tile)(filters, vectors, 1, tile); \
        else \
            NAMED(tile)(filters, vectors, 0, tile); \
    }
TILES(TILE)
#undef TILE

/* Keep the sums of one pixel, bias or what is there included, between the limits. */
INLINE void NAMED(put_lone)(const fc_tile *tile, ptrdiff_t first, vec sum) {
    real *sums = (real *)tile->map[0] + first;
    if (!tile->bias) sum = v_add(v_load(sums), sum);
    v_store(sums, v_min(v_splat((real)tile->high), v_max(v_splat((real)tile->low), sum)));
}

/* One pixel meets packed filters: they pass by once, so fast as memory yields a plain stream. */
INLINE void NAMED(stream)(const int vectors, const fc_tile *tile, const ptrdiff_t width) {
    vec sum[LONE_VECTORS];
    const real *filters = tile->image[0], *pixel = tile->weight, *bias = tile->bias;
    const ptrdiff_t tap_step = tile->tap_step, taps = tile->taps;
    UNROLLED for (int j = 0; j < vectors; j++) sum[j] = bias ? v_load(bias + j * LANES) : v_splat(0);
    ROLLED for (ptrdiff_t t = 0; t < taps; t++) {
        UNROLLED for (int j = 0; j < vectors; j++) sum[j] = v_fma(v_splat(*pixel), v_load(filters + j * LANES), sum[j]);
        pixel += tap_step;
        filters += width;
    }
    UNROLLED for (int j = 0; j < vectors; j++) NAMED(put_lone)(tile, j * LANES, sum[j]);
}

static void NAMED(lone)(const fc_tile *tile, ptrdiff_t vectors, ptrdiff_t width) {
    if (vectors == 1) NAMED(stream)(1, tile, width);
    else if (vectors == 2) NAMED(stream)(2, tile, width);
    else NAMED(stream)(3, tile, width);
}

/* Copy whole vectors: what overruns a run is overwritten by the next one, or lies in the slack behind the panel. */
static void NAMED(panel)(const fc_panel *panel) {
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

/* Deal numbers out. Dealing the pairs of vectors out, even lanes to the first half, rotates the bits of (vector, lane) by one:
   done once for every bit of `ways`, slots and vectors have changed places. The last vectors move back. */
INLINE void NAMED(deal_ways)(const int ways, real *to, const ptrdiff_t to_step, const ptrdiff_t slots, const real *from,
                             const ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const ptrdiff_t at = i + LANES < count ? i : count - LANES;
        vec row[8], dealt[8];
        UNROLLED for (int v = 0; v < ways; v++) row[v] = v_load(from + ways * at + v * LANES);
        UNROLLED for (int bit = 1; bit < ways; bit *= 2) {
            UNROLLED for (int v = 0; v < ways / 2; v++) {
                dealt[v] = v_even(row[2 * v], row[2 * v + 1]);
                dealt[v + ways / 2] = v_odd(row[2 * v], row[2 * v + 1]);
            }
            UNROLLED for (int v = 0; v < ways; v++) row[v] = dealt[v];
        }
        UNROLLED for (int slot = 0; slot < ways; slot++)
            if (slot < slots) v_store(to + slot * to_step + at, row[slot]);
    }
}

/* Deal numbers out to some of 2, 4 or 8 slots: to[slot * to_step + i] = from[ways * i + slot]. */
static void NAMED(deal)(void *to, ptrdiff_t to_step, ptrdiff_t slots, const void *from, ptrdiff_t ways, ptrdiff_t count) {
    if (count < LANES) {
        for (ptrdiff_t slot = 0; slot < slots; slot++)
            for (ptrdiff_t i = 0; i < count; i++) ((real *)to)[slot * to_step + i] = ((const real *)from)[ways * i + slot];
    } else if (ways == 2)
        NAMED(deal_ways)(2, to, to_step, slots, from, count);
    else if (ways == 4)
        NAMED(deal_ways)(4, to, to_step, slots, from, count);
    else
        NAMED(deal_ways)(8, to, to_step, slots, from, count);
}

/* Transpose LANES vectors: dealt out LANES ways, rows and lanes have changed places. */
INLINE void NAMED(transpose_vectors)(vec *row) {
    vec dealt[LANES];
    UNROLLED for (int bit = 1; bit < LANES; bit *= 2) {
        UNROLLED for (int i = 0; i < LANES / 2; i++) {
            dealt[i] = v_even(row[2 * i], row[2 * i + 1]);
            dealt[i + LANES / 2] = v_odd(row[2 * i], row[2 * i + 1]);
        }
        UNROLLED for (int i = 0; i < LANES; i++) row[i] = dealt[i];
    }
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
static void NAMED(lone_rows)(const fc_tile *tile, ptrdiff_t filters, ptrdiff_t filter_step) {
    const real *row[LANES], *pixel = tile->weight;
    const ptrdiff_t tap_step = tile->tap_step, taps = tile->taps;
    vec sum = tile->bias ? v_load((const real *)tile->bias) : v_splat(0);
    ptrdiff_t t = 0;
    UNROLLED for (int i = 0; i < LANES; i++)
        row[i] = (const real *)tile->image[0] + (i < filters ? i : filters - 1) * filter_step;
    ROLLED for (; t + LANES <= taps; t += LANES) {
        vec square[LANES];
        UNROLLED for (int i = 0; i < LANES; i++) square[i] = v_load(row[i] + t);
        NAMED(transpose_vectors)(square);
        UNROLLED for (int i = 0; i < LANES; i++) sum = v_fma(v_splat(pixel[(t + i) * tap_step]), square[i], sum);
    }
    for (; t < taps; t++) {
        real lanes[LANES];
        for (int i = 0; i < LANES; i++) lanes[i] = row[i][t];
        sum = v_fma(v_splat(pixel[t * tap_step]), v_load(lanes), sum);
    }
    NAMED(put_lone)(tile, 0, sum);
}

/* Multiply and add as fast as can be, PROBE_SUMS vectors a round: what benchmarks call the peak. */
static double NAMED(probe)(ptrdiff_t rounds) {
    vec sum[PROBE_SUMS];
    real total[LANES];
    UNROLLED for (int i = 0; i < PROBE_SUMS; i++) sum[i] = v_splat((real)i);
    ROLLED for (ptrdiff_t r = 0; r < rounds; r++)
        UNROLLED for (int i = 0; i < PROBE_SUMS; i++) {
            sum[i] = v_fma(sum[i], v_splat((real)0.5), v_splat(1));
            v_keep(sum[i]);
        }
    UNROLLED for (int i = 1; i < PROBE_SUMS; i++) sum[0] = v_add(sum[0], sum[i]);
    v_store(total, sum[0]);
    return total[0];
}
