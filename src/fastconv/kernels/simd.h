/* The SIMD vocabulary: a handful of operations on vectors of `real`, for the ISA and the type that the including file chose.

   Included once per ISA and type: define SIMD_AVX512, SIMD_AVX2, SIMD_NEON or none of them (the baseline), and REAL_BITS, 32
   at first and then 64. Between SIMD_BEGIN and SIMD_END the compiler may use that ISA, so no file needs flags of its own. */

#ifndef FASTCONV_SIMD_H
#define FASTCONV_SIMD_H
#define SIMD_CAT_(a, b) a##b
#define SIMD_CAT(a, b) SIMD_CAT_(a, b)
#define SIMD_PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#  define SIMD_REGION(isa) SIMD_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#  define SIMD_REGION_END SIMD_PRAGMA(clang attribute pop)
#  define UNROLLED _Pragma("clang loop unroll(full)")
#  define ROLLED _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#  define SIMD_REGION(isa) SIMD_PRAGMA(GCC push_options) SIMD_PRAGMA(GCC target(isa))
#  define SIMD_REGION_END SIMD_PRAGMA(GCC pop_options)
#  define UNROLLED _Pragma("GCC unroll 64")
#  define ROLLED _Pragma("GCC unroll 1")
#else /* MSVC takes any intrinsic anywhere. */
#  define SIMD_REGION(isa)
#  define SIMD_REGION_END
#  define UNROLLED
#  define ROLLED
#endif
#if defined(__clang__) ? __clang_major__ >= 12 : defined(__GNUC__) ? __GNUC__ >= 11 : defined(_MSC_VER)
#  define HAS_AVX_VNNI /* the compiler, not the machine */
#endif
#if !defined(__clang__) || __clang_major__ >= 16 || defined(__ARM_FEATURE_DOTPROD)
#  define HAS_DOTPROD /* the same */
#endif
#if defined(__clang__)
#  define BYTES_REGION SIMD_REGION("dotprod")
#else
#  define BYTES_REGION SIMD_REGION("arch=armv8.2-a+dotprod")
#endif
#if defined(__GNUC__)
#  define INLINE static inline __attribute__((always_inline))
#  if defined(__clang__)
#    define NOINLINE static __attribute__((noinline))
#  else
#    define NOINLINE static __attribute__((noinline, noclone)) /* nor copies for constant arguments */
#  endif
#else
#  define INLINE static __forceinline
#  define NOINLINE static __declspec(noinline)
#endif

/* v_keep(x): the compiler keeps x in a register from here on, rather than load it again at each use. */
#if !defined(__GNUC__)
#  define v_keep(x) ((void)0)
#elif defined(__x86_64__)
#  define v_keep(x) __asm__("" : "+v"(x))
#elif defined(__aarch64__)
#  define v_keep(x) __asm__("" : "+w"(x))
#else
#  define v_keep(x) ((void)0)
#endif

/* v_mask: bits of lanes. v_keep_mask(m): likewise, in a register of masks where there are such. */
#undef v_mask
#undef v_keep_mask
#if defined(SIMD_AVX512) && defined(__GNUC__)
#  define v_mask __mmask16
#  define v_keep_mask(m) __asm__("" : "+Yk"(m))
#else
#  define v_mask unsigned
#  define v_keep_mask(m) ((void)0)
#endif

/* The name of a function or table for the type of this pass. */
#define NAMED(name) SIMD_CAT(name##_f, REAL_BITS)
#define LANES (VECTOR_BYTES * 8 / REAL_BITS)
#define QUAD_LANES (VECTOR_BYTES < 16 ? 1 : 128 / REAL_BITS)
#endif

#if defined(SIMD_TYPE) == (REAL_BITS == 64) /* once for float, then once for double */
#if REAL_BITS == 32
#  define SIMD_TYPE
#else
#  undef SIMD_TYPE
#endif

#undef real
#undef vec
#undef SIMD_NAME
#undef SIMD_BEGIN
#undef SIMD_END
#undef VECTOR_BYTES
#undef REGISTERS
#undef v_load
#undef v_store
#undef v_stream
#undef v_splat
#undef v_fma
#undef v_fnma
#undef v_add
#undef v_sub
#undef v_max
#undef v_mul
#undef v_div
#undef v_abs
#undef v_neg
#undef v_pick
#undef v_scale
#undef v_load_mask
#undef v_store_mask
#undef v_quads
#undef v_even
#undef v_odd
#undef v_slide
#undef v_low
#undef v_high
#undef v_zip_low
#undef v_zip_high
#undef v_even_quads
#undef v_odd_quads
#undef ZIPPED
#undef SIGNS
#undef LANES_FROM
#undef v_even_apart
#undef v_odd_apart
#undef v_in_order
#undef v_min
#undef v_load_half
#undef v_third
#undef v_mixed
#undef v_mix
#undef THIRDS
#undef MIXED
#undef EVERY_THIRD
#undef v_store_half
#if REAL_BITS == 32
#  define real float
#else
#  define real double
#endif
#undef ROUNDER /* a number whose last bit is worth 1: added and subtracted again, it rounds to an integer */
#define ROUNDER ((real)(REAL_BITS == 32 ? 12582912.0 : 6755399441055744.0))

