/* The micro-kernels for NEON. */
#if defined(__aarch64__) || defined(_M_ARM64)
#  define SIMD_NEON
#  include "isa.inc.h"
#endif
