/* Dot products of bytes: register tiles of integers, see fc_bytes.

   A number of 32 bits holds the bytes of four channels of a pixel, and a weight those of four channels of a filter, so that the
   tiles of float with filters in the lanes serve as they are but for the product, which adds four products of bytes to a sum of
   32 bits:

       pixels (C / 4, D, H, W), uint8 | uint8 | uint8 | uint8        x86: bytes of pixels without a sign, of weights with one
       weights (C / 4 * taps, K), int8 | int8 | int8 | int8          ARM: both with a sign

   Bytes of pixels that are of the other kind are flipped in their highest bit, which adds or subtracts 128; what this and a zero
   point add to the sums follows from the weights alone, and is taken out by the bias. Where no instruction multiplies bytes
   exactly, numbers hold two integers of 16 bits, pixels less the zero point.

   Included once for each instruction: define BYTES_NAME, BYTES_PIXELS and BYTES_VECTORS (of a tile),
   BYTES_CHANNELS, BYTES_SIGNED and i_dot before. */
#define OF_BYTES(name) SIMD_CAT(SIMD_CAT(name##_, BYTES_NAME), _bytes)

INLINE void OF_BYTES(filter_tile)(const int pixels, const int vectors, const fc_filter_tile *tile) {
    i_vec sum[BYTES_PIXELS][BYTES_VECTORS];
    const int lanes = VECTOR_BYTES / 4;
    const int *pixel[BYTES_PIXELS], *weight = tile->weight;
    const int *first = tile->bias ? tile->bias : tile->sums;
    const ptrdiff_t *offset = tile->offset, *end = offset + tile->taps;
    const ptrdiff_t sums_step = tile->sums_step, first_step = tile->bias ? 0 : sums_step;
    int *sums = tile->sums;
    expects(weight && offset && sums && tile->taps > 0 && tile->width == vectors * lanes && sums_step >= vectors * lanes);
    for (int i = 0; i < pixels; i++) expects(tile->pixel[i]);
    UNROLLED for (int i = 0; i < pixels; i++) pixel[i] = tile->pixel[i];
    UNROLLED for (int i = 0; i < pixels; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = i_load(first + i * first_step + j * lanes);
    ROLLED for (; offset < end; offset++, weight += vectors * lanes) {
        const ptrdiff_t seen = *offset;
        i_vec filters[BYTES_VECTORS];
        UNROLLED for (int j = 0; j < vectors; j++) filters[j] = i_load(weight + j * lanes);
        UNROLLED for (int j = 0; j < vectors; j++) prefetch_l1(weight + (16 * vectors + j) * lanes);
        UNROLLED for (int i = 0; i < pixels; i++) {
            const i_vec x = i_splat(pixel[i][seen]);
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = i_dot(sum[i][j], x, filters[j]);
        }
    }
    UNROLLED for (int i = 0; i < pixels; i++)
        UNROLLED for (int j = 0; j < vectors; j++) i_store(sums + i * sums_step + j * lanes, sum[i][j]);
}

#define FILTER_TILES_OF(vectors) \
    NOINLINE void OF_BYTES(half_##vectors)(const fc_filter_tile *tile) { \
        OF_BYTES(filter_tile)(BYTES_PIXELS / 2, vectors, tile); \
    } \
    NOINLINE void OF_BYTES(full_##vectors)(const fc_filter_tile *tile) { \
        OF_BYTES(filter_tile)(BYTES_PIXELS, vectors, tile); \
    }
FILTER_TILES_OF(1)
FILTER_TILES_OF(2)
#if BYTES_VECTORS == 4
FILTER_TILES_OF(3)
FILTER_TILES_OF(4)
#  define ALL_VECTORS(name) {NULL, OF_BYTES(name##_1), OF_BYTES(name##_2), OF_BYTES(name##_3), OF_BYTES(name##_4)}
#else
#  define ALL_VECTORS(name) {NULL, OF_BYTES(name##_1), OF_BYTES(name##_2)}
#endif

/* Whole quads of bytes, or of pairs, at a time, by the same steps on every vector: interleaving is for quads. */
static ptrdiff_t OF_BYTES(pack)(void *to, const void **row, ptrdiff_t count, int change, int is_signed) {
    ptrdiff_t n = 0;
    expects(to && row && count >= 0);
    for (; n + 16 <= count; n += 16) {
        b_vec bytes[4];
        int *numbers = (int *)to + n;
        UNROLLED for (int i = 0; i < BYTES_CHANNELS; i++) bytes[i] = b_load((const char *)row[i] + n);
        if (BYTES_CHANNELS == 4) {
            const b_vec bits = b_splat(change);
            const b_vec ab[2] = {b_zip_low(bytes[0], bytes[1]), b_zip_high(bytes[0], bytes[1])};
            const b_vec cd[2] = {b_zip_low(bytes[2], bytes[3]), b_zip_high(bytes[2], bytes[3])};
            UNROLLED for (int half = 0; half < 2; half++) {
                b_store(numbers + 8 * half, b_xor(h_zip_low(ab[half], cd[half]), bits));
                b_store(numbers + 8 * half + 4, b_xor(h_zip_high(ab[half], cd[half]), bits));
            }
        } else {
            const b_vec sign = b_splat(is_signed ? 128 : 0), less = h_splat(change + (is_signed ? 128 : 0)), none = b_splat(0);
            const b_vec a = b_xor(bytes[0], sign), b = b_xor(bytes[1], sign);
            UNROLLED for (int half = 0; half < 2; half++) {
                const b_vec x = h_sub(half ? b_zip_high(a, none) : b_zip_low(a, none), less);
                const b_vec y = h_sub(half ? b_zip_high(b, none) : b_zip_low(b, none), less);
                b_store(numbers + 8 * half, h_zip_low(x, y));
                b_store(numbers + 8 * half + 4, h_zip_high(x, y));
            }
        }
    }
    return n;
}

/* Sums (16 pixels, filters of a vector) to bytes (filters, 16 pixels): each quad of lanes becomes 4 filters. What is rounded is no
   larger than an integer can be; bytes without a sign are saturated as bytes with one, 128 below them. */
INLINE void OF_BYTES(requantize_16)(char *to, const ptrdiff_t to_step, const int *sums, const ptrdiff_t sums_step, const int count,
                                    const f_vec factor, const i_vec zero, const i_vec flip) {
    char bytes[4][VECTOR_BYTES];
    i_vec row[4], next[4];
    UNROLLED for (int i = 0; i < 4; i++) {
        i_vec x[4];
        UNROLLED for (int j = 0; j < 4; j++, sums += sums_step)
            x[j] = f_round(f_min(f_mul(f_of_i(i_load(sums)), factor), f_splat(65536)));
        row[i] = i_bytes(i_add_halves(i_halves(x[0], x[1]), zero), i_add_halves(i_halves(x[2], x[3]), zero));
    }
    UNROLLED for (int n = 0; n < 4; n++) { /* bits of the pixel move from the row to the lane, those of the filter to the row */
        UNROLLED for (int i = 0; i < 4; i++)
            next[i] = i % 2 ? i_zip_high(row[i / 2], row[i / 2 + 2]) : i_zip_low(row[i / 2], row[i / 2 + 2]);
        UNROLLED for (int i = 0; i < 4; i++) row[i] = next[i];
    }
    UNROLLED for (int i = 0; i < 4; i++) i_store((int *)bytes[i], i_xor(row[i], flip));
    for (int i = 0; i < 4; i++) {
        const char *from = bytes[i];
        char *map = to + i * to_step;
        for (int filter = i; filter < count; filter += 4, from += 16, map += 4 * to_step) memcpy(map, from, 16);
    }
}

static void OF_BYTES(requantize)(void *to, ptrdiff_t to_step, const void *sums, ptrdiff_t sums_step, ptrdiff_t pixels,
                                 ptrdiff_t filters, const float *multipliers, int zero, int is_signed) {
    const int lanes = VECTOR_BYTES / 4, count = (int)(filters < lanes ? filters : lanes);
    const i_vec added = i_splat_half(zero - (is_signed ? 0 : 128)), flip = i_splat(is_signed ? 0 : (int)0x80808080);
    float multiplier[VECTOR_BYTES / 4] = {0};
    expects(to && sums && multipliers && pixels > 0 && filters > 0 && sums_step >= lanes);
    if (pixels < 16) {
        int more[16 * VECTOR_BYTES / 4];
        char bytes[16 * VECTOR_BYTES / 4];
        for (ptrdiff_t p = 0; p < 16; p++)
            memcpy(more + p * lanes, (const int *)sums + (p < pixels ? p : 0) * sums_step, VECTOR_BYTES);
        OF_BYTES(requantize)(bytes, 16, more, lanes, 16, count, multipliers, zero, is_signed);
        for (ptrdiff_t f = 0; f < count; f++) memcpy((char *)to + f * to_step, bytes + f * 16, (size_t)pixels);
    } else {
        memcpy(multiplier, multipliers, (size_t)count * sizeof(float));
        const f_vec factor = f_load(multiplier);
        for (ptrdiff_t p = 0; p < pixels; p += 16) { /* the last ones overlap their neighbours */
            const ptrdiff_t first = p + 16 <= pixels ? p : pixels - 16;
            OF_BYTES(requantize_16)((char *)to + first, to_step, (const int *)sums + first * sums_step, sums_step, count, factor,
                                    added, flip);
        }
    }
    if (filters > lanes)
        OF_BYTES(requantize)((char *)to + lanes * to_step, to_step, (const int *)sums + lanes, sums_step, pixels, filters - lanes,
                             multipliers + lanes, zero, is_signed);
}

const fc_kernels SIMD_CAT(fc_bytes_, BYTES_NAME) = {
    .lanes = VECTOR_BYTES / 4,
    .tile_filters = BYTES_PIXELS,
    .filter_tile = {[BYTES_PIXELS / 2] = ALL_VECTORS(half), [BYTES_PIXELS] = ALL_VECTORS(full)},
    .deinterleave = deinterleave_f32,
    .transpose = transpose_f32,
    .pixel_unit = BYTES_PIXELS / 2,
    .bytes = {BYTES_CHANNELS, BYTES_SIGNED, OF_BYTES(pack), OF_BYTES(requantize)},
};
#undef OF_BYTES
#undef FILTER_TILES_OF
#undef ALL_VECTORS
#undef BYTES_NAME
#undef BYTES_PIXELS
#undef BYTES_VECTORS
#undef BYTES_CHANNELS
#undef BYTES_SIGNED
#undef i_dot