/* v_load and v_store take any address; v_stream stores past the caches (non-temporal), to a multiple of VECTOR_BYTES.
   v_splat(x) broadcasts x to all lanes. v_fma(a, b, c) is a * b + c, and v_fnma c - a * b, rounded
   once, or twice where there is no FMA.
   v_max(a, x) and v_min(a, x) return x if it is a NaN. v_pick(test, a, b) is a where test is below zero, else b.
   v_neg(x) is -x. v_scale(x, z) is x times 2^n where z is n + ROUNDER, n an integer; x, n and the result are no extremes.
   v_even(a, b) and v_odd(a, b) are the even and the odd lanes of a followed by b; v_low(a, b) and v_high(a, b), their inverse,
   are the two halves of a[0], b[0], a[1], b[1], ... A quad is 16 bytes: v_zip_low and v_zip_high are v_low and v_high within
   each quad, v_even_quads and v_odd_quads are v_even and v_odd of whole quads.
   v_even_apart and v_odd_apart are v_even and v_odd with their lanes in another order, the same of both, if that takes fewer
   instructions; v_in_order(x) puts lanes of that order into that of v_even, and back.
   v_slide(a, b, i), where there is one, is a followed by b from lane i on, i a literal.
   v_load_mask(p, mask), where there is one, loads the lanes whose bits are set, others are zero and not read;
   v_store_mask(p, mask, x), where there is one, stores these lanes only.
   v_third(a, b, c, i), where there is one, is every third lane of a, b and c, one behind the other, from lane i on, a literal;
   v_mixed(a, b, c, i), its inverse, vector i of a[0], b[0], c[0], a[1], ..., of a, b and c that v_mix has prepared for it.
   v_load_half and v_store_half, where there are such, convert from and to float16, by the bits of uint16_t. */
#if defined(SIMD_AVX512)
#  include <immintrin.h>
#  define SIMD_NAME avx512
#  define SIMD_BEGIN SIMD_REGION("avx512f,avx512vl,avx2,fma")
#  define SIMD_END SIMD_REGION_END
#  define VECTOR_BYTES 64
#  define REGISTERS 32
#  if REAL_BITS == 32
#    define vec __m512
#    define v_load(p) _mm512_loadu_ps(p)
#    define v_store(p, x) _mm512_storeu_ps(p, x)
#    define v_stream(p, x) _mm512_stream_ps(p, x)
#    define v_splat(x) _mm512_set1_ps(x)
#    define v_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#    define v_fnma(a, b, c) _mm512_fnmadd_ps(a, b, c)
#    define v_add(a, b) _mm512_add_ps(a, b)
#    define v_sub(a, b) _mm512_sub_ps(a, b)
#    define v_max(a, x) _mm512_max_ps(a, x)
#    define v_min(a, x) _mm512_min_ps(a, x)
#    define THIRDS(i) /* lanes i, i + 3, i + 6, ... modulo 16 */ \
         _mm512_setr_epi32(i, i + 3, i + 6, i + 9, i + 12, i + 15, i + 18, i + 21, \
                           i + 24, i + 27, i + 30, i + 33, i + 36, i + 39, i + 42, i + 45)
#    define MIXED(i) \
         _mm512_setr_epi32(5 * i, 5 * i + 11, 5 * i + 22, 5 * i + 33, 5 * i + 44, 5 * i + 55, 5 * i + 66, 5 * i + 77, \
                           5 * i + 88, 5 * i + 99, 5 * i + 110, 5 * i + 121, 5 * i + 132, 5 * i + 143, 5 * i + 154, 5 * i + 165)
#    define EVERY_THIRD(i) (0x9249 << (i) % 3) /* lanes as bits */
#    define v_third(a, b, c, i) \
         _mm512_permutexvar_ps(THIRDS(i), _mm512_mask_blend_ps((__mmask16)EVERY_THIRD(i + 1), \
                                                               _mm512_mask_blend_ps((__mmask16)EVERY_THIRD(i + 2), a, b), c))
