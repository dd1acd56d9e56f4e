/* The pieces of a Winograd convolution: transforms of runs of vectors along one axis, and the way between an image's channels
   and vectors that hold one pixel of LANES channels.

   A form computes `outputs` sums of `taps` products, `stride` inputs apart, with one product per position instead:
   sums = A ((G taps) * (B inputs)). Its points are 0 (if there is an even number of positions), pairs of a and -a, and infinity,
   so rows of B that belong to a pair share their even and their odd inputs, and half of the rest is zero. With stride 2 every
   other input belongs to a form of its own, for every other tap. */

/* out[i] = sum over j of B[i, j] in[j], for a form of so many positions; B has rows of row_step, inputs of every column_step. */
INLINE void NAMED(forward_phase)(const int positions, const int taps, const real *B, const int row_step, const int column_step,
                                 const vec *in, vec *out) {
    const int zero = positions % 2 == 0, last = positions - 1;
    if (taps == 1) {
        UNROLLED for (int i = 0; i < positions; i++) out[i] = in[i * column_step];
        return;
    }
    UNROLLED for (int i = zero; i < last; i += 2) {
        const real *b = B + i * row_step;
        vec same = v_splat(0), opposite = v_splat(0);
        UNROLLED for (int j = zero; j < last; j += 2) {
            opposite = v_fma(v_splat(b[j * column_step]), in[j * column_step], opposite);
            if (j + 1 < last) same = v_fma(v_splat(b[(j + 1) * column_step]), in[(j + 1) * column_step], same);
        }
        out[i] = v_add(same, opposite);
        out[i + 1] = v_sub(same, opposite);
    }
    vec origin = v_splat(0), infinity = v_splat(0);
    UNROLLED for (int j = 0; j < positions; j++) {
        if (j % 2 == 0 && zero) origin = v_fma(v_splat(B[j * column_step]), in[j * column_step], origin);
        if (j % 2 == zero) infinity = v_fma(v_splat(B[last * row_step + j * column_step]), in[j * column_step], infinity);
    }
    if (zero) out[0] = origin;
    out[last] = infinity;
}

