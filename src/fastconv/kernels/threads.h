/* A pool of threads that share the units of one job, and a workspace for each of them. */
#ifndef FASTCONV_THREADS_H
#define FASTCONV_THREADS_H
#include <stddef.h>

/* A debug mode: each unit starts with a workspace full of NaN, which shows in the results if read before it is written. */
extern int fc_poisons;

/* Compute one unit of the job, in a workspace of workspace_bytes. */
typedef void (*fc_unit_fn)(void *workspace, const void *job, ptrdiff_t unit);

/* Return whether to stop; called on the caller's thread every ASK_NANOSECONDS while units run. It may itself run jobs. */
typedef int (*fc_stop_fn)(void);

/* Return whether a unit should return at once, unfinished; units ask every few milliseconds. */
int fc_stopping(void);

/* Run units 0 to `units` on up to so many threads, the caller's among them, and wait for all. The caller runs them alone while
   another call uses the pool. Return 0; or, with units left undone, -1 if there was no memory for a workspace, -2 if `stop`
   returned true. */
int fc_run(fc_unit_fn run, const void *job, ptrdiff_t units, size_t workspace_bytes, ptrdiff_t threads, fc_stop_fn stop);

#endif