#    define v_mix(x, i) _mm512_permutexvar_ps(MIXED(i), x)
#    define v_mixed(a, b, c, i) \
         _mm512_mask_blend_ps((__mmask16)EVERY_THIRD(5 - i), _mm512_mask_blend_ps((__mmask16)EVERY_THIRD(4 - i), a, b), c)
#    define v_load_half(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#    define v_store_half(p, x) \
         _mm256_storeu_si256((__m256i *)(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#    define v_mul(a, b) _mm512_mul_ps(a, b)
#    define v_div(a, b) _mm512_div_ps(a, b)
#    define v_abs(x) _mm512_abs_ps(x)
#    define v_pick(test, a, b) \
         _mm512_mask_blend_ps(_mm512_cmp_ps_mask(test, _mm512_setzero_ps(), _CMP_LT_OQ), b, a)
#    define v_scale(x, z) \
         _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), _mm512_slli_epi32(_mm512_castps_si512(z), 23)))
#    define v_load_mask(p, mask) _mm512_maskz_loadu_ps((__mmask16)(mask), p)
#    define v_store_mask(p, mask, x) _mm512_mask_storeu_ps(p, (__mmask16)(mask), x)
#    define v_even(a, b) _mm512_permutex2var_ps(a, LANES_FROM(0), b)
#    define v_odd(a, b) _mm512_permutex2var_ps(a, LANES_FROM(1), b)
#    define v_slide(a, b, i) \
         _mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(b), _mm512_castps_si512(a), i))
#    define LANES_FROM(i) \
         _mm512_setr_epi32(i, i + 2, i + 4, i + 6, i + 8, i + 10, i + 12, i + 14, \
                           i + 16, i + 18, i + 20, i + 22, i + 24, i + 26, i + 28, i + 30)
#    define v_zip_low(a, b) _mm512_unpacklo_ps(a, b)
#    define v_zip_high(a, b) _mm512_unpackhi_ps(a, b)
#    define v_even_quads(a, b) _mm512_shuffle_f32x4(a, b, 0x88)
#    define v_odd_quads(a, b) _mm512_shuffle_f32x4(a, b, 0xdd)
#    define v_low(a, b) _mm512_permutex2var_ps(a, ZIPPED(0), b)
#    define v_high(a, b) _mm512_permutex2var_ps(a, ZIPPED(8), b)
#    define ZIPPED(i) \
         _mm512_setr_epi32(i, i + 16, i + 1, i + 17, i + 2, i + 18, i + 3, i + 19, \
                           i + 4, i + 20, i + 5, i + 21, i + 6, i + 22, i + 7, i + 23)
#  else
#    define vec __m512d
#    define v_load(p) _mm512_loadu_pd(p)
#    define v_store(p, x) _mm512_storeu_pd(p, x)
#    define v_stream(p, x) _mm512_stream_pd(p, x)
#    define v_splat(x) _mm512_set1_pd(x)
#    define v_fma(a, b, c) _mm512_fmadd_pd(a, b, c)
#    define v_fnma(a, b, c) _mm512_fnmadd_pd(a, b, c)
#    define v_add(a, b) _mm512_add_pd(a, b)
#    define v_sub(a, b) _mm512_sub_pd(a, b)
#    define v_max(a, x) _mm512_max_pd(a, x)
#    define v_min(a, x) _mm512_min_pd(a, x)
#    define v_mul(a, b) _mm512_mul_pd(a, b)
#    define v_div(a, b) _mm512_div_pd(a, b)
#    define v_abs(x) _mm512_abs_pd(x)
#    define v_pick(test, a, b) \
         _mm512_mask_blend_pd(_mm512_cmp_pd_mask(test, _mm512_setzero_pd(), _CMP_LT_OQ), b, a)
#    define v_scale(x, z) \
         _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(x), _mm512_slli_epi64(_mm512_castpd_si512(z), 52)))
#    define v_load_mask(p, mask) _mm512_maskz_loadu_pd((__mmask8)(mask), p)
#    define v_store_mask(p, mask, x) _mm512_mask_storeu_pd(p, (__mmask8)(mask), x)
#    define v_even(a, b) _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b)
#    define v_slide(a, b, i) \
         _mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(b), _mm512_castpd_si512(a), i))
