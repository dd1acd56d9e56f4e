/* Numbers of other types on their way into the core and out of it: widened to `real`, or rounded, saturated and narrowed. */
#include <stdint.h>
#include <string.h>

#include "expects.h"
#include "kernels.h"
#include "simd.h"

#if defined(__GNUC__) && !defined(__clang__) && VECTOR_BYTES > 16 /* vectorise these loops, most of which are no intrinsics */
#  pragma GCC push_options
#  pragma GCC optimize("O3")
#endif
#undef bits
#undef ROUNDING
#undef AT_ONCE
#undef NEAREST
#if REAL_BITS == 32
#  define bits int32_t
#  define NEAREST(x) rintf(x)
#  define ROUNDING 12582912.0f /* 1.5 * 2^23: in a sum with it, the low bits of a number are its nearest integer */
#else
#  define bits int64_t
#  define NEAREST(x) rint(x)
#  define ROUNDING 6755399441055744.0 /* 1.5 * 2^52 */
#endif
#define AT_ONCE 64 /* numbers: whole vectors of any type */

#define WIDEN(type) \
    NOINLINE void NAMED(widen_##type)(real *__restrict to, const type *__restrict from, const ptrdiff_t count) { \
        for (ptrdiff_t i = 0; i < count; i++) to[i] = (real)from[i]; \
    }
#if REAL_BITS == 64 || !defined(i_load_int8)
WIDEN(int8_t) WIDEN(uint8_t) WIDEN(int16_t) WIDEN(uint16_t)
#endif
WIDEN(int32_t) WIDEN(uint32_t) WIDEN(int64_t) WIDEN(uint64_t)
#if REAL_BITS == 32
WIDEN(double)
#else
WIDEN(float)
#endif
#undef WIDEN

#if REAL_BITS == 32
NOINLINE void widen_bfloat16(void *__restrict to, const uint16_t *__restrict from, const ptrdiff_t count) {
    uint32_t *__restrict pattern = to;
    for (ptrdiff_t i = 0; i < count; i++) pattern[i] = (uint32_t)from[i] << 16;
}

/* The nearest bfloat16, ties to even; every NaN becomes the one of its sign. */
NOINLINE void narrow_bfloat16(uint16_t *__restrict to, const void *__restrict from, const ptrdiff_t count) {
    const uint32_t *__restrict pattern = from;
    for (ptrdiff_t i = 0; i < count; i++) {
        const uint32_t x = pattern[i], nearest = (x + 0x7fffu + (x >> 16 & 1u)) >> 16, nan = (x >> 16 & 0x8000u) | 0x7fc0u;
        to[i] = (uint16_t)((x & 0x7fffffffu) > 0x7f800000u ? nan : nearest);
    }
}

/* Whole vectors, the last one over its neighbour, or fewer numbers by a copy: `load` and `store` convert a vector. */
#define WIDEN_VECTORS(name, type, load) \
    NOINLINE void name(real *to, const type *from, const ptrdiff_t count) { \
        if (count < LANES) { \
            type part[LANES] = {0}; \
            real lanes[LANES]; \
            memcpy(part, from, (size_t)count * sizeof(type)); \
            v_store(lanes, load(part)); \
            memcpy(to, lanes, (size_t)count * sizeof(real)); \
            return; \
        } \
        for (ptrdiff_t i = 0; i < count - LANES; i += LANES) v_store(to + i, load(from + i)); \
        v_store(to + count - LANES, load(from + count - LANES)); \
    }
#define NARROW_VECTORS(name, type, store) \
    NOINLINE void name(type *to, const real *from, const ptrdiff_t count) { \
        if (count < LANES) { \
            type part[LANES]; \
            real lanes[LANES] = {0}; \
            memcpy(lanes, from, (size_t)count * sizeof(real)); \
            store(part, v_load(lanes)); \
            memcpy(to, part, (size_t)count * sizeof(type)); \
            return; \
        } \
        for (ptrdiff_t i = 0; i < count - LANES; i += LANES) store(to + i, v_load(from + i)); \
        store(to + count - LANES, v_load(from + count - LANES)); \
    }
