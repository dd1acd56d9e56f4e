/* The contract between the Cython core and C: for every instruction set one table of micro-kernels, each doing one block of work.

   Sizes and steps count numbers, not bytes; a table holds the kernels for one type (float or double), behind void pointers. */
#ifndef FASTCONV_KERNELS_H
#define FASTCONV_KERNELS_H
#include <math.h>
#include <stddef.h>

enum { TILE_MAX_FILTERS = 8, TILE_MAX_VECTORS = 6, FILTER_TILE_VECTORS = 3, SWEEP_MAX_ROWS = 7, SWEEP_MAX_VECTORS = 6, SWEEP_PAIR = 16,
       STACK_MAX_PIXELS = 14, STACK_MAX_TAPS = 7, PEAK_SUMS = 12, TRANSFORM_MAX_POSITIONS = 9, FEW_MAX_FILTERS = 4 };

/* Bring a line of memory, which may lie anywhere, into the cache. */
static inline void prefetch_l1(const void *line) {
#if defined(__GNUC__)
    __builtin_prefetch(line);
#else
    (void)line;
#endif
}

/* A tile of pixels: some filters times some vectors of output pixels.
   map[j][i * map_step + lane] = sum over taps t of weight[i * filter_step + t * tap_step] * image[j][offset[t] + lane],
   plus bias[i], or what the map holds already if bias is NULL; packed between low and high. */
typedef struct {
    const void *weight;
    ptrdiff_t filter_step, tap_step; /* in bytes: of steps in numbers, compilers guess that they are 1, and write every loop twice */
    const ptrdiff_t *offset;
    ptrdiff_t taps;
    const void *image[TILE_MAX_VECTORS];
    void *pack_to;            /* where to put what is seen through each tap, for other filters; NULL: nowhere */
    const void *packed;      /* where that is to be found, vectors side by side, rather than in the image; NULL: nowhere */
    ptrdiff_t packed_step;   /* from one tap to the next, in bytes */
    const void *prefetch;     /* pixels of a later tile, to be fetched: vectors side by side if these are packed, one if they were */
    ptrdiff_t prefetch_step;  /* from one tap to the next, in bytes */
    void *map[TILE_MAX_VECTORS];
    ptrdiff_t map_step;
    const void *bias;
    double low, high;
} fc_tile;
typedef void fc_tile_fn(const fc_tile *tile);

/* A tile of filters, the roles exchanged: some output pixels times some vectors of filters, whose packed weights pass by as a stream.
   sums[i * sums_step + lane] = sum over taps t of pixel[i][offset[t]] * weight[t * width + lane], lanes of all vectors,
   plus bias[lane], or what sums hold already if bias is NULL; packed between low and high. */
typedef struct {
    const void *pixel[TILE_MAX_FILTERS];
    const ptrdiff_t *offset;
    ptrdiff_t taps;
    const void *weight;
    ptrdiff_t width;
    const void *prefetch; /* weights that are wanted later, to be fetched: a vector for each of this tile's, */
    ptrdiff_t prefetch_step; /* so nontemporal from one tap to the next */
    void *sums;
    ptrdiff_t sums_step;
    const void *bias;
    double low, high;
} fc_filter_tile;
typedef void fc_filter_tile_fn(const fc_filter_tile *tile);

/* A panel: for every tap, the pixels that it sees when a run of output pixels is computed, side by side.
   panel[t * width + start[s] + i] = image[seen[s] + offset[t] + i] for run s of length[s] pixels.
   May read a vector past the end of a run, and write a vector past the end of the panel. */
typedef struct {
    void *panel;
    ptrdiff_t width;
    const void *image;
    const ptrdiff_t *offset;
    ptrdiff_t taps, runs;
    const ptrdiff_t *start, *seen, *length;
} fc_im2col;
typedef void fc_im2col_fn(const fc_im2col *panel);

