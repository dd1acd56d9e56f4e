/* The contract between the Cython core and C: for every instruction set (ISA) a table of micro-kernels for float and one for
   double. A micro-kernel computes one block of work, which a struct describes.

   Sizes and steps count numbers, not bytes, unless they say so; numbers are behind void pointers, since both tables have the
   same fields. A lane is one number of a vector. */
#ifndef FASTCONV_KERNELS_H
#define FASTCONV_KERNELS_H
#include <math.h>
#include <stddef.h>

enum {
    TILE_MAX_FILTERS = 8,        /* filters (or pixels) of a register tile, in any table */
    TILE_MAX_VECTORS = 6,        /* vectors of pixels of a register tile */
    FILTER_TILE_VECTORS = 3,     /* vectors of filters of one, of floats, */
    BYTE_TILE_VECTORS = 4,       /* and of dot products */
    INTERLEAVED_VECTORS = 4,     /* vectors of each phase of an interleaved row that are summed at a time */
    SWEEP_MAX_ROWS = 7,          /* output rows of a sweep */
    SWEEP_MAX_VECTORS = 6,       /* vectors of each of them */
    SWEEP_PAIR = 16,             /* taps between the two of a pair: lanes of the widest vector */
    STACK_MAX_PIXELS = 14,       /* neighbouring pixels of a stack */
    STACK_MAX_TAPS = 7,          /* in a row of its kernels */
    PEAK_SUMS = 12,              /* independent sums that keep two FMA units of 4 cycles' latency busy, and some to spare */
    TRANSFORM_MAX_POSITIONS = 9, /* of a Winograd form */
    KERNEL_MAX_TAPS = 5,         /* of one, along an axis */
    FEW_MAX_FILTERS = 4,         /* that winograd_few computes at a time */
    DOT_SUMS = 16,               /* partial sums of a dot product, on every ISA: lanes of the widest vector */
    DOT_MAX_GRADIENTS = 4,       /* rows of gradients of a tile of dot products */
    DOT_MAX_IMAGES = 6,          /* rows of images of one */
    FFT_MAX_PASSES = 12,         /* of a transform */
    FFT_AT_ONCE = 4              /* points that are multiplied at a time */
};

/* Types of numbers outside the core. */
enum {
    FC_FLOAT32,
    FC_FLOAT64,
    FC_FLOAT16,
    FC_BFLOAT16,
    FC_INT8,
    FC_UINT8,
    FC_INT16,
    FC_UINT16,
    FC_INT32,
    FC_UINT32,
    FC_INT64,
    FC_UINT64
};

/* Fetch a cache line that is about to be used into all levels of the cache (locality 3). Any address will do, even an invalid
   one. */
static inline void prefetch_l1(const void *line) {
#if defined(__GNUC__)
    __builtin_prefetch(line, 0, 3);
#else
    (void)line;
#endif
}

/* Fetch a cache line that is used later into L2 only, so that L1 keeps what it holds (locality 2). Any address will do. */
static inline void prefetch_l2(const void *line) {
#if defined(__GNUC__)
    __builtin_prefetch(line, 0, 2);
#else
    (void)line;
#endif
}

/* A register tile with pixels in the lanes: `filters` times `vectors` of output pixels.
   map[j][i * map_step + lane] = sum over taps t of weight[i * filter_step + t * tap_step] * image[j][offset[t] + lane],
   plus bias[i], or what the map holds already if bias is NULL; clipped to low..high. */
typedef struct {
    const void *weight;
    ptrdiff_t filter_step, tap_step; /* in bytes: compilers make a second copy of each loop for steps of one number */
    const ptrdiff_t *offset;         /* (taps,) */
    ptrdiff_t taps;
    const void *image[TILE_MAX_VECTORS]; /* not read if packed is given */
    void *pack_to;            /* where to store the pixels of each tap, vectors side by side, for other filters; or NULL */
    const void *packed;       /* where a tile for other filters stored them, to be read instead of the image; or NULL */
    ptrdiff_t packed_step;    /* of pack_to and packed, from one tap to the next, in bytes */
    void *map[TILE_MAX_VECTORS];
    ptrdiff_t map_step;
    const void *bias; /* (filters,) or NULL */
    double low, high;
} fc_tile;
typedef void fc_tile_fn(const fc_tile *tile);

/* A register tile with filters in the lanes: `pixels` output pixels times `vectors` of filters.
   sums[i * sums_step + lane] = sum over taps t of pixel[i][offset[t]] * weight[t * width + lane], lanes of all vectors,
   plus bias[lane], or what sums hold already if bias is NULL; clipped to low..high. */
