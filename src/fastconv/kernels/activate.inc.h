/* Activations: functions of neighbouring outputs, in place.

   All exponentials are exp(v) = 2^n (1 + e): v = n ln 2 + r with an integer n, and the polynomial e = exp(r) - 1 keeps its
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
#undef CUBIC_LEAST
#undef CUBIC_MOST
#undef CUBIC
#undef CUBIC_ROOT
#undef CUBIC_ROOT_LOW
#undef CUBIC_LN2_HIGH
#undef CUBIC_LN2_LOW
#undef NORMAL_MOST
#undef NORMAL_ZERO
#undef NORMAL_SHIFT
#if REAL_BITS == 32
#  define RAISED 0x1p64f /* keeps intermediate results clear of subnormal numbers */
#  define LN2_HIGH 0.693359375f /* of few bits: products with exponents are exact */
#  define LN2_LOW -2.12194440e-4f
#  define EXP_MOST 120 /* exp(-u) rounds to zero from here on, */
#  define ONE_MOST 80 /* and 1 + exp(-u) to 1 well before this; */
#  define CUBIC_LEAST -11 /* gelu_tanh(x) is zero from here on, */
#  define CUBIC_MOST 9.5f /* and x from here; */
#  define CUBIC 0.0713548139f /* it is x logistic(CUBIC (x^3 + CUBIC_ROOT x)) */
#  define CUBIC_ROOT 22.363861083984375f /* of few bits, and the rest; */
#  define CUBIC_ROOT_LOW -1.081748e-06f
#  define CUBIC_LN2_HIGH 9.714111328125f /* ln 2 / CUBIC, in the same way */
#  define CUBIC_LN2_LOW -2.0300102e-05f
#  define NORMAL_MOST 14.6f /* gelu is zero from the negative of this on */
#  define NORMAL_ZERO 1.3459339f
#  define NORMAL_SHIFT 3.0625f
/* (exp(r) - 1 - r) / r^2 for |r| <= ln 2 / 2; (log(1 + t) - t) / t^2 for 0 <= t <= 1; and of the normal distribution, of which
   p(z) lies beyond z, (1/2 - p(z)) / z by z^2 for z < 0.65, and (1 - 64/19 z exp(z^2 / 2) p(z)) / d by
   d = (z - NORMAL_ZERO) / (z + NORMAL_SHIFT) for z >= 0.65. */
static const real NAMED(exp_terms)[] = {0.5f, 0.166665465f, 0.0416662917f, 0.00836636685f, 0.00139460701f};
static const real NAMED(log_terms)[] = {-0.499999315f, 0.333304644f, -0.249580204f, 0.1969212f, -0.15344964f, 0.106613241f,
    -0.0574596971f, 0.0200878307f, -0.00329088024f};
static const real NAMED(normal_near)[] = {0.398942143f, -0.0664862394f, 0.00993938185f, -0.00108081405f};
static const real NAMED(normal_far)[] = {-1.23541462f, 1.78106117f, -1.24114406f, 0.281439930f, 0.153056994f,
    -0.0618962714f, -0.0453716628f, 0.0245718919f};
#else
#  define RAISED 0x1p512
#  define LN2_HIGH 0x1.62e42feep-1
#  define LN2_LOW 1.9082149292705877e-10
#  define EXP_MOST 760
#  define ONE_MOST 700
#  define CUBIC_LEAST -22
#  define CUBIC_MOST 20.9
#  define CUBIC 0.071354816272600249
#  define CUBIC_ROOT 0x1.65d25edd9ed80p+4
#  define CUBIC_ROOT_LOW 7.0680847336708613e-15
#  define CUBIC_LN2_HIGH 0x1.36d9d56d78000p+3
#  define CUBIC_LN2_LOW -4.9373498940974758e-12
#  define NORMAL_MOST 39
#  define NORMAL_ZERO 1.3459339285022651
#  define NORMAL_SHIFT 4
static const real NAMED(exp_terms)[] = {0.50000000000000033, 0.16666666666666682, 0.041666666666588151,
    0.0083333333333159929, 0.0013888888928867522, 0.00019841269900338422, 2.4801507695287671e-05, 2.755723006092014e-06,
    2.7625311893008181e-07, 2.5113899996657019e-08};
static const real NAMED(log_terms)[] = {-0.49999999999999462, 0.33333333333235021, -0.24999999993675789,
    0.19999999791311576, -0.16666662498456425, 0.1428565889793072, -0.1249947962570705, 0.11107506103598659,
    -0.099810155065410619, 0.090131559390253899, -0.08081218255745376, 0.070355574743238336, -0.057502282153836799,
    0.042300464998215472, -0.026744302377857986, 0.013838831404079585, -0.0055432326619759172, 0.0015957843937729082,
    -0.00029177049321515671, 2.5330857762819513e-05};
static const real NAMED(normal_near)[] = {0.3989422804014327, -0.06649038006690532, 0.009973557010027596,
    -0.0011873282152804403, 0.00011543468517694275, -9.444639532330828e-06, 6.659018515559215e-07, -4.106737686711476e-08,
    2.0690770966026087e-09};
