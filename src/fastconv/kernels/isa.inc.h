/* All micro-kernels of one ISA, for float and for double, and the table of them. */
#include "kernels.h"

#define REAL_BITS 32
#include "simd.h"
SIMD_BEGIN
#include "tile.inc.h"
#include "interleaved.inc.h"
#include "sweep.inc.h"
#include "stack.inc.h"
#include "winograd.inc.h"
#include "gradient.inc.h"
#include "missing.inc.h"
#include "convert.inc.h"
#include "box.inc.h"
#include "activate.inc.h"
SIMD_END
#undef REAL_BITS

#define REAL_BITS 64
#include "simd.h"
SIMD_BEGIN
#include "tile.inc.h"
#include "interleaved.inc.h"
#include "sweep.inc.h"
#include "stack.inc.h"
#include "winograd.inc.h"
#include "gradient.inc.h"
#include "missing.inc.h"
#include "convert.inc.h"
#include "box.inc.h"
#include "activate.inc.h"
SIMD_END
#undef REAL_BITS

#define STRING_(x) #x
#define STRING(x) STRING_(x)
const fc_isa SIMD_CAT(fc_, SIMD_NAME) = {
    STRING(SIMD_NAME),
#define REAL_BITS 32
#include "table.inc.h"
#undef REAL_BITS
#define REAL_BITS 64
#include "table.inc.h"
};