typedef struct {
    const void *pixel[TILE_MAX_FILTERS];
    const ptrdiff_t *offset; /* (taps,) */
    ptrdiff_t taps;
    const void *weight;      /* packed: (taps, width) */
    ptrdiff_t width;         /* lanes of all vectors */
    const void *prefetch;    /* weights of a later tile, as many vectors for each tap as this one has, */
    ptrdiff_t prefetch_step; /* and the step from one tap to the next */
    void *sums;
    ptrdiff_t sums_step;
    const void *bias; /* (lanes of all vectors,) or NULL */
    double low, high; /* which tiles of dot products leave to others */
} fc_filter_tile;
typedef void fc_filter_tile_fn(const fc_filter_tile *tile);

/* A row of `filters` maps of a transposed convolution with pixels in the lanes. Output i * phases + p of the row belongs to phase
   p, whose taps are those from first[p] to first[p + 1].
   map[f * map_step + i * phases + p] = bias[f] + sum over taps t of phase p of weight[t * filters + f] * image[offset[t] + i],
   clipped to low..high, for `columns` outputs. May read three vectors past what the last outputs see. */
typedef struct {
    const void *weight;                /* (taps, filters), taps of all phases */
    const void *image;
    const ptrdiff_t *offset;           /* (taps,) */
    const ptrdiff_t *first;            /* (phases + 1,) */
    ptrdiff_t phases, columns;
    ptrdiff_t chunk;                   /* taps of a phase that are summed before the next ones */
    void *sums;                        /* room for phases * filters * INTERLEAVED_VECTORS vectors */
    void *map;
    ptrdiff_t map_step;
    const void *bias; /* (filters,) */
    double low, high;
    int nontemporal; /* store past the caches where vectors of the maps are aligned to their size */
} fc_interleaved_row;
typedef void fc_interleaved_row_fn(const fc_interleaved_row *row);

/* im2col: the panel (taps, width) of the pixels that each tap reads for some runs of output pixels.
   panel[t * width + start[r] + i] = image[seen[r] + offset[t] + i] for run r of length[r] pixels.
   May read a vector past the end of a run, and write a vector past the end of the panel. */
typedef struct {
    void *panel;
    ptrdiff_t width;
    const void *image;
    const ptrdiff_t *offset; /* (taps,) */
    ptrdiff_t taps, runs;
    const ptrdiff_t *start, *seen, *length; /* (runs,), start ascending */
} fc_im2col;
typedef void fc_im2col_fn(const fc_im2col *im2col);

/* Deinterleave padded rows by the phases of a stride (polyphase): slot s holds the columns first + s, first + s + phases, ...
   to[(r * slots + s) * to_step + i] = from[r * from_step + c], c = first + phases * i + s, for i below to_step and s below
   slots; zero where c is not one of the columns 0 to `columns`. May write a vector past the end of the last row. */
typedef struct {
    void *to;
    ptrdiff_t to_step, slots;
    const void *from;
    ptrdiff_t from_step, first, columns;
    ptrdiff_t rows, phases; /* phases are 1, 2, 4 or 8 */
} fc_deinterleave;
typedef void fc_deinterleave_fn(const fc_deinterleave *deinterleave);

/* A sweep: `rows` output rows times `vectors` of one map, from one image.
   Vector j begins at output column + j * lanes, the last one at column + last; for each of their columns x
   map[i * map_step + x] = start + sum over kernel rows u and taps v of
   weight[u * taps + v] * image_row[i * stride_y + u][x * stride_x + offset[v]], clipped to low..high.
   Sums start from the bias, or from start[i * start_step + x - column], of which whole vectors are read.
   A masked sweep reads only the lanes whose bits are set, in mask[v] for vector 0 and in last_mask[v] for the last one, and
   takes zeros for the others; of the last one, it stores only the lanes in store_mask.
   With stride_x 2, taps come in pairs: tap v + 1 reads the pixel behind that of an even tap v, and mask[v] and mask[v + 1]
   belong to the two vectors from offset[v] on that hold the pixels of both. Its vectors are neighbours, the last one too. */