#  ifdef v_load_half
WIDEN_VECTORS(widen_half, uint16_t, v_load_half)
NARROW_VECTORS(narrow_half, uint16_t, v_store_half)
#  endif
#  ifdef i_load_int8
#    define LOAD_INT8(p) f_of_i(i_load_int8(p))
#    define LOAD_UINT8(p) f_of_i(i_load_uint8(p))
#    define LOAD_INT16(p) f_of_i(i_load_int16(p))
#    define LOAD_UINT16(p) f_of_i(i_load_uint16(p))
#    define ROUNDED(x, low, high) f_round(f_min(f_splat(high), f_max(f_splat(low), x)))
#    define STORE_INT8(p, x) i_store_bytes(p, ROUNDED(x, -128, 127))
#    define STORE_UINT8(p, x) i_store_bytes(p, ROUNDED(x, 0, 255))
#    define STORE_INT16(p, x) i_store_halves(p, ROUNDED(x, -32768, 32767))
#    define STORE_UINT16(p, x) i_store_halves(p, ROUNDED(x, 0, 65535))
WIDEN_VECTORS(widen_int8_t_f32, int8_t, LOAD_INT8)
WIDEN_VECTORS(widen_uint8_t_f32, uint8_t, LOAD_UINT8)
WIDEN_VECTORS(widen_int16_t_f32, int16_t, LOAD_INT16)
WIDEN_VECTORS(widen_uint16_t_f32, uint16_t, LOAD_UINT16)
NARROW_VECTORS(saturate_int8, int8_t, STORE_INT8)
NARROW_VECTORS(saturate_uint8, uint8_t, STORE_UINT8)
NARROW_VECTORS(saturate_int16, int16_t, STORE_INT16)
NARROW_VECTORS(saturate_uint16, uint16_t, STORE_UINT16)
#  endif
#endif

#if REAL_BITS == 64 || !defined(i_load_int8)
/* Round 64 numbers to the nearest integers, ties to even, clipped to low..high, of 16 bits or fewer; a NaN becomes 0. */
INLINE void NAMED(round_some)(int32_t *__restrict rounded, const real *from, const real low, const real high) {
    real sums[AT_ONCE];
    bits patterns[AT_ONCE], nearest_zero;
    const real rounding = ROUNDING, infinity = (real)INFINITY;
    bits infinite;
    memcpy(&nearest_zero, &rounding, sizeof(bits));
    memcpy(&infinite, &infinity, sizeof(bits));
    for (int i = 0; i < AT_ONCE; i += LANES)
        v_store(sums + i, v_add(v_min(v_splat(high), v_max(v_splat(low), v_load(from + i))), v_splat(rounding)));
    memcpy(patterns, sums, sizeof(sums));
    for (int i = 0; i < AT_ONCE; i++)
        rounded[i] = (int32_t)((patterns[i] - nearest_zero) &
                               ~-(bits)((patterns[i] & ~((bits)1 << (REAL_BITS - 1))) > infinite));
}
#endif

/* Truncate 64 numbers, times a scale, to integers of 64 bits, of which the low 32 are kept. */
INLINE void NAMED(truncate_some)(int32_t *__restrict low, const real *__restrict from, const real scale, const int is_near) {
    const real limit = (real)0x1p31;
    bits far = 0; /* magnitudes of 32 bits and more, and NaN */
    if (!is_near) {
        real scaled[AT_ONCE];
        bits patterns[AT_ONCE], magnitude;
        for (int i = 0; i < AT_ONCE; i++) scaled[i] = from[i] * scale;
        memcpy(patterns, scaled, sizeof(scaled));
        memcpy(&magnitude, &limit, sizeof(bits));
        for (int i = 0; i < AT_ONCE; i++) far |= -(bits)((patterns[i] & ~((bits)1 << (REAL_BITS - 1))) >= magnitude);
    }
    if (far)
        for (int i = 0; i < AT_ONCE; i++) low[i] = (int32_t)(int64_t)(from[i] * scale);
    else
        for (int i = 0; i < AT_ONCE; i++) low[i] = (int32_t)(from[i] * scale);
}

/* Store numbers as integers of 1 or 2 bytes, `convert(integers, numbers)` being what makes 64 of them integers. */
#define STORE_INTEGERS(convert) \
    int32_t integers[AT_ONCE]; \
    uint16_t few[AT_ONCE]; \
    real part[AT_ONCE] = {0}; \
    for (ptrdiff_t i = 0; i < count; i += AT_ONCE) { \
        const ptrdiff_t left = count - i; \
        const real *numbers = (const real *)from + i; \
        char *const place = (char *)to + i * bytes; \
        void *target = place; \
        if (left < AT_ONCE) { \
            numbers = memcpy(part, numbers, (size_t)left * sizeof(real)); \
            target = few; \
        } \
        convert; \
        if (bytes == 1) \
            for (int j = 0; j < AT_ONCE; j++) ((uint8_t *)target)[j] = (uint8_t)integers[j]; \
        else \
            for (int j = 0; j < AT_ONCE; j++) ((uint16_t *)target)[j] = (uint16_t)integers[j]; \
        if (left < AT_ONCE) memcpy(place, few, (size_t)(left * bytes)); \
    }

#if REAL_BITS == 64 || !defined(i_load_int8)
NOINLINE void NAMED(saturate)(void *to, const void *from, ptrdiff_t count, int bytes, real low, real high) {
    STORE_INTEGERS(NAMED(round_some)(integers, numbers, low, high))
}
#endif

