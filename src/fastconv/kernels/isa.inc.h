/* All micro-kernels of one ISA, for float and for double, and the table of them. */
#include "kernels.h"
#include <string.h>

extern const fc_kernels fc_bytes_avx2;

#define REAL_BITS 32
#include "simd.h"
SIMD_BEGIN
#include "tile.inc.h"
#include "interleaved.inc.h"
#include "sweep.inc.h"
#include "stack.inc.h"
#include "winograd.inc.h"
#include "gradient.inc.h"
#include "missing.inc.h"
#include "convert.inc.h"
#include "box.inc.h"
#include "fft.inc.h"
#include "activate.inc.h"
SIMD_END
#undef REAL_BITS

#define REAL_BITS 64
#include "simd.h"
SIMD_BEGIN
#include "tile.inc.h"
#include "interleaved.inc.h"
#include "sweep.inc.h"
#include "stack.inc.h"
#include "winograd.inc.h"
#include "gradient.inc.h"
#include "missing.inc.h"
#include "convert.inc.h"
#include "box.inc.h"
#include "fft.inc.h"
#include "activate.inc.h"
SIMD_END
#undef REAL_BITS

#if defined(SIMD_AVX512)
#  define BYTES_NAME avx512
#  define BYTES_PIXELS 6
#  define BYTES_VECTORS 4
#  define BYTES_CHANNELS 4
#  define BYTES_SIGNED 0
#  define i_dot(sum, pixels, weights) _mm512_dpbusd_epi32(sum, pixels, weights)
SIMD_REGION("avx512f,avx512vl,avx512bw,avx512vnni")
#  include "bytes.inc.h"
SIMD_REGION_END
#elif defined(SIMD_AVX2)
#  define BYTES_NAME avx2
#  define BYTES_PIXELS 6
#  define BYTES_VECTORS 2
#  define BYTES_CHANNELS 2
#  define BYTES_SIGNED 1
#  define i_dot(sum, pixels, weights) i_add(sum, _mm256_madd_epi16(pixels, weights))
SIMD_BEGIN
#  include "bytes.inc.h"
SIMD_END
#  ifdef HAS_AVX_VNNI
#    define BYTES_NAME avxvnni
#    define BYTES_PIXELS 6
#    define BYTES_VECTORS 2
#    define BYTES_CHANNELS 4
#    define BYTES_SIGNED 0
#    define i_dot(sum, pixels, weights) _mm256_dpbusd_avx_epi32(sum, pixels, weights)
SIMD_REGION("avx2,fma,avxvnni")
#    include "bytes.inc.h"
SIMD_REGION_END
#  endif
#elif defined(SIMD_NEON) && defined(HAS_DOTPROD)
#  define BYTES_NAME neon
#  define BYTES_PIXELS 6
#  define BYTES_VECTORS 4
#  define BYTES_CHANNELS 4
#  define BYTES_SIGNED 1
#  define i_dot(sum, pixels, weights) \
       vdotq_s32(sum, vreinterpretq_s8_s32(pixels), vreinterpretq_s8_s32(weights))
BYTES_REGION
#  include "bytes.inc.h"
SIMD_REGION_END
#endif

#define STRING_(x) #x
#define STRING(x) STRING_(x)
const fc_isa SIMD_CAT(fc_, SIMD_NAME) = {
    STRING(SIMD_NAME),
#define REAL_BITS 32
#include "table.inc.h"
#undef REAL_BITS
#define REAL_BITS 64
#include "table.inc.h"
#undef REAL_BITS
#if defined(SIMD_AVX512)
    &fc_bytes_avx512, &fc_bytes_avx2,
#elif defined(SIMD_AVX2) && defined(HAS_AVX_VNNI)
    &fc_bytes_avxvnni, &fc_bytes_avx2,
#elif defined(SIMD_AVX2)
    NULL, &fc_bytes_avx2,
#elif defined(SIMD_NEON) && defined(HAS_DOTPROD)
    &fc_bytes_neon, NULL,
#else
    NULL, NULL,
#endif
};
