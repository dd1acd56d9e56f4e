/* The shapes that micro-kernels are compiled for. Each list is a macro that applies another one, X, to every shape.

   Register tiles and sweeps have as many sums as the registers of the ISA hold beside pixels and weights. The baseline has
   fewer sweeps and stacks, to be small: where it lacks a shape, another one takes its place. */
#ifndef FASTCONV_VARIANTS_H
#define FASTCONV_VARIANTS_H
#include "simd.h"

/* Register tiles: filters (or pixels) and vectors, all that are no larger than a full tile. */
#define TILES_TO_3(X, filters) X(filters, 1) X(filters, 2) X(filters, 3)
#define TILES_TO_6(X, filters) TILES_TO_3(X, filters) X(filters, 4) X(filters, 5) X(filters, 6)
#if REGISTERS == 32 /* 24 sums */
#  define TILE_FILTERS 8
#  define TILE_VECTORS {0, 6, 6, 6, 6, 4, 4, 3, 3}
#  define TILES(X) \
      TILES_TO_6(X, 1) TILES_TO_6(X, 2) TILES_TO_6(X, 3) TILES_TO_6(X, 4) \
      TILES_TO_3(X, 5) X(5, 4) TILES_TO_3(X, 6) X(6, 4) TILES_TO_3(X, 7) TILES_TO_3(X, 8)
#  define FILTER_TILES(X) \
      TILES_TO_3(X, 1) TILES_TO_3(X, 2) TILES_TO_3(X, 3) TILES_TO_3(X, 4) \
      TILES_TO_3(X, 5) TILES_TO_3(X, 6) TILES_TO_3(X, 7) TILES_TO_3(X, 8)
#elif defined(SIMD_AVX2) /* 12 sums */
#  define TILE_FILTERS 4
#  define TILE_VECTORS {0, 6, 6, 4, 3}
#  define TILES(X) TILES_TO_6(X, 1) TILES_TO_6(X, 2) TILES_TO_3(X, 3) X(3, 4) TILES_TO_3(X, 4)
#  define FILTER_TILES(X) TILES_TO_3(X, 1) TILES_TO_3(X, 2) TILES_TO_3(X, 3) TILES_TO_3(X, 4)
#else
#  define TILE_FILTERS 2
#  define TILE_VECTORS {0, 3, 3}
#  define TILES(X) TILES_TO_3(X, 1) TILES_TO_3(X, 2)
#  define FILTER_TILES TILES
#endif

/* Rows of interleaved phases: filters. */
#if REGISTERS == 32
#  define INTERLEAVED_ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#elif defined(SIMD_AVX2)
#  define INTERLEAVED_ROWS(X) X(1) X(2) X(3) X(4)
#else
#  define INTERLEAVED_ROWS(X) X(1) X(2)
#endif

/* Sweeps: the fields of fc_sweep_variant. SWEEPS_OF_ROWS: for a stride of rows alone. */
#if REGISTERS == 32
#  define SWEEPS_OF(X, kernel) \
      X(4, 4, kernel, 1, 1, 0) X(4, 4, kernel, 1, 1, 1) X(7, 2, kernel, 1, 1, 1) X(7, 1, kernel, 1, 1, 1) \
      X(4, 4, kernel, 2, 2, 1) X(4, 2, kernel, 2, 2, 1) X(7, 1, kernel, 2, 2, 1) X(4, 1, kernel, 2, 2, 1)
#  define SWEEPS_OF_ROWS(X, kernel) X(4, 4, kernel, 2, 1, 1) X(4, 2, kernel, 2, 1, 1) X(4, 1, kernel, 2, 1, 1)
#  define SWEEPS(X) \
      SWEEPS_OF(X, 3) SWEEPS_OF(X, 5) SWEEPS_OF(X, 7) SWEEPS_OF_ROWS(X, 3) X(4, 2, 3, 1, 2, 1) \
      X(6, 4, 0, 1, 1, 0) X(6, 4, 0, 1, 1, 1) X(7, 2, 0, 1, 1, 1) X(7, 1, 0, 1, 1, 1) X(4, 2, 0, 1, 1, 1) X(4, 1, 0, 1, 1, 1) \
      X(4, 2, 0, 1, 2, 1) X(4, 1, 0, 1, 2, 1) \
      X(1, 6, 0, 0, 1, 0) X(1, 4, 0, 0, 1, 1) X(1, 2, 0, 0, 1, 1) X(1, 1, 0, 0, 1, 1) X(1, 2, 0, 0, 2, 1) X(1, 1, 0, 0, 2, 1)