/* A frame: some rows of an image, from column `first` on, dealt out `phases` phases, 1, 2, 4 or 8, to so many slots; zeros around it.
   to[(r * slots + slot) * to_step + i] = from[r * from_step + first + phases * i + slot], for i below to_step, where that is one
   of the columns from 0 on. May write a vector behind the last row. */
typedef struct {
    void *to;
    ptrdiff_t to_step, slots;
    const void *from;
    ptrdiff_t from_step, first, columns;
    ptrdiff_t rows, phases;
} fc_deinterleave;
typedef void fc_deinterleave_fn(const fc_deinterleave *frame);

/* A sweep: some rows times some vectors of one output map, from one image.
   Vector j lies at column + j * lanes, the last one at column + last; with `at` for that and all the lanes,
   map[i * map_step + at] = bias + sum over kernel rows u and taps v of
   weight[u * taps + v] * image_row[i * stride + u][offset[v] + at * across]; packed between low and high.
   Where the tile has edges, only lanes with their bit set in mask[v] (of vector 0) and last_mask[v] are read, others are zero;
   and a single vector writes only the lanes in `store_mask`. If across is 2, tap v + 1 sees the pixel behind that of an even tap v,
   mask[v] belongs to the vector at offset[v], and mask[v + 1] to the next one. */
typedef struct {
    const void *weight;
    const ptrdiff_t *offset;
    const unsigned *mask, *last_mask;
    unsigned store_mask;
    ptrdiff_t kernel_rows, taps;
    const void *const *image_row;
    ptrdiff_t column, last;
    void *map;
    ptrdiff_t map_step;
    double bias, low, high;
    int nontemporal; /* to the map past the caches; all vectors lie at multiples of their size */
} fc_sweep;
typedef void fc_sweep_fn(const fc_sweep *sweep);

/* The place of tap v when taps come in pairs, SWEEP_PAIR apart: what both see of a row are vectors of the same place in memory. */
static inline ptrdiff_t fc_paired_tap(ptrdiff_t taps, ptrdiff_t v) {
    const ptrdiff_t first = v - v % (2 * SWEEP_PAIR), some = taps - first < 2 * SWEEP_PAIR ? taps - first : 2 * SWEEP_PAIR;
    const ptrdiff_t pairs = some > SWEEP_PAIR ? some - SWEEP_PAIR : 0, i = v - first;
    return first + (i < 2 * pairs ? i / 2 + i % 2 * SWEEP_PAIR : i - pairs);
}

/* What a sweep is made for: so many output rows and vectors, kernels of so many rows and taps, a stride down the rows, and one
   across the columns. Kernel 0 is any of at least as many rows as are computed, stride 0 any. A single row without edges is for kernels
   of one row, whose taps see pixels side by side and come in pairs: offset[v] = offset[0] + fc_paired_tap(taps, v). */
typedef struct {
    ptrdiff_t rows, vectors, kernel, stride_y, stride_x, masked;
    fc_sweep_fn *run;
} fc_sweep_variant;

/* A stack: some neighbouring pixels of a row of `lanes` maps, each from a channel of its own; every number is a vector, a lane a map.
   map[pixel] = bias + sum over kernel rows u and taps v of weight[u, v] * image_row[u][pixel * across + v - pad], for pixels from
   column on. Rows that are NULL, and pixels that are not from 0 to columns, hold zeros; whether to leave out products with them. */
typedef struct {
    const void *weight, *bias;
    ptrdiff_t kernel_rows, columns, pad;
    const void *const *image_row;
    ptrdiff_t column;
    void *map;
    int skip_zeros;
} fc_stack;
typedef void fc_stack_fn(const fc_stack *stack);

/* What a stack is made for. */
typedef struct {
    ptrdiff_t pixels, taps, stride_x;
    fc_stack_fn *run;
} fc_stack_variant;

/* A transform along one axis, of runs of items, each made of vectors: by the matrix B of a form forward, by its A inversely.
   to[run * to_run_step + item * to_item_step + i * to_step] comes from from[j][run * run_step + item * item_step] for all j. */
