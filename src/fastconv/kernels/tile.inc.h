/* The register tiles: some filters times some output pixels, all sums in registers, taps in order.

   map[i, pixel] = bias[i] + sum over taps t of weight[i, t] * image[pixel + offset[t]]. Lanes are neighbouring pixels, or
   neighbouring filters (filter_tile): each tap loads the vectors of one side, and broadcasts the numbers of the other.
   A convolution of many channels is a GEMM, (filters, taps) times (taps, pixels). This is 3x3, 64 -> 64 channels at 56x56,
   float on AVX-512, pixels in the lanes:

       image (64, 56, 56)             weight (64, 576)
         | padded: deinterleave         | packed: transpose
         v                              v
       strip (64, 58, 58)             packed (8 blocks, 576, 8)
         841 KB, all 56 output rows     18 KB a block of 8 filters
         |
         | im2col, 512 taps at a time
         v
       panel (512 taps, 48 pixels)    block (512 taps, 8 filters)      A chunk of 512 taps keeps the panel in L2 and rounding
       +------+------+------+         +--------+                       errors small: it is added up by itself.
     t | v0   | v1   | v2   | 192 B   |01234567| t  32 B               For one tap: 3 loads, 8 broadcasts, 24 FMAs.
       |      |      |      |         |        |
       |      |      |      |         |        |
       +------+------+------+ 96 KB   +--------+    16 KB
              \                          /
               v                        v
              register tile (8 filters, 3 vectors of 16 pixels)        24 of 32 registers; 3 hold the pixels, 1 the weight
              +------+------+------+
            0 |      |      |      |
              |      |      |      |  sum[i][j] += weight[t][i] * panel[t][j]
            7 |      |      |      |
              +------+------+------+
                        |
                        v  epilogue: + bias or what the map holds, clip, store
       map (64, 56, 56): 48 pixels of 8 filters, 3136 numbers apart; 66 tiles of pixels times 8 blocks of filters

   Up to 8 panels meet one block of filters after another, so that the block stays in L1. Where whole vectors of a row of the
   strip or the image can be read, there is no panel; the first block of filters may then pack one for the others. */
#include "epilogue.inc.h"
#include "expects.h"
#include "kernels.h"
#include "move.inc.h"
#include "simd.h"
#include "variants.h"

/* Add the products of one tap; store its pixels if there is a place to pack them to. */
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
    const char *packed = tile->packed;
    const ptrdiff_t filter_step = tile->filter_step, tap_step = tile->tap_step, taps = tile->taps;
    const ptrdiff_t *offset = tile->offset, packed_step = tile->packed_step;
    real *map[TILE_MAX_VECTORS];
    expects(weight && taps > 0 && (packed || (offset && tile->image[0])) && !(packed && pack_to));
    expects(!packed || packed_step >= vectors * (ptrdiff_t)sizeof(vec));
    expects(tile->map[0] && tile->map[0] <= tile->map[vectors - 1] && tile->low <= tile->high);
    UNROLLED for (int j = 0; j < vectors; j++) image[j] = tile->image[j];
    UNROLLED for (int i = 0; i < filters; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_splat(bias ? bias[i] : 0);
    if (packed) {
        const char *end = packed + taps * packed_step;
        ROLLED for (; packed != end; packed += packed_step, weight += tap_step) {
            UNROLLED for (int j = 0; j < vectors; j++) image[j] = (const real *)packed + j * LANES;
            NAMED(tile_tap)(filters, vectors, sum, image, 0, weight, filter_step, NULL);
        }
    } else if (pack_to) {
        ROLLED for (ptrdiff_t t = 0; t < taps; t++, weight += tap_step, pack_to += packed_step)
            NAMED(tile_tap)(filters, vectors, sum, image, offset[t], weight, filter_step, (real *)pack_to);
    } else {
        ROLLED for (ptrdiff_t t = 0; t < taps; t++, weight += tap_step)
            NAMED(tile_tap)(filters, vectors, sum, image, offset[t], weight, filter_step, NULL);
    }
    UNROLLED for (int j = 0; j < vectors; j++) map[j] = tile->map[j];
    NAMED(finish_tile)(filters, vectors, sum, map, tile->map_step, !bias, tile->low, tile->high);
}

#undef SPILLED /* what is read in each round from memory: with 8 pixels, addresses take all registers of x86 */
#if defined(SIMD_AVX512)
#  define SPILLED volatile
#else
#  define SPILLED
#endif

