/* The micro-kernels for any machine. Nearly all x86-64 CPUs have AVX2, so there small code matters more than fast code. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#  pragma GCC optimize("Os")
#endif
#include "isa.inc.h"