static const real NAMED(normal_far)[] = {-1.4981388128413453, 2.9377245209315714, -3.3949900567607276, 2.3905275675139226,
    -0.8223620024370513, -0.1067529190479923, 0.1831809686798492, 0.0015993611629337905, -0.04168855133379472,
    -0.002946195461370153, 0.01020981300131784, 0.002738218025994, -0.0018266026678115093, -0.0027124891114698375,
    0.0032188875841230014, -0.0043752097896830825, 0.005322280704705744, -0.0035940470384555304, 0.001231170728091832,
    -0.0001714779148021885};
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

/* exp(r) - 1 for |r| <= ln 2 / 2. */
INLINE vec NAMED(small_exponential)(const vec r) {
    const vec square = v_mul(r, r);
    return v_fma(square, POLYNOMIAL(r, square, NAMED(exp_terms)), r);
}

/* e of exp(v), and n + ROUNDER. */
INLINE vec NAMED(exponential)(const vec v, vec *n) {
    vec whole;
    *n = v_fma(v, v_splat((real)1.4426950408889634), v_splat(ROUNDER));
    whole = v_sub(*n, v_splat(ROUNDER));
    return NAMED(small_exponential)(v_fma(whole, v_splat(-LN2_LOW), v_fma(whole, v_splat(-LN2_HIGH), v)));
}

/* w / (1 + t), or that with 1 - t / (1 + 2 t) for 1, which mish is; by e and n + ROUNDER of t = exp(-v). */
INLINE vec NAMED(quotient)(const vec w, const vec v, const vec e, const vec n, const int is_mish) {
    const vec one = v_pick(v, v_splat(1 / RAISED), v_splat(1)), scale = v_scale(one, n), sum = v_add(scale, one);
    const vec t = v_fma(e, scale, scale);
    vec lost = v_fma(e, scale, v_sub(one, v_sub(sum, scale))); /* by rounding the sum, and e */
    if (is_mish) lost = v_fma(v_div(v_neg(t), v_fma(v_splat(2), t, one)), one, lost);
    return v_mul(v_div(w, v_add(lost, sum)), one);
}

INLINE vec NAMED(logistic)(const vec w, const vec v, const int is_mish) {
    vec n;
    const vec e = NAMED(exponential)(NAMED(between)(-ONE_MOST, EXP_MOST, v_neg(v)), &n);
    return NAMED(quotient)(w, v, e, n, is_mish);
}

INLINE vec NAMED(expm1_like)(const int kind, const vec alpha, const vec x) {
    const vec one = v_splat(1);
    const vec v = kind == FC_TANH ? v_mul(v_splat(-2), v_abs(x)) : v_min(v_splat(0), x);
    vec n, e, scale;
    e = NAMED(exponential)(v_max(v_splat(-40), v), &n);
    scale = v_scale(one, n);
    n = v_fma(e, scale, v_sub(scale, one)); /* exp(v) - 1 */
    if (kind == FC_ELU) return v_pick(x, v_mul(alpha, n), x);
    return v_div(v_pick(x, n, v_neg(n)), v_fma(e, scale, v_add(scale, one)));
}

INLINE vec NAMED(softplus)(const vec x) { /* max(x, 0) + log(1 + t), t = exp(-|x|) */
    vec n, t, square;
    const vec e = NAMED(exponential)(v_max(v_splat(-EXP_MOST), v_neg(v_abs(x))), &n);
    n = v_mul(v_scale(v_splat(RAISED), n), v_splat(1 / RAISED));
    t = v_fma(e, n, n);
    square = v_mul(t, t);
    t = v_fma(square, POLYNOMIAL(t, square, NAMED(log_terms)), v_max(v_splat(0), x));
    return v_pick(v_sub(v_splat(20), x), x, v_add(n, v_fma(e, n, t)));
}

/* x (1/2 - p(x)), or max(x, 0) - z p(z), z = |x|: 2^n (1 + e) = exp(-z^2 / 2), by what rounding the square lost as well */
INLINE vec NAMED(gelu)(const vec x) {
    const vec z = v_min(v_splat(NORMAL_MOST), v_abs(x)), square = v_mul(z, z), half = v_splat((real)0.5);
    const vec near = v_mul(x, POLYNOMIAL(square, v_mul(square, square), NAMED(normal_near)));
    const vec d = v_div(v_sub(z, v_splat(NORMAL_ZERO)), v_add(z, v_splat(NORMAL_SHIFT)));
    const vec far = v_mul(d, POLYNOMIAL(d, v_mul(d, d), NAMED(normal_far)));
    vec n = v_fma(square, v_splat((real)-0.72134752044448170), v_splat(ROUNDER)), e = v_sub(n, v_splat(ROUNDER));
    e = v_fma(e, v_splat(-LN2_LOW), v_fma(v_splat((real)-0.5), square, v_mul(e, v_splat(-LN2_HIGH))));
    e = NAMED(small_exponential)(v_fma(v_splat((real)-0.5), v_fma(z, z, v_neg(square)), e));
    n = v_scale(v_splat(RAISED * (real)0.296875), n);
    n = v_fma(v_fma(v_neg(far), v_add(e, v_splat(1)), e), n, n);
    return v_pick(v_sub(z, v_splat((real)0.65)), v_fma(x, near, v_mul(half, x)),
                  v_fma(n, v_splat(-1 / RAISED), v_max(v_splat(0), x)));
}

