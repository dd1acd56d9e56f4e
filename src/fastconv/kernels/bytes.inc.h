/* Dot products of bytes: register tiles of integers, see fc_bytes.

   A number of 32 bits holds the bytes of four channels of a pixel, and a weight those of four channels of a filter, so that the
   tiles of float serve as they are but for the product, which adds four products of bytes to a sum of 32 bits:

       pixels (C / 4, D, H, W), uint8 | uint8 | uint8 | uint8        x86: bytes of pixels without a sign, of weights with one
       weights (K, C / 4 * taps),     int8 | int8 | int8 | int8      ARM: both with a sign

   Bytes of pixels that are of the other kind are flipped in their highest bit, which adds or subtracts 128; what this adds to
   the sums follows from the weights alone, and is taken out by the bias. So is a zero point: pixels are stored as bits that
   differ from it, zeros of the padding are pixels of that value, and the flip puts it back. Where no instruction multiplies
   bytes exactly, numbers hold two integers of 16 bits.

   Included once for each instruction: define BYTES_NAME, BYTES_FILTERS (of a tile), BYTES_CHANNELS, BYTES_SIGNED and i_dot before. */
#define OF_BYTES(name) SIMD_CAT(SIMD_CAT(name##_, BYTES_NAME), _bytes)

INLINE void OF_BYTES(tile)(const int vectors, const fc_tile *tile) {
    i_vec sum[BYTES_FILTERS][TILE_MAX_VECTORS];
    const int lanes = VECTOR_BYTES / 4;
    const int *image[TILE_MAX_VECTORS], *bias = tile->bias;
    const char *weight = tile->weight, *packed = tile->packed;
    char *pack_to = tile->pack_to;
    const ptrdiff_t *offset = tile->offset;
    const ptrdiff_t taps = tile->taps, tap_step = tile->tap_step, packed_step = tile->packed_step, rows = tile->rows;
    const i_vec flip = i_splat((int)tile->flip);
    expects(weight && taps > 0 && (packed || (offset && tile->image[0])) && !(packed && pack_to) && tile->filter_step == 4);
    expects(1 <= rows && rows <= BYTES_FILTERS && tile->map[0] && tile->low <= tile->high);
    UNROLLED for (int j = 0; j < vectors; j++) image[j] = packed ? (const int *)packed + j * lanes : tile->image[j];
    UNROLLED for (int i = 0; i < BYTES_FILTERS; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = i_splat(bias && i < rows ? bias[i] : 0);
    ROLLED for (ptrdiff_t t = 0; t < taps; t++, weight += tap_step) {
        const ptrdiff_t at = packed ? t * packed_step / 4 : offset[t];
        i_vec pixels[TILE_MAX_VECTORS];
        UNROLLED for (int j = 0; j < vectors; j++) pixels[j] = i_load(image[j] + at);
        if (pack_to) {
            UNROLLED for (int j = 0; j < vectors; j++) i_store((int *)pack_to + j * lanes, pixels[j]);
            pack_to += packed_step;
        }
        if (BYTES_CHANNELS == 4)
            UNROLLED for (int j = 0; j < vectors; j++) pixels[j] = i_xor(pixels[j], flip);
        UNROLLED for (int i = 0; i < BYTES_FILTERS; i++) {
            const i_vec w = i_splat(((const int *)weight)[i]);
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = i_dot(sum[i][j], pixels[j], w);
        }
    }
    const i_vec low = i_splat(tile->low > -2147483648.0 ? (int)tile->low : -2147483647 - 1);
    const i_vec high = i_splat(tile->high < 2147483647.0 ? (int)tile->high : 2147483647);
    if (!bias) /* before any store: the last vector of a row may lie over its neighbour */
        UNROLLED for (int i = 0; i < BYTES_FILTERS; i++) {
            if (i >= rows) break;
            UNROLLED for (int j = 0; j < vectors; j++)
                sum[i][j] = i_add(sum[i][j], i_load((const int *)tile->map[j] + i * tile->map_step));
        }
    UNROLLED for (int i = 0; i < BYTES_FILTERS; i++) {
        if (i >= rows) break;
        UNROLLED for (int j = 0; j < vectors; j++)
            i_store((int *)tile->map[j] + i * tile->map_step, i_min(i_max(sum[i][j], low), high));
    }
}

NOINLINE void OF_BYTES(tile_1)(const fc_tile *tile) { OF_BYTES(tile)(1, tile); }
NOINLINE void OF_BYTES(tile_2)(const fc_tile *tile) { OF_BYTES(tile)(2, tile); }
NOINLINE void OF_BYTES(tile_3)(const fc_tile *tile) { OF_BYTES(tile)(3, tile); }

/* Whole quads of bytes, or of pairs, at a time, by the same steps on every vector: interleaving is for quads. */
static ptrdiff_t OF_BYTES(pack)(void *to, const void **row, ptrdiff_t count, int zero, int is_signed) {
    ptrdiff_t n = 0;
    expects(to && row && count >= 0);
    for (; n + 16 <= count; n += 16) {
        b_vec bytes[4];
        int *numbers = (int *)to + n;
        UNROLLED for (int i = 0; i < BYTES_CHANNELS; i++) bytes[i] = b_load((const char *)row[i] + n);
        if (BYTES_CHANNELS == 4) {
            const b_vec zeros = b_splat(zero);
            const b_vec ab[2] = {b_zip_low(bytes[0], bytes[1]), b_zip_high(bytes[0], bytes[1])};
            const b_vec cd[2] = {b_zip_low(bytes[2], bytes[3]), b_zip_high(bytes[2], bytes[3])};
            UNROLLED for (int half = 0; half < 2; half++) {
                b_store(numbers + 8 * half, b_xor(h_zip_low(ab[half], cd[half]), zeros));
                b_store(numbers + 8 * half + 4, b_xor(h_zip_high(ab[half], cd[half]), zeros));
            }
        } else {
            const b_vec sign = b_splat(is_signed ? 128 : 0), less = h_splat(zero + (is_signed ? 128 : 0)), none = b_splat(0);
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

/* The multiple is clipped before it is rounded, so that it is an integer of 32 bits. */
static void OF_BYTES(requantize)(void *to, const void *sums, ptrdiff_t count, float multiplier, int zero, int low, int high) {
    const int lanes = VECTOR_BYTES / 4;
    const f_vec factor = f_splat(multiplier), lowest = f_splat((float)(low - zero)), highest = f_splat((float)(high - zero));
    ptrdiff_t n = 0;
    expects(to && sums && count >= 0 && low <= high);
    for (; n + lanes <= count; n += lanes) {
        const f_vec scaled = f_mul(f_of_i(i_load((const int *)sums + n)), factor);
        i_store_bytes((char *)to + n, i_add(f_round(f_min(f_max(scaled, lowest), highest)), i_splat(zero)));
    }
    if (n < count) {
        int rest[VECTOR_BYTES / 4] = {0};
        char bytes[VECTOR_BYTES / 4];
        memcpy(rest, (const int *)sums + n, (size_t)(count - n) * sizeof(int));
        OF_BYTES(requantize)(bytes, rest, lanes, multiplier, zero, low, high);
        memcpy((char *)to + n, bytes, (size_t)(count - n));
    }
}

const fc_kernels SIMD_CAT(fc_bytes_, BYTES_NAME) = {
    .lanes = VECTOR_BYTES / 4,
    .tile_filters = BYTES_FILTERS,
    .tile_vectors = {3, 3, 3, 3, 3, 3, 3, 3, 3},
    .tile = {[BYTES_FILTERS] = {NULL, OF_BYTES(tile_1), OF_BYTES(tile_2), OF_BYTES(tile_3)}},
    .im2col = im2col_f32,
    .deinterleave = deinterleave_f32,
    .transpose = transpose_f32,
    .tile_unit = BYTES_FILTERS,
    .bytes = {BYTES_CHANNELS, BYTES_SIGNED, OF_BYTES(pack), OF_BYTES(requantize)},
};
#undef OF_BYTES
#undef BYTES_NAME
#undef BYTES_FILTERS
#undef BYTES_CHANNELS
#undef BYTES_SIGNED
#undef i_dot