#elif defined(SIMD_AVX2)
#  define SWEEPS_OF(X, kernel) \
      X(4, 2, kernel, 1, 1, 0) X(4, 2, kernel, 1, 1, 1) X(7, 1, kernel, 1, 1, 1) \
      X(4, 2, kernel, 2, 2, 0) X(4, 2, kernel, 2, 2, 1) X(4, 1, kernel, 2, 2, 1)
#  define SWEEPS_OF_ROWS(X, kernel) X(4, 2, kernel, 2, 1, 0) X(4, 2, kernel, 2, 1, 1) X(4, 1, kernel, 2, 1, 1)
#  define SWEEPS(X) \
      SWEEPS_OF(X, 3) SWEEPS_OF(X, 5) SWEEPS_OF(X, 7) SWEEPS_OF_ROWS(X, 3) \
      X(6, 2, 0, 1, 1, 0) X(6, 2, 0, 1, 1, 1) X(7, 1, 0, 1, 1, 1) X(4, 2, 0, 1, 1, 1) X(4, 1, 0, 1, 1, 1) \
      X(4, 2, 0, 1, 2, 1) X(4, 1, 0, 1, 2, 1) \
      X(1, 2, 0, 0, 1, 1) X(1, 1, 0, 0, 1, 1) X(1, 2, 0, 0, 2, 1) X(1, 1, 0, 0, 2, 1)
#else
#  define SWEEPS(X) \
      X(3, 2, 0, 1, 1, 1) X(3, 1, 0, 1, 1, 1) X(3, 1, 0, 1, 2, 1) \
      X(1, 2, 0, 0, 1, 1) X(1, 1, 0, 0, 1, 1) X(1, 2, 0, 0, 2, 1) X(1, 1, 0, 0, 2, 1)
#endif

/* Stacks: pixels, taps and stride_x. Those of double are fewer, to be small. */
#if REGISTERS == 32
#  define STACKS_OF_32(X, taps, stride_x) X(14, taps, stride_x) X(7, taps, stride_x) X(4, taps, stride_x) X(1, taps, stride_x)
#  define STACKS_OF_64(X, taps, stride_x) X(7, taps, stride_x) X(1, taps, stride_x)
#elif defined(SIMD_AVX2)
#  define STACKS_OF_32(X, taps, stride_x) X(7, taps, stride_x) X(4, taps, stride_x) X(1, taps, stride_x)
#  define STACKS_OF_64(X, taps, stride_x) X(7, taps, stride_x) X(1, taps, stride_x)
#else
#  define STACKS_OF_32(X, taps, stride_x) X(1, taps, stride_x)
#  define STACKS_OF_64 STACKS_OF_32
#endif
#define STACKS_OF SIMD_CAT(STACKS_OF_, REAL_BITS)
#define STACKS(X) \
    STACKS_OF(X, 3, 1) STACKS_OF(X, 5, 1) STACKS_OF(X, 7, 1) STACKS_OF(X, 3, 2) STACKS_OF(X, 5, 2) STACKS_OF(X, 7, 2)

/* Tiles of dot products: rows of gradients and of images, all that are no larger than a full tile. */
#define DOTS_TO_2(X, gradients) X(gradients, 1) X(gradients, 2)
#define DOTS_TO_4(X, gradients) DOTS_TO_2(X, gradients) X(gradients, 3) X(gradients, 4)
#if REGISTERS == 32 /* 16 sums */
#  define DOT_GRADIENTS 4
#  define DOT_IMAGES 4
#  define DOTS(X) DOTS_TO_4(X, 1) DOTS_TO_4(X, 2) DOTS_TO_4(X, 3) DOTS_TO_4(X, 4)
#elif defined(SIMD_AVX2) /* 12 sums */
#  define DOT_GRADIENTS 3
#  define DOT_IMAGES 4
#  define DOTS(X) DOTS_TO_4(X, 1) DOTS_TO_4(X, 2) DOTS_TO_4(X, 3)
#else
#  define DOT_GRADIENTS 2
#  define DOT_IMAGES 2
#  define DOTS(X) DOTS_TO_2(X, 1) DOTS_TO_2(X, 2)
#endif

/* Winograd forms: outputs, taps and stride; with one tap, transforms are copies. X: those of whole kernels with stride 1, whose
   lanes may be tiles; Y: those with stride 2, and of the short phases of transposed convolutions. */
#define FORMS(X, Y) \
    X(1, 1, 1) X(2, 3, 1) X(3, 3, 1) X(4, 3, 1) X(2, 5, 1) X(3, 5, 1) X(3, 4, 1) X(4, 4, 1) \
    Y(2, 3, 2) Y(4, 3, 2) Y(2, 5, 2) Y(2, 1, 1) Y(3, 1, 1) Y(4, 1, 1) Y(2, 2, 1) Y(3, 2, 1) Y(4, 2, 1)
#endif
