/* Activations: functions of neighbouring outputs, in place.

   All exponentials are exp(-u) = 2^n (1 + e): n ln 2 = -u - r with an integer n, and the polynomial e = exp(-r) - 1 keeps its
   relative accuracy near zero. Where functions have small values, some factors are RAISED by a power of two, so that no number
   is subnormal before the last multiplication. Polynomials are minimax ones. Every operation is rounded correctly, so that
   machines with FMA agree to the last bit. */
#include <stddef.h>
#include <string.h>

#include "expects.h"
#include "kernels.h"
#include "simd.h"

#undef RAISED
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_MOST
#undef ONE_MOST
#undef CUBIC_MOST
#undef TAIL_MOST
#undef DENSITY
#undef CUBIC_X
#undef CUBIC_X_LOW
#undef CUBIC_XXX
#undef CUBIC_XXX_LOW
#if REAL_BITS == 32
#  define RAISED 0x1p64f /* keeps intermediate results clear of subnormal numbers */
#  define LN2_HIGH 0.693359375f /* of few bits: products with exponents are exact */
#  define LN2_LOW -2.12194440e-4f
#  define EXP_MOST 120 /* exp(-u) rounds to zero from here on, */
#  define ONE_MOST 80 /* and 1 + exp(-u) to 1 well before this; */
#  define CUBIC_MOST 11 /* gelu_tanh is zero from its negative on, */
#  define TAIL_MOST 14.6f /* and gelu from that of this */
#  define DENSITY 0.398942292f /* 1 / sqrt(2 pi) */
#  define CUBIC_X 1.59576797f /* 2 sqrt(2 / pi), in few bits and the rest; */
#  define CUBIC_X_LOW 1.14675222e-06f
#  define CUBIC_XXX 0.0713548139f /* 0.044715 times that */
#  define CUBIC_XXX_LOW 2.3988324e-09f
/* (exp(-r) - 1 + r) / r^2 for |r| <= ln 2 / 2; (log(1 + t) - t) / t^2 for 0 <= t <= 1; and the tail of the normal distribution
   beyond z <= TAIL_MOST is DENSITY exp(-z^2 / 2) far(z) / (z far(z) + near(z)) */
static const real NAMED(exp_terms)[] = {0.5f, -0.166665465f, 0.0416662917f, -0.00836636685f, 0.00139460701f};
static const real NAMED(log_terms)[] = {-0.499999315f, 0.33330512f, -0.249585897f, 0.196954086f, -0.153554156f,
    0.106805868f, -0.0576647297f, 0.0202047247f, -0.0033185014f};
static const real NAMED(tail_near)[] = {1.05306053f, 0.48371461f, 0.121307947f, 0.0127691627f, 1.27250314e-06f};
static const real NAMED(tail_far)[] = {1.31981564f, 1.20732796f, 0.521590889f, 0.120196857f, 0.0128266821f};
#else
#  define RAISED 0x1p512
#  define LN2_HIGH 0x1.62e42feep-1
#  define LN2_LOW 1.9082149292705877e-10
#  define EXP_MOST 760
#  define ONE_MOST 700
#  define CUBIC_MOST 22
#  define TAIL_MOST 39
#  define DENSITY 0.3989422804014327
#  define CUBIC_X 1.595769121605727
#  define CUBIC_X_LOW 3.6750651956344233e-15
#  define CUBIC_XXX 0.071354816272600249
#  define CUBIC_XXX_LOW -6.175149918155315e-19
static const real NAMED(exp_terms)[] = {0.50000000000000033, -0.16666666666666682, 0.041666666666588151,
    -0.0083333333333159929, 0.0013888888928867522, -0.00019841269900338422, 2.4801507695287671e-05, -2.755723006092014e-06,
    2.7625311893008181e-07, -2.5113899996657019e-08};
static const real NAMED(log_terms)[] = {-0.49999999999999462, 0.33333333333235021, -0.24999999993675789,
    0.19999999791311576, -0.16666662498456425, 0.1428565889793072, -0.1249947962570705, 0.11107506103598659,
    -0.099810155065410619, 0.090131559390253899, -0.08081218255745376, 0.070355574743238336, -0.057502282153836799,
    0.042300464998215472, -0.026744302377857986, 0.013838831404079585, -0.0055432326619759172, 0.0015957843937729082,
    -0.00029177049321515671, 2.5330857762819513e-05};
static const real NAMED(tail_near)[] = {1.0, 1.133944092526838, 0.65894627733746525, 0.2462015694581535,
    0.063692740648923371, 0.011602170709475017, 0.001452130854529305, 0.00011475574630938928, 4.4438978441264503e-06};
static const real NAMED(tail_far)[] = {1.2533141373154999, 1.9919844888842289, 1.5618478451641264, 0.77778203721651573,
    0.26871884761541864, 0.066570269684420244, 0.011831684557067032, 0.00146101859633799, 0.00011475574704320947,
    4.4438978396816627e-06};