INLINE vec NAMED(gelu_tanh)(const vec x) {
    const vec w = v_max(v_splat(CUBIC_LEAST), x), y = v_min(v_splat(CUBIC_MOST), w), root = v_splat(CUBIC_ROOT);
    const vec high = v_fma(y, y, root), low = v_add(v_fma(y, y, v_sub(root, high)), v_splat(CUBIC_ROOT_LOW));
    const vec n = v_fma(v_mul(y, high), v_splat((real)-1.4426950408889634 * CUBIC), v_splat(ROUNDER));
    const vec whole = v_sub(n, v_splat(ROUNDER));
    const vec rest = v_fma(whole, v_splat(-CUBIC * CUBIC_LN2_LOW), v_mul(v_splat(-CUBIC), v_mul(y, low)));
    const vec r = v_fma(v_splat(-CUBIC), v_fma(y, high, v_mul(whole, v_splat(CUBIC_LN2_HIGH))), rest);
    return NAMED(quotient)(w, x, NAMED(small_exponential)(r), n, 0);
}

/* Runs of one vector or more. The last one of a run ends with it, and is loaded before the one that it overlaps is stored. */
NOINLINE void NAMED(activate_vectors)(const fc_activation *a, real *out, const ptrdiff_t step, const ptrdiff_t runs,
                                      const ptrdiff_t count) {
    const vec low = v_splat((real)a->low), high = v_splat((real)a->high), alpha = v_splat((real)a->slope);
    const ptrdiff_t last = count - LANES;
#define EACH_BY(slope, value) \
    for (ptrdiff_t run = 0; run < runs; run++, out += step) { \
        const vec factor = slope; \
        vec next = v_load(out); \
        for (ptrdiff_t done = 0, i = 0; done < count; done += LANES) { \
            real *const at = out + i; \
            const vec x = next; \
            i = i + LANES < last ? i + LANES : last; \
            next = v_load(out + i); \
            v_store(at, value); \
        } \
        (void)factor; \
    } \
    break;
#define EACH(value) EACH_BY(alpha, value)
    switch (a->kind) {
    case FC_CLIP: EACH(v_min(high, v_max(low, x)))
    case FC_HARDSIGMOID: EACH(v_div(NAMED(between)(0, 6, v_add(x, v_splat(3))), v_splat(6)))
    case FC_HARDSWISH:
        EACH(v_mul(v_max(v_splat(-3), x), v_div(NAMED(between)(0, 6, v_add(x, v_splat(3))), v_splat(6))))
    case FC_SIGMOID: EACH(NAMED(logistic)(v_splat(1), x, 0))
    case FC_SILU: EACH(NAMED(logistic)(v_max(v_splat(-EXP_MOST), x), x, 0))
    case FC_MISH: EACH(NAMED(logistic)(v_max(v_splat(-EXP_MOST), x), x, 1))
    case FC_TANH: EACH(NAMED(expm1_like)(FC_TANH, alpha, x))
    case FC_ELU: EACH(NAMED(expm1_like)(FC_ELU, alpha, x))
    case FC_SOFTPLUS: EACH(NAMED(softplus)(x))
    case FC_GELU: EACH(NAMED(gelu)(x))
    case FC_GELU_TANH: EACH(NAMED(gelu_tanh)(x))
    case FC_PRELU: EACH_BY(v_splat(((const real *)a->slopes)[run * a->slope_step]), v_pick(x, v_mul(factor, x), x))
    default: EACH(v_pick(x, v_mul(factor, x), x)) /* FC_LEAKY_RELU */
    }
#undef EACH
#undef EACH_BY
}

NOINLINE void NAMED(activate)(const fc_activation *a, void *out, const ptrdiff_t step, const ptrdiff_t runs,
                              const ptrdiff_t count) {
    fc_activation of_run = *a;
    expects(out && runs >= 0 && count >= 0 && (a->kind != FC_PRELU || a->slopes));
    for (ptrdiff_t run = 0; run < runs && a->residual; run++) {
        const real *residual = (const real *)a->residual + run * step;
        real *map = (real *)out + run * step;
        ptrdiff_t i = 0;
        for (; i + LANES <= count; i += LANES) v_store(map + i, v_add(v_load(map + i), v_load(residual + i)));
        for (; i < count; i++) map[i] += residual[i];
    }
    if (count >= LANES) {
        NAMED(activate_vectors)(a, (real *)out, step, runs, count);
        return;
    }
    for (ptrdiff_t run = 0; run < runs && count; run++) {
        real *map = (real *)out + run * step, part[LANES] = {0};
        if (a->kind == FC_PRELU) of_run.slopes = (const real *)a->slopes + run * a->slope_step;
        memcpy(part, map, (size_t)count * sizeof(real));
        NAMED(activate_vectors)(&of_run, part, 0, 1, LANES);
        memcpy(map, part, (size_t)count * sizeof(real));
    }
}