#    define v_odd(a, b) _mm512_permutex2var_pd(a, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), b)
#    define v_zip_low(a, b) _mm512_unpacklo_pd(a, b)
#    define v_zip_high(a, b) _mm512_unpackhi_pd(a, b)
#    define v_even_quads(a, b) _mm512_shuffle_f64x2(a, b, 0x88)
#    define v_odd_quads(a, b) _mm512_shuffle_f64x2(a, b, 0xdd)
#    define v_low(a, b) _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b)
#    define v_high(a, b) _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b)
#  endif
#elif defined(SIMD_AVX2)
#  include <immintrin.h>
#  define SIMD_NAME avx2
#  define SIMD_BEGIN SIMD_REGION("avx2,fma,f16c")
#  define SIMD_END SIMD_REGION_END
#  define VECTOR_BYTES 32
#  define REGISTERS 16
#  if REAL_BITS == 32
#    define vec __m256
#    define v_load(p) _mm256_loadu_ps(p)
#    define v_store(p, x) _mm256_storeu_ps(p, x)
#    define v_stream(p, x) _mm256_stream_ps(p, x)
#    define v_splat(x) _mm256_set1_ps(x)
#    define v_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#    define v_fnma(a, b, c) _mm256_fnmadd_ps(a, b, c)
#    define v_add(a, b) _mm256_add_ps(a, b)
#    define v_sub(a, b) _mm256_sub_ps(a, b)
#    define v_max(a, x) _mm256_max_ps(a, x)
#    define v_min(a, x) _mm256_min_ps(a, x)
#    define THIRDS(i) _mm256_setr_epi32(i, i + 3, i + 6, i + 9, i + 12, i + 15, i + 18, i + 21)
#    define MIXED(i) _mm256_setr_epi32(5 * i, 5 * i + 3, 5 * i + 6, 5 * i + 9, 5 * i + 12, 5 * i + 15, 5 * i + 18, 5 * i + 21)
#    define EVERY_THIRD(i) (0x49 << (i) % 3 & 0xff)
#    define v_third(a, b, c, i) \
         _mm256_permutevar8x32_ps(_mm256_blend_ps(_mm256_blend_ps(a, b, EVERY_THIRD(i + 1)), c, EVERY_THIRD(i + 2)), THIRDS(i))
#    define v_mix(x, i) _mm256_permutevar8x32_ps(x, MIXED(i))
#    define v_mixed(a, b, c, i) _mm256_blend_ps(_mm256_blend_ps(a, b, EVERY_THIRD(i + 1)), c, EVERY_THIRD(i + 2))
#    define v_load_half(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#    define v_store_half(p, x) \
         _mm_storeu_si128((__m128i *)(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))
#    define v_mul(a, b) _mm256_mul_ps(a, b)
#    define v_div(a, b) _mm256_div_ps(a, b)
#    define v_abs(x) _mm256_andnot_ps(_mm256_set1_ps((real)-0.0), x)
#    define v_pick(test, a, b) \
         _mm256_blendv_ps(b, a, _mm256_cmp_ps(test, _mm256_setzero_ps(), _CMP_LT_OQ))
#    define v_scale(x, z) \
         _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_castps_si256(z), 23)))
#    define SIGNS(mask) /* bit i as the sign of lane i */ \
         _mm256_sllv_epi32(_mm256_set1_epi32((int)(mask)), _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24))
#    define v_load_mask(p, mask) _mm256_maskload_ps(p, SIGNS(mask))
#    define v_quads(x) _mm256_castps_si256(x)
#    define v_in_order(v) _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8))
#    define v_even_apart(a, b) _mm256_shuffle_ps(a, b, 0x88)
#    define v_odd_apart(a, b) _mm256_shuffle_ps(a, b, 0xdd)
#    define v_zip_low(a, b) _mm256_unpacklo_ps(a, b)
#    define v_zip_high(a, b) _mm256_unpackhi_ps(a, b)
#    define v_even_quads(a, b) _mm256_permute2f128_ps(a, b, 0x20)
#    define v_odd_quads(a, b) _mm256_permute2f128_ps(a, b, 0x31)
#    define v_low(a, b) v_even_quads(v_zip_low(a, b), v_zip_high(a, b))
#    define v_high(a, b) v_odd_quads(v_zip_low(a, b), v_zip_high(a, b))
#  else
#    define vec __m256d
#    define v_load(p) _mm256_loadu_pd(p)
#    define v_store(p, x) _mm256_storeu_pd(p, x)
#    define v_stream(p, x) _mm256_stream_pd(p, x)
#    define v_splat(x) _mm256_set1_pd(x)
#    define v_fma(a, b, c) _mm256_fmadd_pd(a, b, c)
#    define v_fnma(a, b, c) _mm256_fnmadd_pd(a, b, c)
#    define v_add(a, b) _mm256_add_pd(a, b)
#    define v_sub(a, b) _mm256_sub_pd(a, b)
#    define v_max(a, x) _mm256_max_pd(a, x)
#    define v_min(a, x) _mm256_min_pd(a, x)
#    define v_mul(a, b) _mm256_mul_pd(a, b)
#    define v_div(a, b) _mm256_div_pd(a, b)
#    define v_abs(x) _mm256_andnot_pd(_mm256_set1_pd((real)-0.0), x)
#    define v_pick(test, a, b) \
         _mm256_blendv_pd(b, a, _mm256_cmp_pd(test, _mm256_setzero_pd(), _CMP_LT_OQ))