INLINE void NAMED(filter_tile)(const int pixels, const int vectors, const fc_filter_tile *tile) {
    vec sum[TILE_MAX_FILTERS][TILE_MAX_VECTORS];
    const real *pixel[TILE_MAX_FILTERS];
    const real *weight = tile->weight, *bias = tile->bias, *prefetch = tile->prefetch;
    const SPILLED ptrdiff_t *prefetch_step = &tile->prefetch_step;
    const ptrdiff_t *offset = tile->offset, *end = offset + tile->taps;
    real *sums[TILE_MAX_VECTORS];
    expects(weight && offset && tile->sums && tile->taps > 0 && tile->low <= tile->high);
    expects(tile->width == vectors * LANES && (pixels == 1 || tile->sums_step >= vectors * LANES));
    for (int i = 0; i < pixels; i++) expects(tile->pixel[i]);
    UNROLLED for (int i = 0; i < pixels; i++) pixel[i] = tile->pixel[i];
    UNROLLED for (int i = 0; i < pixels; i++)
        UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = bias ? v_load(bias + j * LANES) : v_splat(0);
    ROLLED for (; offset < end; offset++, weight += vectors * LANES, prefetch += *prefetch_step) {
        const ptrdiff_t seen = *offset;
        vec filters[FILTER_TILE_VECTORS];
        UNROLLED for (int j = 0; j < vectors; j++) filters[j] = v_load(weight + j * LANES);
        if (pixels > 1) /* the hardware prefetches a stream for one pixel well enough */
            UNROLLED for (int j = 0; j < vectors; j++) prefetch_l1(prefetch + j * LANES);
        UNROLLED for (int i = 0; i < pixels; i++) {
            const vec x = v_splat(pixel[i][seen]);
            UNROLLED for (int j = 0; j < vectors; j++) sum[i][j] = v_fma(x, filters[j], sum[i][j]);
        }
    }
    UNROLLED for (int j = 0; j < vectors; j++) sums[j] = (real *)tile->sums + j * LANES;
    NAMED(finish_tile)(pixels, vectors, sum, sums, tile->sums_step, !bias, tile->low, tile->high);
}

#define TILE(filters, vectors) \
    NOINLINE void NAMED(tile_##filters##_##vectors)(const fc_tile *tile) { NAMED(tile)(filters, vectors, tile); }
#define FILTER_TILE(pixels, vectors) \
    NOINLINE void NAMED(filter_tile_##pixels##_##vectors)(const fc_filter_tile *tile) { \
        NAMED(filter_tile)(pixels, vectors, tile); \
    }
TILES(TILE)
FILTER_TILES(FILTER_TILE)
#undef TILE
#undef FILTER_TILE

/* One pixel times a vector of filters whose weights (filters, taps) are not packed: they are transposed square by square. */
static void NAMED(one_pixel)(const fc_filter_tile *tile, ptrdiff_t filters) {
    const real *row[LANES], *pixel = tile->pixel[0], *bias = tile->bias;
    const ptrdiff_t *offset = tile->offset;
    const ptrdiff_t taps = tile->taps;
    real *sums = tile->sums;
    vec sum[1][TILE_MAX_VECTORS];
    ptrdiff_t t = 0;
    expects(pixel && offset && sums && tile->weight && tile->low <= tile->high);
    expects(filters > 0 && taps > 0 && tile->width >= taps);
    sum[0][0] = bias ? v_load(bias) : v_splat(0);
    UNROLLED for (int i = 0; i < LANES; i++)
        row[i] = (const real *)tile->weight + (i < filters ? i : filters - 1) * tile->width;
    ROLLED for (; t + LANES <= taps; t += LANES) {
        vec square[LANES];
        UNROLLED for (int i = 0; i < LANES; i++) square[i] = v_load(row[i] + t);
        NAMED(transpose_vectors)(square);
        UNROLLED for (int i = 0; i < LANES; i++) sum[0][0] = v_fma(v_splat(pixel[offset[t + i]]), square[i], sum[0][0]);
    }
    for (; t < taps; t++) {
        real lanes[LANES];
        for (int i = 0; i < LANES; i++) lanes[i] = row[i][t];
        sum[0][0] = v_fma(v_splat(pixel[offset[t]]), v_load(lanes), sum[0][0]);
    }
    NAMED(finish_tile)(1, 1, sum, &sums, 0, !bias, tile->low, tile->high);
}

/* FMAs as fast as the CPU can: the peak that benchmarks compare with. */
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