#endif

/* Horner's rule for x^2 over pairs of terms: half as many operations wait for each other. */
#define POLYNOMIAL(x, square, terms) NAMED(polynomial)(x, square, terms, sizeof(terms) / sizeof(real) - 1)
INLINE vec NAMED(polynomial)(const vec x, const vec square, const real *terms, const int degree) {
    vec sum = v_splat(terms[degree]);
    int i = degree;
    if (i % 2) sum = v_fma(sum, x, v_splat(terms[--i]));
    UNROLLED for (i -= 2; i >= 0; i -= 2) sum = v_fma(sum, square, v_fma(v_splat(terms[i + 1]), x, v_splat(terms[i])));
    return sum;
}

INLINE vec NAMED(between)(const real low, const real high, const vec x) {
    return v_min(v_splat(high), v_max(v_splat(low), x));
}

/* e of exp(-u - part * low), and n + ROUNDER; low, unless NULL, is what rounding lost. */
INLINE vec NAMED(exponential)(const vec u, const real part, const vec *low, vec *n) {
    vec rest, square;
    *n = v_fma(u, v_splat((real)-1.4426950408889634), v_splat(ROUNDER));
    rest = v_sub(*n, v_splat(ROUNDER));
    rest = v_fma(rest, v_splat(LN2_LOW), v_fma(rest, v_splat(LN2_HIGH), u));
    if (low) rest = v_fma(v_splat(part), *low, rest);
    square = v_mul(rest, rest);
    return v_fma(square, POLYNOMIAL(rest, square, NAMED(exp_terms)), v_sub(v_splat(0), rest));
}

/* w / (1 + exp(-v - low)), or x / (...) of mish, in which the 1 is 1/2 + 1 / (2 + 4 exp(-v)). */
INLINE vec NAMED(logistic)(const vec w, vec v, const vec *low, const int is_mish) {
    vec n, e, scale, one, sum, lost;
    v = NAMED(between)(-EXP_MOST, ONE_MOST, v);
    one = v_pick(v, v_splat(1 / RAISED), v_splat(1));
    e = NAMED(exponential)(v, 1, low, &n);
    scale = v_scale(one, n);
    n = is_mish ? v_mul(v_splat((real)0.5), one) : one;
    sum = v_add(scale, n);
    lost = v_sub(n, v_sub(sum, scale)); /* by rounding that */
    lost = v_fma(e, scale, lost);
    if (is_mish) lost = v_fma(v_div(n, v_fma(v_splat(2), v_fma(e, scale, scale), one)), one, lost);
    return v_mul(v_div(w, v_add(lost, sum)), one);
}

INLINE vec NAMED(expm1_like)(const int kind, const real alpha, const vec x) {
    const vec one = v_splat(1), zero = v_splat(0);
    const vec u = kind == FC_TANH ? v_mul(v_splat(2), v_abs(x)) : v_sub(zero, x);
    vec n, e, scale;
    e = NAMED(exponential)(v_min(v_splat(40), kind == FC_TANH ? u : v_max(zero, u)), 0, NULL, &n);
    scale = v_scale(one, n);
    if (kind == FC_ELU) return v_pick(x, v_mul(v_splat(alpha), v_fma(e, scale, v_sub(scale, one))), x);
    n = v_fma(e, scale, v_sub(scale, one)); /* exp(-2 |x|) - 1 */
    return v_div(v_pick(x, n, v_sub(zero, n)), v_fma(e, scale, v_add(scale, one)));
}

INLINE vec NAMED(softplus)(const vec x) { /* max(x, 0) + log(1 + exp(-|x|)) */
    const vec lowered = v_splat(1 / RAISED);
    vec n, e, t, square, lost;
    e = NAMED(exponential)(v_min(v_splat(EXP_MOST), v_abs(x)), 0, NULL, &n);
    n = v_scale(v_splat(RAISED), n);
    t = v_fma(e, n, n);
    lost = v_fma(e, n, v_sub(n, t)); /* by rounding that */
    t = v_mul(t, lowered);
    square = v_mul(t, t);
    lost = v_fma(lost, lowered, v_mul(square, POLYNOMIAL(t, square, NAMED(log_terms))));
    t = v_add(v_add(t, lost), v_max(v_splat(0), x));
    return v_pick(v_sub(v_splat(20), x), x, t);
}

