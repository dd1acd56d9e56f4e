/* Activations of runs of outputs, against the C library's functions; residuals and slopes. */
#include "check.h"
#include <math.h>

static double expected_of(const fc_activation *a, double slope, double x) {
    const double root = sqrt(8 / acos(-1));
    switch (a->kind) {
    case FC_CLIP: return clip(x, a->low, a->high);
    case FC_HARDSIGMOID: return clip(x + 3, 0, 6) / 6;
    case FC_HARDSWISH: return x * clip(x + 3, 0, 6) / 6;
    case FC_SIGMOID: return 1 / (1 + exp(-x));
    case FC_SILU: return x / (1 + exp(-x));
    case FC_TANH: return tanh(x);
    case FC_ELU: return x < 0 ? slope * expm1(x) : x;
    case FC_SOFTPLUS: return log1p(exp(x));
    case FC_MISH: return x * tanh(log1p(exp(x)));
    case FC_GELU: return x * erfc(-x * sqrt(0.5)) / 2;
    case FC_GELU_TANH: return x / (1 + exp(-root * (x + 0.044715 * x * x * x)));
    default: return x < 0 ? slope * x : x;
    }
}

static void check_activation(const fc_kernels *kernels, int kind, ptrdiff_t runs, ptrdiff_t count, int has_residual) {
    const ptrdiff_t step = count + 3, numbers = (runs - 1) * step + count; /* exactly what may be read: a sanitizer sees more */
    void *out = draw(numbers), *residual = draw(numbers), *slopes = draw(2 * runs), *before = copy(out, numbers);
    const fc_activation a = {.kind = kind, .low = kind == FC_CLIP ? -1 : 0.25, .high = 2, .slope = 0.25, .slopes = slopes,
                             .slope_step = 2, .residual = has_residual ? residual : NULL};
    put(out, 0, NAN), put(before, 0, NAN);
    kernels->activate(&a, out, step, runs, count);
    for (ptrdiff_t i = 0; i < numbers; i++) {
        const double x = get(before, i) + (has_residual && i % step < count ? get(residual, i) : 0), found = get(out, i);
        const double slope = kind == FC_PRELU ? get(slopes, i / step * 2) : a.slope;
        const double expected = i % step < count ? expected_of(&a, slope, x) : x;
        if (!(fabs(found - expected) <= 1e-5 * fabs(expected)) && !(isnan(x) && isnan(found))) {
            printf("activation %d of %g is %g instead of %g, at %td of %td\n", kind, x, found, expected, i, numbers);
            fail("an activation is wrong");
        }
    }
    free(out), free(residual), free(slopes), free(before);
}

void check_activations(const fc_kernels *kernels) {
    for (int kind = FC_CLIP; kind <= FC_GELU_TANH; kind++)
        for (ptrdiff_t count = 1; count <= 3 * kernels->lanes + 1; count++)
            for (ptrdiff_t runs = 1; runs <= 3; runs++)
                for (int has_residual = 0; has_residual < 2; has_residual++)
                    check_activation(kernels, kind, runs, count, has_residual);
}