typedef struct {
    const void *weight;                /* (kernel_rows, taps) */
    const ptrdiff_t *offset;           /* (taps,) */
    const unsigned *mask, *last_mask;  /* (taps,), rounded up to an even number with stride_x 2 */
    unsigned store_mask;
    ptrdiff_t kernel_rows, taps;
    const void *const *image_row;      /* ((rows - 1) * stride_y + kernel_rows,) */
    ptrdiff_t column, last;
    void *map;
    ptrdiff_t map_step;
    const void *start;                 /* or NULL */
    ptrdiff_t start_step;
    double bias, low, high;
    int nontemporal; /* store past the caches; all vectors are then aligned to their size */
} fc_sweep;
typedef void fc_sweep_fn(const fc_sweep *sweep);

/* Which tap of a row comes v-th when taps i and i + SWEEP_PAIR are neighbours, since both read vectors at the same place in a
   cache line: 0, 16, 1, 17, ..., 15, 31, then 32, 48, ...; taps without a partner come last in their group of 32. */
static inline ptrdiff_t fc_paired_tap(ptrdiff_t taps, ptrdiff_t v) {
    const ptrdiff_t first = v - v % (2 * SWEEP_PAIR), some = taps - first < 2 * SWEEP_PAIR ? taps - first : 2 * SWEEP_PAIR;
    const ptrdiff_t pairs = some > SWEEP_PAIR ? some - SWEEP_PAIR : 0, i = v - first;
    return first + (i < 2 * pairs ? i / 2 + i % 2 * SWEEP_PAIR : i - pairs);
}

/* What a sweep was compiled for. `kernel` is the size of square kernels, or 0 for kernels of any size with at least `rows`
   rows; stride_y 0 is any stride. A sweep of one row without masks is for kernels of one row with taps that read neighbouring
   pixels, in the order of fc_paired_tap: offset[v] = offset[0] + fc_paired_tap(taps, v). */
typedef struct {
    ptrdiff_t rows, vectors, kernel, stride_y, stride_x, masked;
    fc_sweep_fn *run;
} fc_sweep_variant;

/* A stack: neighbouring pixels of one row of `lanes` maps, each from a channel of its own. Every number of the formula is a
   vector whose lanes are channels: map (W', lanes), image_row[u] (columns, lanes), weight (kernel_rows, taps, lanes) and
   bias (lanes,).
   map[x] = bias + sum over kernel rows u and taps v of weight[u, v] * image_row[u][x * stride_x + v - pad], for pixels x from
   `column` on. Rows that are NULL and pixels outside 0 to `columns` are zeros; skip_zeros leaves out the products with them. */
typedef struct {
    const void *weight, *bias;
    ptrdiff_t kernel_rows, columns, pad;
    const void *const *image_row; /* (kernel_rows,) */
    ptrdiff_t column;
    void *map;
    int skip_zeros;
} fc_stack;
typedef void fc_stack_fn(const fc_stack *stack);

/* What a stack was compiled for. */
typedef struct {
    ptrdiff_t pixels, taps, stride_x;
    fc_stack_fn *run;
} fc_stack_variant;

/* `runs` times `items` Winograd transforms of vectors along one axis, by B of a form (forward), A (inverse) or A transposed
   (spread: matrix[j, i] in the formula). Entries that follow from the structure of B and A, see winograd.inc.h, are not read.
   to[run * to_run_step + item * to_item_step + i * to_step] =
   sum over j of matrix[i, j] * from[j][run * run_step + item * item_step], each a vector. */
typedef struct {
    const void *matrix, *from[TRANSFORM_MAX_POSITIONS]; /* B: (positions, positions), or A: (outputs, positions) */
    ptrdiff_t item_step, run_step;
    void *to;
    ptrdiff_t to_step, to_item_step, to_run_step;
    ptrdiff_t items, runs;
} fc_transform;
typedef void fc_transform_fn(const fc_transform *transform);

/* Winograd transforms of kernels, G g G^T, by y along the columns and then by x along the rows, for so many channels.
   to[c * to_channel_step + i * to_row_step + j * to_column_step] =
   sum over v of x[j, v] * sum over u of y[i, u] * from[c * channel_step + offset[u, v]], each a vector of filters. Taps whose
   offset is negative are zero. */
typedef struct {
    const void *y, *x;       /* (y_rows, y_taps) and (x_rows, x_taps): G of the forms of rows and columns */
    ptrdiff_t y_rows, y_taps, x_rows, x_taps;
    const void *from;
    const ptrdiff_t *offset; /* (y_taps, x_taps) */
    ptrdiff_t channels, channel_step;
    void *to;
    ptrdiff_t to_channel_step, to_row_step, to_column_step;
} fc_kernel_transform;
typedef void fc_kernel_transform_fn(const fc_kernel_transform *transform);