/* out[k] += sum over i of A[k, i] in[i], for a form of so many positions. */
INLINE void NAMED(inverse_phase)(const int positions, const int outputs, const int taps, const real *A, const int row_step,
                                 const vec *in, vec *out) {
    const int zero = positions % 2 == 0, last = positions - 1;
    if (taps == 1) {
        UNROLLED for (int k = 0; k < outputs; k++) out[k] = v_add(out[k], in[k]);
        return;
    }
    if (zero) out[0] = v_add(out[0], in[0]);
    UNROLLED for (int i = zero; i < last; i += 2) {
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
    const int first = outputs + first_taps - 1;
    NAMED(forward_phase)(first, first_taps, B, positions, stride, in, out);
    if (stride == 2)
        NAMED(forward_phase)(positions - first, taps - first_taps, B + first * positions + 1, positions, 2, in + 1, out + first);
}

INLINE void NAMED(inverse)(const int outputs, const int taps, const int stride, const real *A, const vec *in, vec *out) {
    const int positions = POSITIONS(outputs, taps, stride), first_taps = (taps + stride - 1) / stride;
    const int first = outputs + first_taps - 1;
    UNROLLED for (int k = 0; k < outputs; k++) out[k] = v_splat(0);
    NAMED(inverse_phase)(first, outputs, first_taps, A, positions, in, out);
    if (stride == 2)
        NAMED(inverse_phase)(positions - first, outputs, taps - first_taps, A + first, positions, in + first, out);
}

/* Transform `items` vectors of every run: to[run, item, i] from from[run, item, j]. */
INLINE void NAMED(transform)(const int outputs, const int taps, const int stride, const int inverse, const fc_transform *t) {
    const int positions = POSITIONS(outputs, taps, stride), results = inverse ? outputs : positions;
    for (ptrdiff_t run = 0; run < t->runs; run++) {
        const ptrdiff_t item_step = t->item_step, to_item_step = t->to_item_step, to_step = t->to_step;
        const real *from[TRANSFORM_MAX_POSITIONS];
        real *to = (real *)t->to + run * t->to_run_step;
        UNROLLED for (int j = 0; j < positions; j++) from[j] = (const real *)t->from[j] + run * t->run_step;
        ROLLED for (ptrdiff_t item = 0; item < t->items; item++) {
            vec in[TRANSFORM_MAX_POSITIONS];
            vec out[TRANSFORM_MAX_POSITIONS];
            UNROLLED for (int j = 0; j < positions; j++) in[j] = v_load(from[j] + item * item_step);
            if (inverse)
                NAMED(inverse)(outputs, taps, stride, t->matrix, in, out);
            else
                NAMED(forward)(outputs, taps, stride, t->matrix, in, out);
            UNROLLED for (int i = 0; i < results; i++) v_store(to + item * to_item_step + i * to_step, out[i]);
        }
    }
}

INLINE int NAMED(has_nan)(const vec x) {
    real lanes[LANES];
    int nans = 0;
    v_store(lanes, x);
    for (int i = 0; i < LANES; i++) nans |= lanes[i] != lanes[i];
    return nans;
}

/* Blend so many filters at a time, which share what is loaded of the tiles. */
INLINE void NAMED(winograd_few_filters)(const int outputs, const int taps, const int stride, const int filters, const fc_winograd_few *blend,
                                 const ptrdiff_t f, const ptrdiff_t run) {
    const int positions = POSITIONS(outputs, taps, stride);
    const ptrdiff_t channels = blend->channels, to_step = blend->runs * LANES;
    const real *weight = (const real *)blend->weight + run * channels * positions * LANES + f;
    const real *tile = (const real *)blend->tiles + run * channels * positions * LANES;
    vec sum[FEW_MAX_FILTERS][TRANSFORM_MAX_POSITIONS];
    UNROLLED for (int i = 0; i < positions; i++)
        UNROLLED for (int k = 0; k < filters; k++) sum[k][i] = v_splat(0);
    ROLLED for (ptrdiff_t c = 0; c < channels; c++, tile += positions * LANES, weight += positions * LANES)
        UNROLLED for (int i = 0; i < positions; i++) {
            const vec pixels = v_load(tile + i * LANES);
            UNROLLED for (int k = 0; k < filters; k++) sum[k][i] = v_fma(v_splat(weight[i * LANES + k]), pixels, sum[k][i]);
        }
    real *to = (real *)blend->to + f * outputs * to_step + run * LANES;
    UNROLLED for (int k = 0; k < filters; k++) {
        vec out[TRANSFORM_MAX_POSITIONS];
        NAMED(inverse)(outputs, taps, stride, blend->matrix, sum[k], out);
        UNROLLED for (int i = 0; i < outputs; i++) v_store(to + (k * outputs + i) * to_step, out[i]);
    }
}

INLINE void NAMED(winograd_few)(const int outputs, const int taps, const int stride, const fc_winograd_few *blend) {
    const int most = (REGISTERS - 4) / POSITIONS(outputs, taps, stride);
    const int filters = most < FEW_MAX_FILTERS ? most : FEW_MAX_FILTERS;
    ptrdiff_t f = 0;
    for (; f + filters <= blend->filters; f += filters)
        for (ptrdiff_t run = 0; run < blend->runs; run++) NAMED(winograd_few_filters)(outputs, taps, stride, filters, blend, f, run);
    for (; f < blend->filters; f++)
        for (ptrdiff_t run = 0; run < blend->runs; run++) NAMED(winograd_few_filters)(outputs, taps, stride, 1, blend, f, run);
}

/* Interleave `count` vectors, a power of two: pixel i of all of them, then pixel i + 1. */
INLINE void NAMED(interleave)(const int count, vec *row) {
    vec zipped[TRANSFORM_MAX_POSITIONS];
    UNROLLED for (int done = 1; done < count; done *= 2) {
        UNROLLED for (int i = 0; i < count / 2; i++) {
            zipped[2 * i] = v_low(row[i], row[i + count / 2]);
            zipped[2 * i + 1] = v_high(row[i], row[i + count / 2]);
        }
        UNROLLED for (int i = 0; i < count; i++) row[i] = zipped[i];
    }
}

INLINE int NAMED(inverse_rows)(const int outputs, const int taps, const int stride, const fc_inverse_rows *finish) {
    const int positions = POSITIONS(outputs, taps, stride);
    const vec low = v_splat((real)finish->low), high = v_splat((real)finish->high), bias = v_splat((real)finish->bias);
    const int clips = finish->low > -INFINITY || finish->high < INFINITY;
    const ptrdiff_t rows = finish->rows, row_step = finish->row_step, columns = finish->columns;
    const real *from = finish->from, *prefetch = finish->prefetch, *matrix = finish->matrix;
    real *map = finish->map;
    const int nontemporal = finish->nontemporal && sizeof(vec) == 64 && (size_t)map % sizeof(vec) == 0 && row_step % LANES == 0;
    vec finite = v_splat(0); /* NaN as soon as something is not */
    if (outputs & (outputs - 1)) return 0;
    ROLLED for (ptrdiff_t row = 0; row < rows; row++, from += positions * LANES, map += row_step, prefetch += row_step) {
        vec in[TRANSFORM_MAX_POSITIONS];
        vec out[TRANSFORM_MAX_POSITIONS];
        UNROLLED for (int i = 0; i < positions; i++) in[i] = v_load(from + i * LANES);
        NAMED(inverse)(outputs, taps, stride, matrix, in, out);
        vec total = out[0];
        UNROLLED for (int k = 1; k < outputs; k++) total = v_add(total, out[k]);
        finite = v_fma(total, v_splat(0), finite);
        UNROLLED for (int k = 0; k < outputs; k++) out[k] = v_add(out[k], bias);
        if (clips)
            UNROLLED for (int k = 0; k < outputs; k++) out[k] = v_min(high, v_max(low, out[k]));
        NAMED(interleave)(outputs, out);
        UNROLLED for (int k = 0; k < outputs; k++) {
            const ptrdiff_t inside = columns - k * LANES;
            if (!nontemporal) prefetch_l2(prefetch + k * LANES);
            if (inside >= LANES && nontemporal)
                v_stream(map + k * LANES, out[k]);
            else if (inside >= LANES)
                v_store(map + k * LANES, out[k]);
            else if (inside > 0)
                NAMED(store_part)(map + k * LANES, (1u << inside) - 1, out[k]);
        }
    }
    return NAMED(has_nan)(finite);
}

#define FORM(outputs, taps, stride) \
    NOINLINE void NAMED(forward_##outputs##_##taps##_##stride)(const fc_transform *transform) { \
        NAMED(transform)(outputs, taps, stride, 0, transform); \
    } \
    NOINLINE void NAMED(inverse_##outputs##_##taps##_##stride)(const fc_transform *transform) { \
        NAMED(transform)(outputs, taps, stride, 1, transform); \
    } \
    NOINLINE void NAMED(winograd_few_##outputs##_##taps##_##stride)(const fc_winograd_few *blend) { \
        NAMED(winograd_few)(outputs, taps, stride, blend); \
    } \
    NOINLINE int NAMED(inverse_rows_##outputs##_##taps##_##stride)(const fc_inverse_rows *finish) { \
        return NAMED(inverse_rows)(outputs, taps, stride, finish); \
    }
FORMS(FORM)
#undef FORM
#undef POSITIONS

/* Lay rows of numbers side by side: to[p * LANES + i] = from[i * from_step + p], zero for i of `rows` and more.
   from + p can be read for `before` numbers in front of 0 and `room` from there on; to + p * LANES can be store_mask
   for LANES numbers p on either side. */
static void NAMED(gather)(void *to, const void *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t count, ptrdiff_t before,
                          ptrdiff_t room) {
    real *out = to;
    const real *in = from;
    ptrdiff_t p = 0;
    for (; p + LANES / 8 < count && LANES <= before + room; p += LANES) {
        const ptrdiff_t at = p < room - LANES ? p : room - LANES; /* the last vector moves back */
        vec pixels[LANES];
        UNROLLED for (int i = 0; i < LANES; i++) pixels[i] = i < rows ? v_load(in + i * from_step + at) : v_splat(0);
        NAMED(transpose_vectors)(pixels);
        UNROLLED for (int i = 0; i < LANES; i++) v_store(out + (at + i) * LANES, pixels[i]);
    }
    for (; p < count; p++)
        for (ptrdiff_t i = 0; i < LANES; i++) out[p * LANES + i] = i < rows ? in[i * from_step + p] : 0;
}

/* The way back: to[i * to_step + p] = from[p * LANES + i] + bias[i], packed between low and high, for i of fewer than `rows`;
   what is nontemporal is store_mask past the caches, by vectors that are lines of them.
   Returns 1 if a number was NaN or infinite, else 0. */
static int NAMED(scatter)(void *to, ptrdiff_t to_step, ptrdiff_t rows, const void *from, ptrdiff_t count, const void *bias,
                          double low_, double high_, int nontemporal) {
    const vec low = v_splat((real)low_), high = v_splat((real)high_);
    const int bypasses = nontemporal && sizeof(vec) == 64 && (size_t)to % sizeof(vec) == 0 && to_step % LANES == 0;
    vec finite = v_splat(0); /* NaN as soon as something is not */
    ptrdiff_t p = 0;
    for (; p + LANES / 8 < count; p += LANES) {
        const ptrdiff_t inside = count - p;
        vec maps[LANES];
        UNROLLED for (int i = 0; i < LANES; i++) {
            maps[i] = i < inside ? v_load((const real *)from + (p + i) * LANES) : v_splat(0);
            finite = v_fma(maps[i], v_splat(0), finite);
        }
        NAMED(transpose_vectors)(maps);
        UNROLLED for (int i = 0; i < LANES; i++) {
            if (i >= rows) break;
            const vec map = v_min(high, v_max(low, v_add(maps[i], v_splat(((const real *)bias)[i]))));
            if (bypasses && inside >= LANES)
                v_stream((real *)to + i * to_step + p, map);
            else
                NAMED(store_part)((real *)to + i * to_step + p, inside < LANES ? (1u << inside) - 1 : (1u << LANES) - 1, map);
        }
    }
    for (; p < count; p++) {
        const vec pixel = v_load((const real *)from + p * LANES);
        real lanes[LANES];
        finite = v_fma(pixel, v_splat(0), finite);
        v_store(lanes, pixel);
        for (ptrdiff_t i = 0; i < rows; i++) {
            const real map = lanes[i] + ((const real *)bias)[i];
            ((real *)to)[i * to_step + p] = map < low_ ? (real)low_ : map > high_ ? (real)high_ : map;
        }
    }
    return NAMED(has_nan)(finite);
}

/* Transform weights by any matrix: to[run, i] = sum over j of matrix[i, j] from[j][run]. */
INLINE void NAMED(transform_filter_taps)(const int taps, const fc_transform *t, const ptrdiff_t results) {
    for (ptrdiff_t run = 0; run < t->runs; run++) {
        real *to = (real *)t->to + run * t->to_run_step;
        const real *row = t->matrix;
        vec in[TRANSFORM_MAX_POSITIONS];
        UNROLLED for (int j = 0; j < taps; j++) in[j] = v_load((const real *)t->from[j] + run * t->run_step);
        ROLLED for (ptrdiff_t i = 0; i < results; i++, row += taps, to += t->to_step) {
            vec sum = v_splat(0);
            UNROLLED for (int j = 0; j < taps; j++) sum = v_fma(v_splat(row[j]), in[j], sum);
            v_store(to, sum);
        }
    }
}

static void NAMED(transform_filter)(const fc_transform *t, ptrdiff_t results, ptrdiff_t taps) {
    switch (taps) {
    case 1: NAMED(transform_filter_taps)(1, t, results); break;
    case 3: NAMED(transform_filter_taps)(3, t, results); break;
    case 4: NAMED(transform_filter_taps)(4, t, results); break;
    case 5: NAMED(transform_filter_taps)(5, t, results); break;
    }
}
