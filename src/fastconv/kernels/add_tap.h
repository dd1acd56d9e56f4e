/* Direct summation in every dtype: one tap of a filter, for a run of outputs. */
#ifndef FASTCONV_ADD_TAP_H
#define FASTCONV_ADD_TAP_H
#include <stddef.h>

/* out[o] += sum over channels c of weight[c * weight_step] * image[c * image_step + o * stride], for o below count. Integers wrap
   around; a product of complex numbers is the plain one, without repairs of NaN and infinity. */
typedef void fc_add_tap_fn(void *out, ptrdiff_t count, const void *image, ptrdiff_t stride, ptrdiff_t channels,
                           ptrdiff_t image_step, const void *weight, ptrdiff_t weight_step);
extern fc_add_tap_fn fc_add_tap_int32, fc_add_tap_int64, fc_add_tap_float32, fc_add_tap_float64;
extern fc_add_tap_fn fc_add_tap_complex64, fc_add_tap_complex128;

#endif