/* Winograd convolution of few channels: the products of all positions and the inverse transform along the columns, in registers.
   Lanes are tiles; a run is a position of the form of the rows. For filter f, with
   sum[i] = sum over channels c of weight[((run * channels + c) * positions + i) * lanes + f]
                                 * tiles[((run * channels + c) * positions + i) * lanes + lane],
   to[((f * outputs + k) * runs + run) * lanes + lane] = sum over i of matrix[k, i] * sum[i]. */
typedef struct {
    const void *matrix; /* A: (outputs, positions) */
    const void *weight, *tiles;
    void *to;
    ptrdiff_t channels, filters, runs; /* at most `lanes` filters */
} fc_winograd_few;
typedef void fc_winograd_few_fn(const fc_winograd_few *few);

/* The inverse transform along the rows of what fc_winograd_few made for one filter, with the epilogue: `columns` pixels of
   its map, tile after tile.
   map[row * row_step + lane * outputs + k] = bias + sum over i of matrix[k, i] * from[(row * positions + i) * lanes + lane],
   clipped to low..high. Returns 1 if any sum was NaN or infinite, else 0. For forms of 1, 2 or 4 outputs. */
typedef struct {
    const void *matrix; /* A: (outputs, positions) */
    const void *from;
    void *map;
    const void *prefetch; /* the same pixels of a map that is written a little later */
    ptrdiff_t row_step, rows, columns;
    double bias, low, high;
    int nontemporal; /* store past the caches, if vectors are whole cache lines and the map is aligned to them */
} fc_inverse_rows;
typedef int fc_inverse_rows_fn(const fc_inverse_rows *request);

/* What was compiled for one Winograd form F(outputs, taps) with a stride. */
typedef struct {
    ptrdiff_t outputs, taps, stride;
    fc_transform_fn *forward, *inverse, *spread;
    fc_winograd_few_fn *few; /* these two are NULL for forms whose lanes are never tiles */
    fc_inverse_rows_fn *inverse_rows;
} fc_form;

/* A tile of dot products: some rows of gradients times some rows of images, over lines of `columns` numbers.
   sums[i * sums_step + j * DOT_SUMS + r] += sum over lines and columns c = n * DOT_SUMS + r of
   gradient[i][line * gradient_step + c] * image[j][line * image_step + n * stride * DOT_SUMS + r]. No other numbers are read.
   Columns are pixels; or they are pixels of DOT_SUMS maps that are interleaved, so that each has a sum of its own. Only then
   may the stride be larger than 1. */
typedef struct {
    const void *gradient[DOT_MAX_GRADIENTS], *image[DOT_MAX_IMAGES];
    ptrdiff_t gradient_step, image_step, lines, columns, stride;
    void *sums;
    ptrdiff_t sums_step;
} fc_dot;
typedef void fc_dot_fn(const fc_dot *dot);

/* A Fourier transform of `length` points, see fft.inc.h; of its passes, each radix is 3, 4, 5 or 8, and the points of a transform
   that a pass leaves are m. Twiddle factors of a pass: cosine and sine of -2 pi j q / (radix * m), for each j below m, for q from
   1 to radix - 1. */
typedef struct {
    ptrdiff_t length, passes, radix[FFT_MAX_PASSES];
    const void *twiddles;
    ptrdiff_t twiddle_numbers;
} fc_fft;

/* What two blocks of an image are loaded from: `rows` of `columns` numbers, the last one of last_columns; zeros follow, up to
   `length` rows. bright[row / band_rows * bright_step + x], where there is such, becomes the largest magnitude in these rows. */
typedef struct {
    const void *from;
    ptrdiff_t row_step, rows, columns, last_columns;
    void *bright;
} fc_fft_block;
typedef struct {
    fc_fft_block block[2];
    ptrdiff_t rows, length; /* rows: of the block that has more */
    ptrdiff_t band_rows, bright_step;
} fc_fft_load;

/* The epilogue of numbers from transforms; steps, in points, from one row and from one column of points to the next. */
typedef struct {
    double scale, bias, low, high;
    ptrdiff_t row_step, column_step;
} fc_fft_store;

