/* expects(condition): a precondition of the function that it opens. A build that defines FC_CHECKS, as the tests of the
   micro-kernels do, prints one that does not hold and aborts; other builds do not evaluate it. */
#ifndef FASTCONV_EXPECTS_H
#define FASTCONV_EXPECTS_H
#ifdef FC_CHECKS
#  include <stdio.h>
#  include <stdlib.h>
#  define expects(condition) \
      ((condition) ? (void)0 : (fprintf(stderr, "%s:%d: %s expects %s\n", __FILE__, __LINE__, __func__, #condition), abort()))
#else
#  define expects(condition) ((void)sizeof(!(condition)))
#endif
#endif