#    define v_scale(x, z) \
         _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(x), _mm256_slli_epi64(_mm256_castpd_si256(z), 52)))
#    define SIGNS(mask) \
         _mm256_sllv_epi32(_mm256_set1_epi32((int)(mask)), _mm256_setr_epi32(0, 31, 0, 30, 0, 29, 0, 28))
#    define v_load_mask(p, mask) _mm256_maskload_pd(p, SIGNS(mask))
#    define v_quads(x) _mm256_castpd_si256(x)
#    define v_in_order(v) _mm256_permute4x64_pd(v, 0xd8)
#    define v_even_apart(a, b) _mm256_unpacklo_pd(a, b)
#    define v_odd_apart(a, b) _mm256_unpackhi_pd(a, b)
#    define v_zip_low(a, b) _mm256_unpacklo_pd(a, b)
#    define v_zip_high(a, b) _mm256_unpackhi_pd(a, b)
#    define v_even_quads(a, b) _mm256_permute2f128_pd(a, b, 0x20)
#    define v_odd_quads(a, b) _mm256_permute2f128_pd(a, b, 0x31)
#    define v_low(a, b) v_even_quads(v_zip_low(a, b), v_zip_high(a, b))
#    define v_high(a, b) v_odd_quads(v_zip_low(a, b), v_zip_high(a, b))
#  endif
#  define v_even(a, b) v_in_order(v_even_apart(a, b))
#  define v_odd(a, b) v_in_order(v_odd_apart(a, b))
#elif defined(SIMD_NEON)
#  include <arm_neon.h>
#  define SIMD_NAME neon
#  define SIMD_BEGIN
#  define SIMD_END
#  define VECTOR_BYTES 16
#  define REGISTERS 32
#  if REAL_BITS == 32
#    define vec float32x4_t
#    define v_load(p) vld1q_f32(p)
#    define v_store(p, x) vst1q_f32(p, x)
#    define v_splat(x) vdupq_n_f32(x)
#    define v_fma(a, b, c) vfmaq_f32(c, a, b)
#    define v_fnma(a, b, c) vfmsq_f32(c, a, b)
#    define v_add(a, b) vaddq_f32(a, b)
#    define v_sub(a, b) vsubq_f32(a, b)
#    define v_max(a, x) vmaxq_f32(a, x)
#    define v_min(a, x) vminq_f32(a, x)
#    define v_load_half(p) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))
#    define v_store_half(p, x) vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)))
#    define v_mul(a, b) vmulq_f32(a, b)
#    define v_div(a, b) vdivq_f32(a, b)
#    define v_abs(x) vabsq_f32(x)
#    define v_pick(test, a, b) vbslq_f32(vcltzq_f32(test), a, b)
#    define v_scale(x, z) \
         vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), vshlq_n_s32(vreinterpretq_s32_f32(z), 23)))
#    define v_even(a, b) vuzp1q_f32(a, b)
#    define v_odd(a, b) vuzp2q_f32(a, b)
#    define v_low(a, b) vzip1q_f32(a, b)
#    define v_high(a, b) vzip2q_f32(a, b)
#  else
#    define vec float64x2_t
#    define v_load(p) vld1q_f64(p)
#    define v_store(p, x) vst1q_f64(p, x)
#    define v_splat(x) vdupq_n_f64(x)
#    define v_fma(a, b, c) vfmaq_f64(c, a, b)
#    define v_fnma(a, b, c) vfmsq_f64(c, a, b)
#    define v_add(a, b) vaddq_f64(a, b)
#    define v_sub(a, b) vsubq_f64(a, b)
#    define v_max(a, x) vmaxq_f64(a, x)
#    define v_min(a, x) vminq_f64(a, x)
#    define v_mul(a, b) vmulq_f64(a, b)
#    define v_div(a, b) vdivq_f64(a, b)
#    define v_abs(x) vabsq_f64(x)
#    define v_pick(test, a, b) vbslq_f64(vcltzq_f64(test), a, b)
#    define v_scale(x, z) \
         vreinterpretq_f64_s64(vaddq_s64(vreinterpretq_s64_f64(x), vshlq_n_s64(vreinterpretq_s64_f64(z), 52)))