/* Activations, with the parameters of each; all keep NaN. */
enum {
    FC_CLIP,        /* to low..high */
    FC_LEAKY_RELU,  /* x, or slope * x below zero */
    FC_PRELU,       /* the same with a slope for each run */
    FC_HARDSIGMOID, /* min(max(x + 3, 0), 6) / 6 */
    FC_HARDSWISH,   /* x hardsigmoid(x) */
    FC_SIGMOID,     /* 1 / (1 + exp(-x)) */
    FC_SILU,        /* x sigmoid(x) */
    FC_TANH,
    FC_ELU,         /* x, or slope * (exp(x) - 1) below zero */
    FC_SOFTPLUS,    /* log(1 + exp(x)), or x above 20 */
    FC_MISH,        /* x tanh(log(1 + exp(x))) */
    FC_GELU,        /* x times the normal distribution's probability of less than x */
    FC_GELU_TANH    /* x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)) */
};
typedef struct {
    int kind;
    double low, high, slope;
    const void *slopes; /* of run r: slopes[r * slope_step] */
    ptrdiff_t slope_step;
    const void *residual; /* added first, with the places of the outputs; or NULL */
} fc_activation;
typedef void fc_activate_fn(const fc_activation *a, void *out, ptrdiff_t step, ptrdiff_t runs, ptrdiff_t count);
/* What is particular to a table of dot products. Its register tiles, with filters in the lanes, are those of float, with numbers of 32
   bits that hold several neighbouring channels of one pixel, or several weights: 4 bytes, or 2 integers of 16 bits. A product of two numbers
   is the sum of the products of what they hold, an integer of 32 bits as all sums are. */
typedef struct {
    ptrdiff_t channels; /* in a number: 4 or 2; 0 in other tables */
    int is_signed;      /* bytes of pixels; those of weights are, always */
    /* to[i] = a number of row[0][i], row[1][i], ..., bytes with a sign or without one, for i below count rounded down to whole
       vectors of bytes: four bytes xor `change`, or two integers of 16 bits less it. Returns how many. */
    ptrdiff_t (*pack)(void *to, const void **row, ptrdiff_t count, int change, int is_signed);
    /* to[f * to_step + p] = sums[p * sums_step + f] * multipliers[f], rounded to float32 and then to an integer, to even where
       there are two, plus zero, saturated to a byte. Reads whole vectors of filters. */
    void (*requantize)(void *to, ptrdiff_t to_step, const void *sums, ptrdiff_t sums_step, ptrdiff_t pixels, ptrdiff_t filters,
                       const float *multipliers, int zero, int is_signed);
} fc_bytes;

