/* The table of one instruction set: every algorithm included for float and for double, and what was made of it. */
#include "kernels.h"

#define TILES_TO_3(X, filters) X(filters, 1) X(filters, 2) X(filters, 3)
#define TILES_TO_6(X, filters) TILES_TO_3(X, filters) X(filters, 4) X(filters, 5) X(filters, 6)

#define REAL_BITS 32
#include "simd.h"
#if REGISTERS == 32 /* 24 sums, and room for the pixels and a weight */
#  define TILE_FILTERS 8
#  define TILE_VECTORS {0, 6, 6, 6, 6, 4, 4, 3, 3}
#  define TILES(X) \
      TILES_TO_6(X, 1) TILES_TO_6(X, 2) TILES_TO_6(X, 3) TILES_TO_6(X, 4) \
      TILES_TO_3(X, 5) X(5, 4) TILES_TO_3(X, 6) X(6, 4) TILES_TO_3(X, 7) TILES_TO_3(X, 8)
#  define FILTER_TILES(X) \
      TILES_TO_3(X, 1) TILES_TO_3(X, 2) TILES_TO_3(X, 3) TILES_TO_3(X, 4) \
      TILES_TO_3(X, 5) TILES_TO_3(X, 6) TILES_TO_3(X, 7) TILES_TO_3(X, 8)
#  define SWEEPS_OF(X, kernel) \
      X(4, 4, kernel, 1, 1, 0) X(4, 4, kernel, 1, 1, 1) X(7, 2, kernel, 1, 1, 1) X(7, 1, kernel, 1, 1, 1) \
      X(4, 4, kernel, 2, 1, 1) X(4, 2, kernel, 2, 1, 1) X(4, 1, kernel, 2, 1, 1) \
      X(4, 4, kernel, 2, 2, 1) X(4, 2, kernel, 2, 2, 1) X(7, 1, kernel, 2, 2, 1) X(4, 1, kernel, 2, 2, 1)
#  define SWEEPS(X) \
      SWEEPS_OF(X, 3) SWEEPS_OF(X, 5) SWEEPS_OF(X, 7) X(4, 2, 3, 1, 2, 1) \
      X(6, 4, 0, 1, 1, 0) X(6, 4, 0, 1, 1, 1) X(7, 2, 0, 1, 1, 1) X(7, 1, 0, 1, 1, 1) X(4, 2, 0, 1, 1, 1) X(4, 1, 0, 1, 1, 1) \
      X(4, 2, 0, 1, 2, 1) X(4, 1, 0, 1, 2, 1) \
      X(1, 6, 0, 0, 1, 0) X(1, 4, 0, 0, 1, 1) X(1, 2, 0, 0, 1, 1) X(1, 1, 0, 0, 1, 1) X(1, 2, 0, 0, 2, 1) X(1, 1, 0, 0, 2, 1)
#else /* 12 sums */
#  define TILE_FILTERS 4
#  define TILE_VECTORS {0, 6, 6, 4, 3}
#  define TILES(X) TILES_TO_6(X, 1) TILES_TO_6(X, 2) TILES_TO_3(X, 3) X(3, 4) TILES_TO_3(X, 4)
#  define FILTER_TILES(X) TILES_TO_3(X, 1) TILES_TO_3(X, 2) TILES_TO_3(X, 3) TILES_TO_3(X, 4)
#  define SWEEPS_OF(X, kernel) \
      X(4, 2, kernel, 1, 1, 0) X(4, 2, kernel, 1, 1, 1) X(7, 1, kernel, 1, 1, 1) \
      X(4, 2, kernel, 2, 1, 1) X(4, 1, kernel, 2, 1, 1) X(4, 2, kernel, 2, 2, 1) X(4, 1, kernel, 2, 2, 1)
#  define SWEEPS(X) \
      SWEEPS_OF(X, 3) SWEEPS_OF(X, 5) SWEEPS_OF(X, 7) \
      X(6, 2, 0, 1, 1, 0) X(6, 2, 0, 1, 1, 1) X(7, 1, 0, 1, 1, 1) X(4, 2, 0, 1, 1, 1) X(4, 1, 0, 1, 1, 1) \
      X(4, 2, 0, 1, 2, 1) X(4, 1, 0, 1, 2, 1) \
      X(1, 2, 0, 0, 1, 1) X(1, 1, 0, 0, 1, 1) X(1, 2, 0, 0, 2, 1) X(1, 1, 0, 0, 2, 1)
#endif

/* Pixels, taps and stride of the stacks. */
#define STACKS_OF(X, taps, across) X(14, taps, across) X(7, taps, across) X(4, taps, across) X(1, taps, across)
#define STACKS(X) \
    STACKS_OF(X, 3, 1) STACKS_OF(X, 5, 1) STACKS_OF(X, 7, 1) STACKS_OF(X, 3, 2) STACKS_OF(X, 5, 2) STACKS_OF(X, 7, 2)

