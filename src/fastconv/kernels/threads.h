/* A pool of threads that share the units of one job, and a workspace for each of them. */
#ifndef FASTCONV_THREADS_H
#define FASTCONV_THREADS_H
#include <stddef.h>

/* A debug mode: every unit finds its workspace full of NaN, so that what it reads before it writes it shows in the results. */
extern int fc_poisons;

/* Compute one unit of the job in a workspace of the size that was asked for. */
typedef void (*fc_unit_fn)(void *workspace, const void *job, ptrdiff_t unit);

/* Asked by the caller's thread now and then while units run: whether to stop. It may itself run jobs. */
typedef int (*fc_stop_fn)(void);

/* For units to ask every few milliseconds: whether to return at once, whatever is not done. */
int fc_stopping(void);

/* Run units 0..units on up to so many threads, the caller's among them; all are done, or given up, on return. The caller
   runs alone if another call has the pool. Return 0, or -1 if there was no memory for a workspace, or -2 if stop said so. */
int fc_run(fc_unit_fn run, const void *job, ptrdiff_t units, size_t workspace_bytes, ptrdiff_t threads, fc_stop_fn stop);

#endif