/* The table of one ISA for one type. */
typedef struct {
    ptrdiff_t lanes;                              /* of a vector */
    ptrdiff_t tile_filters;                       /* of a full register tile; pixels where lanes are filters */
    ptrdiff_t tile_vectors[TILE_MAX_FILTERS + 1]; /* [filters]: of a full register tile with so many filters */
    fc_tile_fn *tile[TILE_MAX_FILTERS + 1][TILE_MAX_VECTORS + 1]; /* [filters][vectors] */
    /* [pixels][vectors], up to tile_filters pixels, in multiples of pixel_unit; NULL for vectors that registers do not hold */
    fc_filter_tile_fn *filter_tile[TILE_MAX_FILTERS + 1][BYTE_TILE_VECTORS + 1];
    fc_interleaved_row_fn *interleaved_row[TILE_MAX_FILTERS + 1]; /* [filters], up to tile_filters */
    /* One pixel times one vector of filters with weights that are not packed: weight[lane * width + t]. Lanes from `filters` on
       repeat the last filter. */
    void (*one_pixel)(const fc_filter_tile *tile, ptrdiff_t filters);
    fc_im2col_fn *im2col;
    fc_deinterleave_fn *deinterleave;
    /* to[c * to_step + r] = from[r * from_step + c] */
    void (*transpose)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t columns);
    /* The same by non-temporal stores where all vectors are aligned. */
    void (*stream_transposed)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t rows,
                              ptrdiff_t columns);
    double (*peak)(ptrdiff_t rounds); /* PEAK_SUMS FMAs of vectors a round */
    const fc_sweep_variant *sweeps;   /* in the order in which they are preferred; an empty one last */
    const fc_stack_variant *stacks;   /* those of most pixels first; an empty one last */
    const fc_form *forms;             /* an empty one last */
    fc_kernel_transform_fn *transform_kernels;
    /* A transform of the products of all positions to up to 5 taps by the transpose of G (positions, taps), all of which is read;
       it adds to what is there, or replaces it. Returns 1 if any sum is NaN or infinite, else 0. */
    int (*collect)(const fc_transform *transform, ptrdiff_t positions, ptrdiff_t taps, int adds);
    /* Rows to vectors: to[p * lanes + i] = from[i * from_step + p], zero for i from `rows` on, for p below count.
       Reads from - before up to from + room of each row, and writes up to `lanes` places p on either side of `to`. */
    void (*gather)(void *to, const void *from, ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t count, ptrdiff_t before,
                   ptrdiff_t room);
    /* Vectors to rows, with the epilogue: to[i * to_step + p] = from[p * lanes + i] + bias[i], clipped to low..high, for i
       below `rows`; nontemporal as in fc_inverse_rows. Returns 1 if any number was NaN or infinite, else 0. */
    int (*scatter)(void *to, ptrdiff_t to_step, ptrdiff_t rows, const void *from, ptrdiff_t count, const void *bias, double low,
                   double high, int nontemporal);
    ptrdiff_t dot_gradients, dot_images;                    /* of a full tile of dot products */
    fc_dot_fn *dot[DOT_MAX_GRADIENTS + 1][DOT_MAX_IMAGES + 1]; /* [gradients][images], up to those */
    void (*add_dot_sums)(void *to, const void *sums, ptrdiff_t count); /* to[n] = sum over i of sums[n * DOT_SUMS + i] */
    /* Numbers of a row, with zeros where they are missing, for which mask, unless NULL, is 0, or they are NaN and that is ignored;
       seen is 1 where they are not, else 0. Without kept, seen and mask: returns 1 if any is missing, else 0. */
    int (*keep)(void *kept, void *seen, const void *pixels, const unsigned char *mask, ptrdiff_t count, int ignores_nan);
    /* A row of outputs of images with holes: maps[i] = total / seen[i] * sums[i] + bias, or sums[i] + bias if total is zero. */
    void (*weigh)(void *maps, const void *sums, const void *seen, ptrdiff_t count, double total, double bias);
    /* Numbers of another type as this one; narrowed to integers, they are rounded to the nearest, ties to even, and saturate, and
       a NaN becomes 0. Both return 0, and do nothing, if they do not know the type. */
    int (*widen)(void *to, const void *from, ptrdiff_t count, int type);
    int (*narrow)(void *to, const void *from, ptrdiff_t count, int type);
    /* A row of complex numbers, real and imaginary parts by turns, times i; or, unless it `turns`, the same row, with NaN for either
       part where the other one is not finite, as its product with zero is. */
    void (*turn)(void *to, const void *from, ptrdiff_t count, int turns);
    /* to[i] = from[i] * scale as an integer of 1 or 2 bytes: truncated to one of 64 bits, and wrapped around. `is_near`: no magnitude
       is 2^31 or more. */
    void (*truncate)(void *to, const void *from, ptrdiff_t count, int bytes, double scale, int is_near);
    /* Sums of `taps` numbers, all of them exact: to[y * to_step + x] of those in column x from row y on; and to[i] of those `step`
       apart from number i on, which are overwritten. Whole vectors are read and written. */
    void (*box_columns)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t taps, ptrdiff_t rows,
                        ptrdiff_t columns);
    void (*box_row)(void *to, void *from, ptrdiff_t step, ptrdiff_t taps, ptrdiff_t count);
    /* Fourier transforms, see fft.inc.h. */
    void (*fft_forward)(const fc_fft *fft, void *points);
    void (*fft_inverse)(const fc_fft *fft, void *points);
    void (*fft_turn)(void *to, ptrdiff_t to_step, const void *from, ptrdiff_t from_step, ptrdiff_t squares);
    void (*fft_multiply)(void *to, const void *const *x, const void *const *w, ptrdiff_t terms, ptrdiff_t first,
                         ptrdiff_t points, int inverse);
    void (*fft_load)(const fc_fft_load *load, void *points, ptrdiff_t column);
    int (*fft_store)(const fc_fft_store *store, void *to, ptrdiff_t to_step, const void *from, ptrdiff_t rows, ptrdiff_t columns);
    fc_activate_fn *activate; /* `runs` runs of `count` outputs, `step` apart, in place */
    ptrdiff_t pixel_unit;
    fc_bytes bytes;
} fc_kernels;

/* The tables of one ISA: those of float and double, and of dot products, of CPUs that have instructions for them and of all;
   NULL if there are none. */
typedef struct {
    const char *name;
    fc_kernels f32, f64;
    const fc_kernels *fast_bytes, *plain_bytes;
} fc_isa;

/* Return the table of dot products that suits the machine best, or NULL. */
const fc_kernels *fc_find_bytes(const fc_isa *isa);

/* Return the ISA of this name, or the best one if the name is empty; NULL if this machine lacks it. */
const fc_isa *fc_find_isa(const char *name);

#endif