/* Outputs, taps and stride of the forms; one tap is no transform at all. */
#define FORMS(X) \
    X(1, 1, 1) X(2, 3, 1) X(3, 3, 1) X(4, 3, 1) X(2, 5, 1) X(3, 5, 1) X(3, 4, 1) X(4, 4, 1) \
    X(2, 3, 2) X(4, 3, 2) X(2, 5, 2)

SIMD_BEGIN
#include "tile.inc.h"
#include "sweep.inc.h"
#include "winograd.inc.h"
SIMD_END
enum { LANES_F32 = LANES };
#undef REAL_BITS
#define REAL_BITS 64
#include "simd.h"
SIMD_BEGIN
#include "tile.inc.h"
#include "sweep.inc.h"
#include "winograd.inc.h"
SIMD_END
enum { LANES_F64 = LANES };

#define TILE_F32(filters, vectors) [filters][vectors] = tile_##filters##_##vectors##_f32,
#define TILE_F64(filters, vectors) [filters][vectors] = tile_##filters##_##vectors##_f64,
#define FILTER_TILE_F32(pixels, vectors) [pixels][vectors] = filter_tile_##pixels##_##vectors##_f32,
#define FILTER_TILE_F64(pixels, vectors) [pixels][vectors] = filter_tile_##pixels##_##vectors##_f64,
#define SWEEP_F32(rows, vectors, kernel, stride, across, edges) \
    {rows, vectors, kernel, stride, across, edges, sweep_##rows##_##vectors##_##kernel##_##stride##_##across##_##edges##_f32},
#define SWEEP_F64(rows, vectors, kernel, stride, across, edges) \
    {rows, vectors, kernel, stride, across, edges, sweep_##rows##_##vectors##_##kernel##_##stride##_##across##_##edges##_f64},
#define FORM_F32(outputs, taps, stride) \
    {outputs, taps, stride, forward_##outputs##_##taps##_##stride##_f32, inverse_##outputs##_##taps##_##stride##_f32, \
     winograd_few_##outputs##_##taps##_##stride##_f32, inverse_rows_##outputs##_##taps##_##stride##_f32},
#define FORM_F64(outputs, taps, stride) \
    {outputs, taps, stride, forward_##outputs##_##taps##_##stride##_f64, inverse_##outputs##_##taps##_##stride##_f64, \
     winograd_few_##outputs##_##taps##_##stride##_f64, inverse_rows_##outputs##_##taps##_##stride##_f64},
#define STACK_F32(pixels, taps, across) {pixels, taps, across, stack_##pixels##_##taps##_##across##_f32},
#define STACK_F64(pixels, taps, across) {pixels, taps, across, stack_##pixels##_##taps##_##across##_f64},
#define STRING_(x) #x
#define STRING(x) STRING_(x)
static const fc_sweep_variant sweeps_f32[] = {SWEEPS(SWEEP_F32) {0, 0, 0, 0, 0, 0, NULL}};
static const fc_sweep_variant sweeps_f64[] = {SWEEPS(SWEEP_F64) {0, 0, 0, 0, 0, 0, NULL}};
static const fc_stack_variant stacks_f32[] = {STACKS(STACK_F32) {0, 0, 0, NULL}};
static const fc_stack_variant stacks_f64[] = {STACKS(STACK_F64) {0, 0, 0, NULL}};
static const fc_form forms_f32[] = {FORMS(FORM_F32) {0, 0, 0, NULL, NULL, NULL, NULL}};
static const fc_form forms_f64[] = {FORMS(FORM_F64) {0, 0, 0, NULL, NULL, NULL, NULL}};
const fc_isa SIMD_CAT(fc_, SIMD_NAME) = {
    STRING(SIMD_NAME),
    {LANES_F32, TILE_FILTERS, TILE_VECTORS, {TILES(TILE_F32)}, {FILTER_TILES(FILTER_TILE_F32)}, one_pixel_f32,
     im2col_f32, deinterleave_f32, transpose_f32, peak_f32, sweeps_f32, stacks_f32, forms_f32, transform_filter_f32, gather_f32, scatter_f32},
    {LANES_F64, TILE_FILTERS, TILE_VECTORS, {TILES(TILE_F64)}, {FILTER_TILES(FILTER_TILE_F64)}, one_pixel_f64,
     im2col_f64, deinterleave_f64, transpose_f64, peak_f64, sweeps_f64, stacks_f64, forms_f64, transform_filter_f64, gather_f64, scatter_f64},
};