INLINE vec NAMED(gelu)(const vec x) { /* max(x, 0) - z tail(z), z = |x| */
    const vec z = v_min(v_splat(TAIL_MOST), v_abs(x)), square = v_mul(z, z), zero = v_splat(0);
    const vec near = POLYNOMIAL(z, square, NAMED(tail_near)), far = POLYNOMIAL(z, square, NAMED(tail_far));
    const vec is_near = v_sub(z, v_splat(1)), half = v_splat((real)0.5);
    const vec low = v_fma(z, z, v_sub(zero, square));
    vec n, e, part, density;
    part = v_div(v_pick(is_near, far, near), v_fma(z, far, near));
    e = NAMED(exponential)(v_mul(half, square), (real)0.5, &low, &n);
    n = v_mul(v_scale(v_splat(RAISED * DENSITY), n), v_pick(is_near, z, v_splat(-1)));
    density = v_fma(e, n, n); /* z far / (z far + near) is 1 - near / (z far + near) */
    n = v_fma(density, part, v_pick(is_near, zero, v_sub(zero, density)));
    return v_fma(n, v_splat(-1 / RAISED), v_max(zero, x));
}

INLINE vec NAMED(gelu_tanh)(const vec x) { /* x logistic(v), v = x (CUBIC_X + CUBIC_XXX x^2) */
    const vec y = NAMED(between)(-CUBIC_MOST, CUBIC_MOST, x), square = v_mul(y, y);
    const vec slope = v_fma(v_splat(CUBIC_XXX), square, v_splat(CUBIC_X)), v = v_mul(y, slope);
    vec low = v_fma(v_splat(CUBIC_XXX_LOW), square, v_splat(CUBIC_X_LOW));
    low = v_fma(v_splat(CUBIC_XXX), v_fma(y, y, v_sub(v_splat(0), square)), low);
    low = v_add(v_fma(v_splat(CUBIC_XXX), square, v_sub(v_splat(CUBIC_X), slope)), low);
    low = v_fma(y, low, v_fma(y, slope, v_sub(v_splat(0), v)));
    return NAMED(logistic)(v_max(v_splat(-EXP_MOST), x), v, &low, 0);
}

/* Vectors of one run. */
NOINLINE void NAMED(activate_vectors)(const fc_activation *a, const real slope, real *out, const ptrdiff_t count) {
    const vec low = v_splat((real)a->low), high = v_splat((real)a->high), factor = v_splat(slope);
    vec x;
#define EACH(value) \
    for (ptrdiff_t i = 0; i < count; i += LANES) { \
        x = v_load(out + i); \
        v_store(out + i, value); \
    } \
    break;
    switch (a->kind) {
    case FC_CLIP: EACH(v_min(high, v_max(low, x)))
    case FC_HARDSIGMOID: EACH(v_div(NAMED(between)(0, 6, v_add(x, v_splat(3))), v_splat(6)))
    case FC_HARDSWISH:
        EACH(v_mul(v_max(v_splat(-3), x), v_div(NAMED(between)(0, 6, v_add(x, v_splat(3))), v_splat(6))))
    case FC_SIGMOID: EACH(NAMED(logistic)(v_splat(1), x, NULL, 0))
    case FC_SILU: EACH(NAMED(logistic)(v_max(v_splat(-EXP_MOST), x), x, NULL, 0))
    case FC_MISH: EACH(NAMED(logistic)(v_max(v_splat(-EXP_MOST), x), x, NULL, 1))
    case FC_TANH: EACH(NAMED(expm1_like)(FC_TANH, 0, x))
    case FC_ELU: EACH(NAMED(expm1_like)(FC_ELU, slope, x))
    case FC_SOFTPLUS: EACH(NAMED(softplus)(x))
    case FC_GELU: EACH(NAMED(gelu)(x))
    case FC_GELU_TANH: EACH(NAMED(gelu_tanh)(x))
    default: EACH(v_pick(x, v_mul(factor, x), x)) /* FC_LEAKY_RELU and FC_PRELU */
    }
#undef EACH
}

NOINLINE void NAMED(activate)(const fc_activation *a, void *out, const ptrdiff_t step, const ptrdiff_t runs,
                              const ptrdiff_t count) {
    const ptrdiff_t whole = count / LANES * LANES, rest = count - whole;
    expects(out && runs >= 0 && count >= 0 && (a->kind != FC_PRELU || a->slopes));
    for (ptrdiff_t run = 0; run < runs; run++) {
        real *map = (real *)out + run * step, part[LANES];
        const real slope = a->kind == FC_PRELU ? ((const real *)a->slopes)[run * a->slope_step] : (real)a->slope;
        if (a->residual) {
            const real *residual = (const real *)a->residual + run * step;
            ptrdiff_t i = 0;
            for (; i < whole; i += LANES) v_store(map + i, v_add(v_load(map + i), v_load(residual + i)));
            for (; i < count; i++) map[i] += residual[i];
        }
        NAMED(activate_vectors)(a, slope, map, whole);
        if (rest) {
            memset(part, 0, sizeof(part));
            memcpy(part, map + whole, (size_t)rest * sizeof(real));
            NAMED(activate_vectors)(a, slope, part, LANES);
            memcpy(map + whole, part, (size_t)rest * sizeof(real));
        }
    }
}
