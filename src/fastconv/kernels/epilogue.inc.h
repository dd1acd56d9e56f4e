/* The epilogue: how a sum becomes a pixel of a map. It is clipped to low..high, which is where ReLU and ReLU6 are, and stored;
   the bias is already in it. A NaN stays a NaN. */
#include "kernels.h"
#include "simd.h"

#if defined(EPILOGUE) == (REAL_BITS == 64) /* once for float, then once for double */
#if REAL_BITS == 32
#  define EPILOGUE
#else
#  undef EPILOGUE
#endif

INLINE vec NAMED(clip)(const vec sum, const vec low, const vec high) { return v_min(high, v_max(low, sum)); }

/* Store a vector whose address is aligned if it is nontemporal. */
INLINE void NAMED(store)(real *map, const vec pixels, const int nontemporal) {
    if (nontemporal)
        v_stream(map, pixels);
    else
        v_store(map, pixels);
}

#ifdef SIMD_AVX2
/* Store the lanes whose bits are set in mask, the first ones but not all, in parts: on AMD's CPUs a masked store of AVX2 takes
   twelve cycles. */
INLINE void NAMED(store_first)(real *map, unsigned mask, const vec pixels) {
    __m128i rest = _mm256_castsi256_si128(v_quads(pixels));
    if (mask >> (QUAD_LANES - 1) & 1) {
        _mm_storeu_si128((__m128i *)map, rest);
        map += QUAD_LANES, mask >>= QUAD_LANES;
        rest = _mm256_extracti128_si256(v_quads(pixels), 1);
    }
#  if REAL_BITS == 32
    if (mask >> 1 & 1) {
        _mm_storel_epi64((__m128i *)map, rest);
        map += 2, mask >>= 2;
        rest = _mm_unpackhi_epi64(rest, rest);
    }
    if (mask & 1) _mm_store_ss(map, _mm_castsi128_ps(rest));
#  else
    if (mask & 1) _mm_storel_epi64((__m128i *)map, rest);
#  endif
}
#endif

/* Store the lanes whose bits are set in mask, the first ones; a whole vector where that is faster. */
INLINE void NAMED(store_part)(real *map, const unsigned mask, const vec pixels) {
#if VECTOR_BYTES == 64
    v_store_mask(map, mask, pixels);
#else
    if (mask == (1u << LANES) - 1) {
        v_store(map, pixels);
        return;
    }
#  ifdef SIMD_AVX2
    NAMED(store_first)(map, mask, pixels);
#  else
    real lanes[LANES];
    v_store(lanes, pixels);
    for (int i = 0; i < LANES; i++)
        if (mask >> i & 1) map[i] = lanes[i];
#  endif
#endif
}

/* Finish a register tile: if it has no bias yet, add what the map holds; clip; store row i of vector j at
   map[j] + i * map_step. */
INLINE void NAMED(finish_tile)(const int rows, const int vectors, vec (*sum)[TILE_MAX_VECTORS], real *const *map,
                               const ptrdiff_t map_step, const int adds, const double low, const double high) {
    const vec lowest = v_splat((real)low), highest = v_splat((real)high);
    if (adds) /* before any store: the last vector of a row may lie over its neighbour */
        UNROLLED for (int i = 0; i < rows; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_add(v_load(map[j] + i * map_step), sum[i][j]);
    if (low > -INFINITY || high < INFINITY)
        UNROLLED for (int i = 0; i < rows; i++)
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = NAMED(clip)(sum[i][j], lowest, highest);
    UNROLLED for (int i = 0; i < rows; i++)
        UNROLLED for (int j = 0; j < vectors; j++) v_store(map[j] + i * map_step, sum[i][j]);
}

#endif