NOINLINE void NAMED(truncate)(void *to, const void *from, ptrdiff_t count, int bytes, double scale, int is_near) {
    expects(to && from && count >= 0 && (bytes == 1 || bytes == 2));
    STORE_INTEGERS(NAMED(truncate_some)(integers, numbers, (real)scale, is_near))
}
#undef STORE_INTEGERS

/* Rounded and clipped to longer integers, `limit` being the power of two behind the largest. */
#define SATURATE(type, low, limit) \
    NOINLINE void NAMED(saturate_##type)(type *__restrict to, const real *__restrict from, const ptrdiff_t count) { \
        for (ptrdiff_t i = 0; i < count; i++) { \
            const real x = NEAREST(from[i]); \
            to[i] = x >= (real)limit ? (type)~(type)low : x <= (real)(type)low ? (type)low : x == x ? (type)x : 0; \
        } \
    }
SATURATE(int32_t, INT32_MIN, 2147483648.0)
SATURATE(uint32_t, 0, 4294967296.0)
SATURATE(int64_t, INT64_MIN, 9223372036854775808.0)
SATURATE(uint64_t, 0, 18446744073709551616.0)
#undef SATURATE

#if REAL_BITS == 32
NOINLINE void narrow_double(double *__restrict to, const real *__restrict from, const ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) to[i] = from[i];
}
#else
NOINLINE void narrow_float(float *__restrict to, const real *__restrict from, const ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) to[i] = (float)from[i];
}
#endif

NOINLINE void NAMED(turn)(void *__restrict to, const void *__restrict from, const ptrdiff_t count, const int turns) {
    real *__restrict turned = to;
    const real *__restrict parts = from;
    expects(to && from && count >= 0);
    for (ptrdiff_t i = 0; i < count / 2; i++) {
        const real re = parts[2 * i], im = parts[2 * i + 1];
        turned[2 * i] = turns ? -im : re + 0 * im;
        turned[2 * i + 1] = turns ? re : im + 0 * re;
    }
}
#if defined(__GNUC__) && !defined(__clang__) && VECTOR_BYTES > 16
#  pragma GCC pop_options
#endif

#define CASE(kind, function) \
    case kind: function((void *)to, (const void *)from, count); return 1
static int NAMED(widen)(void *to, const void *from, ptrdiff_t count, int type) {
    expects(to && from && count >= 0);
    switch (type) {
        CASE(FC_INT8, NAMED(widen_int8_t));
        CASE(FC_UINT8, NAMED(widen_uint8_t));
        CASE(FC_INT16, NAMED(widen_int16_t));
        CASE(FC_UINT16, NAMED(widen_uint16_t));
        CASE(FC_INT32, NAMED(widen_int32_t));
        CASE(FC_UINT32, NAMED(widen_uint32_t));
        CASE(FC_INT64, NAMED(widen_int64_t));
        CASE(FC_UINT64, NAMED(widen_uint64_t));
#if REAL_BITS == 32
        CASE(FC_FLOAT64, NAMED(widen_double));
        CASE(FC_BFLOAT16, widen_bfloat16);
#  ifdef v_load_half
        CASE(FC_FLOAT16, widen_half);
#  endif
#else
        CASE(FC_FLOAT32, NAMED(widen_float));
#endif
    }
    return 0;
}

static int NAMED(narrow)(void *to, const void *from, ptrdiff_t count, int type) {
    expects(to && from && count >= 0);
    switch (type) {
#if REAL_BITS == 32 && defined(i_load_int8)
        CASE(FC_INT8, saturate_int8);
        CASE(FC_UINT8, saturate_uint8);
        CASE(FC_INT16, saturate_int16);
        CASE(FC_UINT16, saturate_uint16);
#else
        case FC_INT8: NAMED(saturate)(to, from, count, 1, -128, 127); return 1;
        case FC_UINT8: NAMED(saturate)(to, from, count, 1, 0, 255); return 1;
        case FC_INT16: NAMED(saturate)(to, from, count, 2, -32768, 32767); return 1;
        case FC_UINT16: NAMED(saturate)(to, from, count, 2, 0, 65535); return 1;
#endif
        CASE(FC_INT32, NAMED(saturate_int32_t));
        CASE(FC_UINT32, NAMED(saturate_uint32_t));
        CASE(FC_INT64, NAMED(saturate_int64_t));
        CASE(FC_UINT64, NAMED(saturate_uint64_t));
#if REAL_BITS == 32
        CASE(FC_FLOAT64, narrow_double);
        CASE(FC_BFLOAT16, narrow_bfloat16);
#  ifdef v_load_half
        CASE(FC_FLOAT16, narrow_half);
#  endif
#else
        CASE(FC_FLOAT32, narrow_float);
#endif
    }
    return 0;
}
#undef CASE