#    define v_even(a, b) vuzp1q_f64(a, b)
#    define v_odd(a, b) vuzp2q_f64(a, b)
#    define v_low(a, b) vzip1q_f64(a, b)
#    define v_high(a, b) vzip2q_f64(a, b)
#  endif
#elif defined(__SSE2__) || defined(_M_X64) /* any x86-64: no FMA */
#  include <emmintrin.h>
#  define SIMD_NAME baseline
#  define SIMD_BEGIN
#  define SIMD_END
#  define VECTOR_BYTES 16
#  define REGISTERS 16
#  if REAL_BITS == 32
#    define vec __m128
#    define v_load(p) _mm_loadu_ps(p)
#    define v_store(p, x) _mm_storeu_ps(p, x)
#    define v_stream(p, x) _mm_stream_ps(p, x)
#    define v_splat(x) _mm_set1_ps(x)
#    define v_fma(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#    define v_fnma(a, b, c) _mm_sub_ps(c, _mm_mul_ps(a, b))
#    define v_add(a, b) _mm_add_ps(a, b)
#    define v_sub(a, b) _mm_sub_ps(a, b)
#    define v_max(a, x) _mm_max_ps(a, x)
#    define v_min(a, x) _mm_min_ps(a, x)
#    define v_mul(a, b) _mm_mul_ps(a, b)
#    define v_div(a, b) _mm_div_ps(a, b)
#    define v_abs(x) _mm_andnot_ps(_mm_set1_ps((real)-0.0), x)
#    define v_pick(test, a, b) \
         _mm_xor_ps(b, _mm_and_ps(_mm_cmplt_ps(test, _mm_setzero_ps()), _mm_xor_ps(a, b)))
#    define v_scale(x, z) \
         _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(x), _mm_slli_epi32(_mm_castps_si128(z), 23)))
#    define v_even(a, b) _mm_shuffle_ps(a, b, 0x88)
#    define v_odd(a, b) _mm_shuffle_ps(a, b, 0xdd)
#    define v_low(a, b) _mm_unpacklo_ps(a, b)
#    define v_high(a, b) _mm_unpackhi_ps(a, b)
#  else
#    define vec __m128d
#    define v_load(p) _mm_loadu_pd(p)
#    define v_store(p, x) _mm_storeu_pd(p, x)
#    define v_stream(p, x) _mm_stream_pd(p, x)
#    define v_splat(x) _mm_set1_pd(x)
#    define v_fma(a, b, c) _mm_add_pd(_mm_mul_pd(a, b), c)
#    define v_fnma(a, b, c) _mm_sub_pd(c, _mm_mul_pd(a, b))
#    define v_add(a, b) _mm_add_pd(a, b)
#    define v_sub(a, b) _mm_sub_pd(a, b)
#    define v_max(a, x) _mm_max_pd(a, x)
#    define v_min(a, x) _mm_min_pd(a, x)
#    define v_mul(a, b) _mm_mul_pd(a, b)
#    define v_div(a, b) _mm_div_pd(a, b)
#    define v_abs(x) _mm_andnot_pd(_mm_set1_pd((real)-0.0), x)
#    define v_pick(test, a, b) \
         _mm_xor_pd(b, _mm_and_pd(_mm_cmplt_pd(test, _mm_setzero_pd()), _mm_xor_pd(a, b)))
#    define v_scale(x, z) \
         _mm_castsi128_pd(_mm_add_epi64(_mm_castpd_si128(x), _mm_slli_epi64(_mm_castpd_si128(z), 52)))
