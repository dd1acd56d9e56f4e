/* The loops of add_tap.h, once for each type: the core around them is compiled to be small, they to be fast. */
#include "add_tap.h"
#include <stdint.h>

#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC optimize("O3")
#endif

typedef struct {
    float real, imag;
} complex64;
typedef struct {
    double real, imag;
} complex128;

#define ADDED(type, unsigned_type) \
    static inline type plus_##type(const type sum, const type w, const type x) { \
        return (type)((unsigned_type)sum + (unsigned_type)w * (unsigned_type)x); \
    }
ADDED(int32_t, uint32_t)
ADDED(int64_t, uint64_t)
ADDED(float, float)
ADDED(double, double)
#undef ADDED

#define ADDED(type) \
    static inline type plus_##type(const type sum, const type w, const type x) { \
        const type product = {w.real * x.real - w.imag * x.imag, w.real * x.imag + w.imag * x.real}; \
        return (type){sum.real + product.real, sum.imag + product.imag}; \
    }
ADDED(complex64)
ADDED(complex128)
#undef ADDED

/* Four channels at a time, so that out is loaded and stored a quarter as often. */
#define ADD_STRIDED(type, stride) \
    for (; channels >= 4; channels -= 4, image += 4 * image_step, weight += 4 * weight_step) { \
        const type *image1 = image + image_step, *image2 = image1 + image_step, *image3 = image2 + image_step; \
        const type w = weight[0], w1 = weight[weight_step], w2 = weight[2 * weight_step], w3 = weight[3 * weight_step]; \
        for (ptrdiff_t o = 0; o < count; o++) { \
            const type sum = plus_##type(plus_##type(out[o], w, image[o * stride]), w1, image1[o * stride]); \
            out[o] = plus_##type(plus_##type(sum, w2, image2[o * stride]), w3, image3[o * stride]); \
        } \
    } \
    for (; channels > 0; channels--, image += image_step, weight += weight_step) { \
        const type w = weight[0]; \
        for (ptrdiff_t o = 0; o < count; o++) out[o] = plus_##type(out[o], w, image[o * stride]); \
    }

/* Strides 1 and 2 are constants: compilers vectorise those. */
#define ADD_TAP(name, type) \
    void name(void *out_, ptrdiff_t count, const void *image_, ptrdiff_t stride, ptrdiff_t channels, ptrdiff_t image_step, \
              const void *weight_, ptrdiff_t weight_step) { \
        type *out = out_; \
        const type *image = image_, *weight = weight_; \
        if (stride == 1) { \
            ADD_STRIDED(type, 1) \
        } else if (stride == 2) { \
            ADD_STRIDED(type, 2) \
        } else { \
            ADD_STRIDED(type, stride) \
        } \
    }
ADD_TAP(fc_add_tap_int32, int32_t)
ADD_TAP(fc_add_tap_int64, int64_t)
ADD_TAP(fc_add_tap_float32, float)
ADD_TAP(fc_add_tap_float64, double)
ADD_TAP(fc_add_tap_complex64, complex64)
ADD_TAP(fc_add_tap_complex128, complex128)
