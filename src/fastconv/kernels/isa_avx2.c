/* The micro-kernels for AVX2. */
#if defined(__x86_64__) || defined(_M_X64)
#  define SIMD_AVX2
#  include "isa.inc.h"
#endif