#    define v_even(a, b) _mm_unpacklo_pd(a, b)
#    define v_odd(a, b) _mm_unpackhi_pd(a, b)
#    define v_low(a, b) _mm_unpacklo_pd(a, b)
#    define v_high(a, b) _mm_unpackhi_pd(a, b)
#  endif
#else /* any machine, any compiler: vectors of one lane */
#  define SIMD_NAME baseline
#  define SIMD_BEGIN
#  define SIMD_END
#  define VECTOR_BYTES (REAL_BITS / 8)
#  define REGISTERS 16
#  define vec real
#  define v_load(p) (*(p))
#  define v_store(p, x) (*(p) = (x))
#  define v_splat(x) (x)
#  define v_fma(a, b, c) ((a) * (b) + (c))
#  define v_fnma(a, b, c) ((c) - (a) * (b))
#  define v_add(a, b) ((a) + (b))
#  define v_sub(a, b) ((a) - (b))
#  define v_max(a, x) ((x) < (a) ? (a) : (x))
#  define v_min(a, x) ((x) > (a) ? (a) : (x))
#  define v_mul(a, b) ((a) * (b))
#  define v_div(a, b) ((a) / (b))
#  define v_abs(x) ((real)fabs(x))
#  define v_pick(test, a, b) ((test) < 0 ? (a) : (b))
#  define v_scale(x, z) ((x) == (x) && (z) == (z) ? (real)ldexp(x, (int)((z) - ROUNDER)) : (x))
#  define v_even(a, b) (a)
#  define v_odd(a, b) (b)
#  define v_low(a, b) (a)
#  define v_high(a, b) (b)
#endif
#if defined(__GNUC__)
#  define v_neg(x) (-(x))
#else
#  define v_neg(x) v_sub(v_splat((real)-0.0), x)
#endif
#ifndef v_stream
#  define v_stream(p, x) v_store(p, x)
#endif
#ifndef v_in_order
#  define v_even_apart(a, b) v_even(a, b)
#  define v_odd_apart(a, b) v_odd(a, b)
#  define v_in_order(v) (v)
#endif
#ifndef v_zip_low /* vectors of one quad or less */
#  define v_zip_low(a, b) v_low(a, b)
#  define v_zip_high(a, b) v_high(a, b)
#  define v_even_quads(a, b) (a)
#  define v_odd_quads(a, b) (b)
#endif
#endif

/* The vocabulary of integers of 32 bits, and of the floats that they are scaled as: once for an ISA. f_round rounds to the
   nearest integer, to even where there are two, a NaN to one whose low bits are 0; i_store_bytes and i_store_halves store the
   low 8 or 16 bits of each. i_load_int8 and the like, where there are such, load integers of fewer bits. i_halves(a, b) are
   the integers of a followed by those of b as halves of 16 bits, i_bytes(a, b) halves as bytes, both saturated and within
   each quad; i_add_halves saturates, too. i_zip_low and i_zip_high zip bytes within each quad. */
#ifndef i_vec
#  if defined(SIMD_AVX512) || defined(SIMD_AVX2) /* 16 bytes, or 8 halves of 16 bits */
#    define b_vec __m128i
#    define b_load(p) _mm_loadu_si128((const __m128i *)(p))
#    define b_store(p, x) _mm_storeu_si128((__m128i *)(p), x)
#    define b_splat(x) _mm_set1_epi8((char)(x))
#    define b_xor(a, b) _mm_xor_si128(a, b)
#    define b_zip_low(a, b) _mm_unpacklo_epi8(a, b)
#    define b_zip_high(a, b) _mm_unpackhi_epi8(a, b)
#    define h_splat(x) _mm_set1_epi16((short)(x))
#    define h_sub(a, b) _mm_sub_epi16(a, b)
#    define h_zip_low(a, b) _mm_unpacklo_epi16(a, b)
#    define h_zip_high(a, b) _mm_unpackhi_epi16(a, b)
#  elif defined(SIMD_NEON)
#    define b_vec uint8x16_t
#    define b_load(p) vld1q_u8((const unsigned char *)(p))
#    define b_store(p, x) vst1q_u8((unsigned char *)(p), x)
#    define b_splat(x) vdupq_n_u8((unsigned char)(x))
#    define b_xor(a, b) veorq_u8(a, b)
#    define b_zip_low(a, b) vzip1q_u8(a, b)
#    define b_zip_high(a, b) vzip2q_u8(a, b)
#    define OF_HALVES(f, a, b) vreinterpretq_u8_u16(f(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)))
#    define h_splat(x) vreinterpretq_u8_s16(vdupq_n_s16((short)(x)))
#    define h_sub(a, b) OF_HALVES(vsubq_u16, a, b)
#    define h_zip_low(a, b) OF_HALVES(vzip1q_u16, a, b)
#    define h_zip_high(a, b) OF_HALVES(vzip2q_u16, a, b)
#  endif
#  if defined(SIMD_AVX512)
#    define i_vec __m512i
#    define f_vec __m512
#    define i_load(p) _mm512_loadu_si512(p)
#    define i_store(p, x) _mm512_storeu_si512(p, x)
#    define i_splat(x) _mm512_set1_epi32(x)
#    define i_xor(a, b) _mm512_xor_si512(a, b)
#    define i_load_int8(p) _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p)))
#    define i_load_uint8(p) _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p)))
#    define i_load_int16(p) _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(p)))
#    define i_load_uint16(p) _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p)))
#    define i_store_bytes(p, x) _mm_storeu_si128((__m128i *)(p), _mm512_cvtepi32_epi8(x))
#    define i_store_halves(p, x) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtepi32_epi16(x))
#    define i_halves(a, b) _mm512_packs_epi32(a, b)
#    define i_bytes(a, b) _mm512_packs_epi16(a, b)
#    define i_splat_half(x) _mm512_set1_epi16((short)(x))
#    define i_add_halves(a, b) _mm512_adds_epi16(a, b)
#    define i_zip_low(a, b) _mm512_unpacklo_epi8(a, b)
#    define i_zip_high(a, b) _mm512_unpackhi_epi8(a, b)
#    define f_load(p) _mm512_loadu_ps(p)
#    define f_splat(x) _mm512_set1_ps(x)
#    define f_of_i(x) _mm512_cvtepi32_ps(x)
#    define f_mul(a, b) _mm512_mul_ps(a, b)
#    define f_min(a, b) _mm512_min_ps(a, b)
#    define f_max(a, b) _mm512_max_ps(a, b)
#    define f_round(x) _mm512_cvtps_epi32(x)
#  elif defined(SIMD_AVX2)
#    define i_vec __m256i
#    define f_vec __m256
#    define i_load(p) _mm256_loadu_si256((const __m256i *)(p))
#    define i_store(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#    define i_splat(x) _mm256_set1_epi32(x)
#    define i_add(a, b) _mm256_add_epi32(a, b)
#    define i_xor(a, b) _mm256_xor_si256(a, b)
#    define i_load_int8(p) _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p)))
#    define i_load_uint8(p) _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p)))
#    define i_load_int16(p) _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)(p)))
#    define i_load_uint16(p) _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p)))
#    define LOW_BITS(x, mask) _mm256_and_si256(x, _mm256_set1_epi32(mask))
#    define PACKED(x) _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1))
#    define i_store_bytes(p, x) \
         _mm_storel_epi64((__m128i *)(p), _mm_packus_epi16(PACKED(LOW_BITS(x, 0xff)), _mm_setzero_si128()))
