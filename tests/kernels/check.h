/* What the checks of micro-kernels share: arrays of either type, seen as doubles, and how results are compared. */
#ifndef CHECK_H
#define CHECK_H
#include "kernels.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TAPS = 32, MAX_LINES = 48 };

/* What is tried of a register tile: a set of these. */
enum { PACKED = 1, ADDS_TO_MAP = 2, CLIPS = 4, PACKS_PANEL = 8, READS_PANEL = 16, VARIANTS = 24 };

extern const char *isa_name; /* of the table that is checked */
extern int is_double;        /* the type of its numbers */

double get(const void *array, ptrdiff_t i);
void put(void *array, ptrdiff_t i, double value);
size_t bytes(ptrdiff_t count);

/* Return a pointer to number i of an array. */
void *at(const void *array, ptrdiff_t i);

/* Return a new array of integers from -4 to 4. */
void *draw(ptrdiff_t count);
void *copy(const void *array, ptrdiff_t count);

/* Return the first number of an array, after 1 to `lanes` others, that is aligned to vectors, as non-temporal stores need. */
void *aligned(void *array, ptrdiff_t lanes);

double clip(double value, double low, double high);

/* Compare two arrays, number by number, any NaN equal to another, and free both; exit if they differ. */
void compare(void *found, void *expected, ptrdiff_t count, const char *kernel, ptrdiff_t a, ptrdiff_t b, ptrdiff_t c);
void fail(const char *what);

void check_tiles(const fc_kernels *kernels);
void check_interleaved_rows(const fc_kernels *kernels);
void check_sweeps(const fc_kernels *kernels);
void check_stacks(const fc_kernels *kernels);
void check_forms(const fc_kernels *kernels);
void check_movement(const fc_kernels *kernels);
void check_gradients(const fc_kernels *kernels);
void check_missing(const fc_kernels *kernels);
void check_conversions(const fc_kernels *kernels);
void check_boxes(const fc_kernels *kernels);
void check_activations(const fc_kernels *kernels);
void check_transforms(const fc_kernels *kernels);
void check_bytes(const fc_kernels *kernels);

/* Check the pool of threads; return how many checks that were. */
int check_pool(void);
#endif
