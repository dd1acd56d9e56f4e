/* Dot products of rows, for the gradient of filter banks of few channels; lanes are pixels.

   Every sum is DOT_SUMS partial ones, of the columns with the same remainder by DOT_SUMS, whatever a vector holds: its bits
   are the same on every ISA. Vectors of fewer lanes take the columns part by part, in as many passes over the lines. */
#include "expects.h"
#include "kernels.h"
#include "move.inc.h"
#include "simd.h"
#include "variants.h"

/* Add the products of one vector of columns, or of those in mask. */
INLINE void NAMED(dot_columns)(const int gradients, const int images, const real *const *gradient, const real *const *image,
                               const ptrdiff_t column, const ptrdiff_t seen, const int masked, const unsigned mask,
                               vec (*sum)[DOT_MAX_IMAGES]) {
    vec maps[DOT_MAX_GRADIENTS];
    UNROLLED for (int i = 0; i < gradients; i++)
        maps[i] = masked ? NAMED(load_part)(gradient[i] + column, mask) : v_load(gradient[i] + column);
    UNROLLED for (int j = 0; j < images; j++) {
        const vec pixels = masked ? NAMED(load_part)(image[j] + seen, mask) : v_load(image[j] + seen);
        UNROLLED for (int i = 0; i < gradients; i++) sum[i][j] = v_fma(maps[i], pixels, sum[i][j]);
    }
}

INLINE void NAMED(dot)(const int gradients, const int images, const fc_dot *dot) {
    const ptrdiff_t rest = dot->columns % DOT_SUMS, whole = dot->columns - rest, lines = dot->lines;
    const ptrdiff_t gradient_step = dot->gradient_step, image_step = dot->image_step, stride = dot->stride;
    expects(stride == 1 || (stride > 1 && rest == 0));
    expects(dot->lines > 0 && dot->columns > 0 && dot->sums && (gradients == 1 || dot->sums_step >= images * DOT_SUMS));
    ROLLED for (ptrdiff_t part = 0; part < DOT_SUMS; part += LANES) {
        const ptrdiff_t left = rest - part, lanes = left < 0 ? 0 : left < LANES ? left : LANES;
        const unsigned mask = (1u << lanes) - 1;
        const real *gradient[DOT_MAX_GRADIENTS], *image[DOT_MAX_IMAGES];
        real *sums = (real *)dot->sums + part;
        vec sum[DOT_MAX_GRADIENTS][DOT_MAX_IMAGES];
        if (!whole && !lanes) break;
        UNROLLED for (int i = 0; i < gradients; i++) gradient[i] = (const real *)dot->gradient[i] + part;
        UNROLLED for (int j = 0; j < images; j++) image[j] = (const real *)dot->image[j] + part;
        UNROLLED for (int i = 0; i < gradients; i++)
            UNROLLED for (int j = 0; j < images; j++) sum[i][j] = v_load(sums + i * dot->sums_step + j * DOT_SUMS);
        ROLLED for (ptrdiff_t line = 0; line < lines; line++) {
            ROLLED for (ptrdiff_t column = 0, seen = 0; column < whole; column += DOT_SUMS, seen += stride * DOT_SUMS)
                NAMED(dot_columns)(gradients, images, gradient, image, column, seen, 0, 0, sum);
            if (lanes) NAMED(dot_columns)(gradients, images, gradient, image, whole, whole, 1, mask, sum);
            UNROLLED for (int i = 0; i < gradients; i++) gradient[i] += gradient_step;
            UNROLLED for (int j = 0; j < images; j++) image[j] += image_step;
        }
        UNROLLED for (int i = 0; i < gradients; i++)
            UNROLLED for (int j = 0; j < images; j++) v_store(sums + i * dot->sums_step + j * DOT_SUMS, sum[i][j]);
    }
}

#define DOT(gradients, images) \
    NOINLINE void NAMED(dot_##gradients##_##images)(const fc_dot *request) { NAMED(dot)(gradients, images, request); }
DOTS(DOT)
#undef DOT

/* Add up the partial sums: those 8 apart, then 4, 2 and 1. */
static void NAMED(add_dot_sums)(void *to, const void *sums, ptrdiff_t count) {
    expects(to && sums && count >= 0);
    for (ptrdiff_t n = 0; n < count; n++) {
        const real *part = (const real *)sums + n * DOT_SUMS;
        real half[DOT_SUMS / 2];
        for (int i = 0; i < 8; i++) half[i] = part[i] + part[i + 8];
        for (int i = 0; i < 4; i++) half[i] += half[i + 4];
        ((real *)to)[n] = (half[0] + half[2]) + (half[1] + half[3]);
    }
}