#    define i_store_halves(p, x) _mm_storeu_si128((__m128i *)(p), PACKED(LOW_BITS(x, 0xffff)))
#    define i_halves(a, b) _mm256_packs_epi32(a, b)
#    define i_bytes(a, b) _mm256_packs_epi16(a, b)
#    define i_splat_half(x) _mm256_set1_epi16((short)(x))
#    define i_add_halves(a, b) _mm256_adds_epi16(a, b)
#    define i_zip_low(a, b) _mm256_unpacklo_epi8(a, b)
#    define i_zip_high(a, b) _mm256_unpackhi_epi8(a, b)
#    define f_load(p) _mm256_loadu_ps(p)
#    define f_splat(x) _mm256_set1_ps(x)
#    define f_of_i(x) _mm256_cvtepi32_ps(x)
#    define f_mul(a, b) _mm256_mul_ps(a, b)
#    define f_min(a, b) _mm256_min_ps(a, b)
#    define f_max(a, b) _mm256_max_ps(a, b)
#    define f_round(x) _mm256_cvtps_epi32(x)
#  elif defined(SIMD_NEON)
#    define i_vec int32x4_t
#    define f_vec float32x4_t
#    define i_load(p) vld1q_s32(p)
#    define i_store(p, x) vst1q_s32(p, x)
#    define i_splat(x) vdupq_n_s32(x)
#    define i_xor(a, b) veorq_s32(a, b)
#    define i_halves(a, b) vreinterpretq_s32_s16(vcombine_s16(vqmovn_s32(a), vqmovn_s32(b)))
#    define i_bytes(a, b) \
         vreinterpretq_s32_s8(vcombine_s8(vqmovn_s16(vreinterpretq_s16_s32(a)), vqmovn_s16(vreinterpretq_s16_s32(b))))
#    define i_splat_half(x) vreinterpretq_s32_s16(vdupq_n_s16((short)(x)))
#    define i_add_halves(a, b) vreinterpretq_s32_s16(vqaddq_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b)))
#    define i_zip_low(a, b) vreinterpretq_s32_s8(vzip1q_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)))
#    define i_zip_high(a, b) vreinterpretq_s32_s8(vzip2q_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)))
#    define f_load(p) vld1q_f32(p)
#    define f_splat(x) vdupq_n_f32(x)
#    define f_of_i(x) vcvtq_f32_s32(x)
#    define f_mul(a, b) vmulq_f32(a, b)
#    define f_min(a, b) vminq_f32(a, b)
#    define f_max(a, b) vmaxq_f32(a, b)
#    define f_round(x) vcvtnq_s32_f32(x)
#  endif
#endif