typedef struct {
    const void *matrix;
    const void *from[TRANSFORM_MAX_POSITIONS];
    ptrdiff_t item_step, run_step;
    void *to;
    ptrdiff_t to_step, to_item_step, to_run_step;
    ptrdiff_t items, runs;
} fc_transform;
typedef void fc_transform_fn(const fc_transform *transform);

/* A blend: the sums of a few channels for some filters, transformed back along the columns without a stop in memory.
   Lanes are tiles. For filter f and run b, with sum[i] = sum over channels c and then
   weight[((b * channels + c) * positions + i) * lanes + f] * tiles[((b * channels + c) * positions + i) * lanes + lane],
   to[((f * outputs + k) * runs + b) * lanes + lane] = sum over i of matrix[k, i] sum[i]. */
typedef struct {
    const void *matrix;
    const void *weight, *tiles;
    void *to;
    ptrdiff_t channels, filters, runs;
} fc_winograd_few;
typedef void fc_winograd_few_fn(const fc_winograd_few *blend);

/* The way back along the rows, from what a blend left of one filter to its map: pixels of tile after tile, `columns` of them.
   map[row * row_step + lane * outputs + k] = bias + sum over i of matrix[k, i] from[(row * positions + i) * lanes + lane], packed
   between low and high; what is nontemporal is store_mask past the caches, where rows are lines of them.
   Returns 1 if a sum was NaN or infinite, else 0. For 1, 2 or 4 outputs. */
typedef struct {
    const void *matrix;
    const void *from;
    void *map;
    const void *prefetch; /* the same place of a map that is store_mask a little later, to be fetched */
    ptrdiff_t row_step, rows, columns;
    double bias, low, high;
    int nontemporal;
} fc_inverse_rows;
typedef int fc_inverse_rows_fn(const fc_inverse_rows *finish);

/* What is made for one form: so many outputs, taps and inputs from one output to the next. */
typedef struct {
    ptrdiff_t outputs, taps, stride;
    fc_transform_fn *forward, *inverse;
    fc_winograd_few_fn *few;
    fc_inverse_rows_fn *inverse_rows;
} fc_form;

typedef struct {
    ptrdiff_t lanes;
    ptrdiff_t tile_filters;                                       /* of a full tile */
    ptrdiff_t tile_vectors[TILE_MAX_FILTERS + 1];                 /* of a full tile with so many filters */
    fc_tile_fn *tile[TILE_MAX_FILTERS + 1][TILE_MAX_VECTORS + 1]; /* [filters][vectors] */
    fc_filter_tile_fn *filter_tile[TILE_MAX_FILTERS + 1][FILTER_TILE_VECTORS + 1]; /* [pixels][vectors], up to tile_filters pixels */
    /* One pixel times one vector of filters whose weights are not packed, of up to so many: weight[lane * width + t]. */
    void (*one_pixel)(const fc_filter_tile *tile, ptrdiff_t filters);
    fc_im2col_fn *im2col;
    fc_deinterleave_fn *deinterleave;
    /* to[c * to_step + r] = from[r * from_step + c] */
    void (*transpose)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t columns);
    double (*peak)(ptrdiff_t rounds);
    const fc_sweep_variant *sweeps;                                  /* the best first, an empty one last */
    const fc_stack_variant *stacks;                                  /* those of most pixels first, an empty one last */
    const fc_form *forms;                                         /* an empty one last */
    void (*transform_filter)(const fc_transform *transform, ptrdiff_t results, ptrdiff_t inputs);
    void (*gather)(void *to, const void *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t count, ptrdiff_t before,
                   ptrdiff_t room);
    int (*scatter)(void *to, ptrdiff_t to_step, ptrdiff_t rows, const void *from, ptrdiff_t count, const void *bias, double low,
                   double high, int nontemporal);
} fc_kernels;

typedef struct {
    const char *name;
    fc_kernels f32, f64;
} fc_isa;

/* The instruction set of this name, or the best one if name is empty; NULL if this machine lacks it. */
const fc_isa *fc_find_isa(const char *name);

#endif
