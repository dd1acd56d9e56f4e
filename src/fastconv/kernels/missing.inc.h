/* Rows of images with holes: numbers apart from what is missing, and sums divided by the weights seen.

   Choices go by the bits of floats: comparisons of floats could trap, so that compilers would not vectorise these loops. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "expects.h"
#include "kernels.h"
#include "simd.h"

#if defined(__GNUC__) && !defined(__clang__) /* vectorise these loops, which are no intrinsics */
#  pragma GCC push_options
#  pragma GCC optimize("O3")
#endif
#undef bits
#if REAL_BITS == 32
#  define bits int32_t
#else
#  define bits int64_t
#endif

INLINE bits NAMED(bits_of)(const real x) {
    bits same;
    memcpy(&same, &x, sizeof(x));
    return same;
}

NOINLINE int NAMED(keep)(void *kept_, void *seen_, const void *pixels_, const unsigned char *mask, ptrdiff_t count, int ignores_nan) {
    const bits one = NAMED(bits_of)(1), sign = NAMED(bits_of)((real)-0.0);
    const bits largest = ignores_nan ? NAMED(bits_of)((real)INFINITY) : ~sign; /* magnitude of what is kept */
    bits *__restrict kept = kept_, *__restrict seen = seen_;
    const bits *__restrict pixels = pixels_;
    bits lost = 0;
    expects(pixels && count >= 0 && (seen || !kept) && (kept || !mask));
    if (!kept)
        for (ptrdiff_t i = 0; i < count; i++) lost |= -(bits)((pixels[i] & ~sign) > largest);
    else if (mask)
        for (ptrdiff_t i = 0; i < count; i++) {
            const bits hidden = -(bits)((pixels[i] & ~sign) > largest) | -(bits)(mask[i] == 0);
            kept[i] = pixels[i] & ~hidden;
            seen[i] = one & ~hidden;
        }
    else
        for (ptrdiff_t i = 0; i < count; i++) {
            const bits hidden = -(bits)((pixels[i] & ~sign) > largest);
            kept[i] = pixels[i] & ~hidden;
            seen[i] = one & ~hidden;
        }
    return lost != 0;
}

NOINLINE void NAMED(weigh)(void *maps_, const void *sums_, const void *seen_, ptrdiff_t count, double total_, double bias_) {
    const real total = (real)total_, bias = (real)bias_;
    const real *__restrict sums = sums_, *__restrict seen = seen_;
    real *__restrict maps = maps_;
    expects(maps && sums && seen && count >= 0);
    if (total == 0)
        for (ptrdiff_t i = 0; i < count; i++) maps[i] = sums[i] + bias;
    else
        for (ptrdiff_t i = 0; i < count; i++) maps[i] = total / seen[i] * sums[i] + bias;
}
#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC pop_options
#endif
