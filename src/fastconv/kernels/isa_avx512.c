/* The micro-kernels for AVX-512. */
#if defined(__x86_64__) || defined(_M_X64)
#  define SIMD_AVX512
#  include "isa.inc.h"
#endif
