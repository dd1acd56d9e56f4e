/* The kernels for any machine. Few that run x86-64 programs have nothing better, so there they had rather be small. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#  pragma GCC optimize("Os")
#endif
#include "isa.inc.h"
