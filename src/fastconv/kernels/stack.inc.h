/* The stacks: the sums of a sweep for LANES maps at once, each from a channel of its own. A vector holds one pixel of LANES
   channels, so that no load crosses a cache line, and no map is too narrow.

   map[x] = bias + sum over kernel rows u and taps v of weight[u, v] * image_row[u][x * stride_x + v - pad], in order. */
#include "expects.h"
#include "kernels.h"
#include "simd.h"
#include "variants.h"

INLINE void NAMED(stack)(const int pixels, const int taps, const int stride_x, const fc_stack *stack) {
    vec sum[STACK_MAX_PIXELS];
    const ptrdiff_t start = stack->column * stride_x - stack->pad, columns = stack->columns;
    const real *weight = stack->weight;
    real *map = (real *)stack->map + stack->column * LANES;
    const int skip_zeros = stack->skip_zeros;
    expects(weight && stack->bias && stack->image_row && stack->map);
    expects(stack->kernel_rows > 0 && columns >= 0 && stack->column >= 0 && stack->pad >= 0);
    UNROLLED for (int j = 0; j < pixels; j++) sum[j] = v_load((const real *)stack->bias);
    ROLLED for (ptrdiff_t u = 0; u < stack->kernel_rows; u++, weight += taps * LANES) {
        const real *image = stack->image_row[u];
        const ptrdiff_t first = -start, last = image ? columns - start : first; /* pixels of the image, from `start` on */
        vec w[STACK_MAX_TAPS];
        if (!image && skip_zeros) continue;
        UNROLLED for (int v = 0; v < taps; v++) w[v] = v_load(weight + v * LANES);
        UNROLLED for (int i = 0; i < (pixels - 1) * stride_x + taps; i++) {
            const int inside = first <= i && i < last;
            if (!inside && skip_zeros) continue;
            const vec x = inside ? v_load(image + (start + i) * LANES) : v_splat(0);
            UNROLLED for (int j = 0; j < pixels; j++)
                if (0 <= i - j * stride_x && i - j * stride_x < taps) sum[j] = v_fma(w[i - j * stride_x], x, sum[j]);
        }
    }
    UNROLLED for (int j = 0; j < pixels; j++) v_store(map + j * LANES, sum[j]);
}

#define STACK(pixels, taps, stride_x) \
    NOINLINE void NAMED(stack_##pixels##_##taps##_##stride_x)(const fc_stack *stack) { \
        NAMED(stack)(pixels, taps, stride_x, stack); \
    }
#define STACK_ROW(pixels, taps, stride_x) {pixels, taps, stride_x, NAMED(stack_##pixels##_##taps##_##stride_x)},
STACKS(STACK)
static const fc_stack_variant NAMED(stacks)[] = {STACKS(STACK_ROW) {0, 0, 0, NULL}};
#undef STACK
#undef STACK_ROW
