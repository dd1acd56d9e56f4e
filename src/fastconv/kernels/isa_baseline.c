/* The kernels for any machine. */
#include "table.inc.h"
