# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The declarations of kernels/kernels.h, kernels/threads.h and kernels/add_tap.h, which explain them.


cdef extern from "kernels/threads.h" nogil:
    ctypedef void (*fc_unit_fn)(void *workspace, const void *job, Py_ssize_t unit) noexcept
    ctypedef int (*fc_stop_fn)() noexcept
    int fc_poisons
    int fc_run(fc_unit_fn run, const void *job, Py_ssize_t units, size_t workspace_bytes, Py_ssize_t threads,
               fc_stop_fn stop)
    int fc_stopping() noexcept


cdef extern from "kernels/add_tap.h" nogil:
    void fc_add_tap_int32(void *out, Py_ssize_t count, const void *image, Py_ssize_t stride, Py_ssize_t channels,
                          Py_ssize_t image_step, const void *weight, Py_ssize_t weight_step) noexcept
    void fc_add_tap_int64(void *out, Py_ssize_t count, const void *image, Py_ssize_t stride, Py_ssize_t channels,
                          Py_ssize_t image_step, const void *weight, Py_ssize_t weight_step) noexcept
    void fc_add_tap_float32(void *out, Py_ssize_t count, const void *image, Py_ssize_t stride, Py_ssize_t channels,
                            Py_ssize_t image_step, const void *weight, Py_ssize_t weight_step) noexcept
    void fc_add_tap_float64(void *out, Py_ssize_t count, const void *image, Py_ssize_t stride, Py_ssize_t channels,
                            Py_ssize_t image_step, const void *weight, Py_ssize_t weight_step) noexcept
    void fc_add_tap_complex64(void *out, Py_ssize_t count, const void *image, Py_ssize_t stride, Py_ssize_t channels,
                              Py_ssize_t image_step, const void *weight, Py_ssize_t weight_step) noexcept
    void fc_add_tap_complex128(void *out, Py_ssize_t count, const void *image, Py_ssize_t stride, Py_ssize_t channels,
                               Py_ssize_t image_step, const void *weight, Py_ssize_t weight_step) noexcept


cdef extern from "kernels/kernels.h" nogil:
    enum:
        TILE_MAX_FILTERS
        TILE_MAX_VECTORS
        FILTER_TILE_VECTORS
        BYTE_TILE_VECTORS
        INTERLEAVED_VECTORS
        SWEEP_MAX_ROWS
        SWEEP_MAX_VECTORS
        PEAK_SUMS
        TRANSFORM_MAX_POSITIONS
        KERNEL_MAX_TAPS
        FEW_MAX_FILTERS
        DOT_SUMS
        FFT_MAX_PASSES
        FFT_AT_ONCE
    enum:
        FC_FLOAT32
        FC_FLOAT64
        FC_FLOAT16
        FC_BFLOAT16
        FC_INT8
        FC_UINT8
        FC_INT16
        FC_UINT16
        FC_INT32
        FC_UINT32
        FC_INT64
        FC_UINT64
    ctypedef struct fc_tile:
        const void *weight
        Py_ssize_t filter_step, tap_step
        const Py_ssize_t *offset
        Py_ssize_t taps
        const void **image
        void *pack_to
        const void *packed
        Py_ssize_t packed_step
        void **map
        Py_ssize_t map_step
        const void *bias
        double low, high
    ctypedef struct fc_filter_tile:
        const void **pixel
        const Py_ssize_t *offset
        Py_ssize_t taps
        const void *weight
        Py_ssize_t width
        const void *prefetch
        Py_ssize_t prefetch_step
        void *sums
        Py_ssize_t sums_step
        const void *bias
        double low, high
    ctypedef struct fc_interleaved_row:
        const void *weight
        const void *image
        const Py_ssize_t *offset
        const Py_ssize_t *first
        Py_ssize_t phases, columns, chunk
        void *sums
        void *map
        Py_ssize_t map_step
        const void *bias
        double low, high
        int nontemporal
    ctypedef struct fc_im2col:
        void *panel
        Py_ssize_t width
        const void *image
        const Py_ssize_t *offset
        Py_ssize_t taps, runs
        const Py_ssize_t *start
        const Py_ssize_t *seen
        const Py_ssize_t *length
    ctypedef struct fc_deinterleave:
        void *to
        Py_ssize_t to_step, slots
        const void *source "from"
        Py_ssize_t source_step "from_step", first, columns
        Py_ssize_t rows, phases
    ctypedef struct fc_sweep:
        const void *weight
        const Py_ssize_t *offset
        const unsigned *mask
        const unsigned *last_mask
        unsigned store_mask
        Py_ssize_t kernel_rows, taps
        const void *const *image_row
        Py_ssize_t column, last
        void *map
        Py_ssize_t map_step
        const void *start
        Py_ssize_t start_step
        double bias, low, high
        int nontemporal
    void prefetch_l1(const void *line) noexcept
    void prefetch_l2(const void *line) noexcept
    Py_ssize_t fc_paired_tap(Py_ssize_t taps, Py_ssize_t v) noexcept
    ctypedef void (*fc_tile_fn)(const fc_tile *) noexcept
    ctypedef void (*fc_filter_tile_fn)(const fc_filter_tile *) noexcept
    ctypedef void (*fc_interleaved_row_fn)(const fc_interleaved_row *) noexcept
    ctypedef void (*fc_im2col_fn)(const fc_im2col *) noexcept
    ctypedef void (*fc_deinterleave_fn)(const fc_deinterleave *) noexcept
    ctypedef void (*fc_sweep_fn)(const fc_sweep *) noexcept
    ctypedef struct fc_sweep_variant:
        Py_ssize_t rows, vectors, kernel, stride_y, stride_x, masked
        fc_sweep_fn run
    ctypedef struct fc_stack:
        const void *weight
        const void *bias
        Py_ssize_t kernel_rows, columns, pad
        const void *const *image_row
        Py_ssize_t column
        void *map
        int skip_zeros
    ctypedef void (*fc_stack_fn)(const fc_stack *) noexcept
    ctypedef struct fc_stack_variant:
        Py_ssize_t pixels, taps, stride_x
        fc_stack_fn run
    ctypedef struct fc_transform:
        const void *matrix
        const void **source "from"
        Py_ssize_t item_step, run_step
        void *to
        Py_ssize_t to_step, to_item_step, to_run_step
        Py_ssize_t items, runs
    ctypedef void (*fc_transform_fn)(const fc_transform *) noexcept
    ctypedef struct fc_kernel_transform:
        const void *y
        const void *x
        Py_ssize_t y_rows, y_taps, x_rows, x_taps
        const void *source "from"
        const Py_ssize_t *offset
        Py_ssize_t channels, channel_step
        void *to
        Py_ssize_t to_channel_step, to_row_step, to_column_step
    ctypedef void (*fc_kernel_transform_fn)(const fc_kernel_transform *) noexcept
    ctypedef struct fc_winograd_few:
        const void *matrix
        const void *weight
        const void *tiles
        void *to
        Py_ssize_t channels, filters, runs
    ctypedef void (*fc_winograd_few_fn)(const fc_winograd_few *few) noexcept
    ctypedef struct fc_inverse_rows:
        const void *matrix
        const void *source "from"
        void *map
        const void *prefetch
        Py_ssize_t row_step, rows, columns
        double bias, low, high
        int nontemporal
    ctypedef int (*fc_inverse_rows_fn)(const fc_inverse_rows *request) noexcept
    ctypedef struct fc_form:
        Py_ssize_t outputs, taps, stride
        void (*forward)(const fc_transform *) noexcept nogil
        void (*spread)(const fc_transform *) noexcept nogil
        fc_transform_fn inverse
        fc_winograd_few_fn few
        fc_inverse_rows_fn inverse_rows
    ctypedef struct fc_dot:
        const void **gradient
        const void **image
        Py_ssize_t gradient_step, image_step, lines, columns, stride
        void *sums
        Py_ssize_t sums_step
    ctypedef void (*fc_dot_fn)(const fc_dot *) noexcept
    enum:
        FC_CLIP
        FC_LEAKY_RELU
        FC_PRELU
        FC_HARDSIGMOID
        FC_HARDSWISH
        FC_SIGMOID
        FC_SILU
        FC_TANH
        FC_ELU
        FC_SOFTPLUS
        FC_MISH
        FC_GELU
        FC_GELU_TANH
    ctypedef struct fc_activation:
        int kind
        double low, high, slope
        const void *slopes
        Py_ssize_t slope_step
        const void *residual
    ctypedef struct fc_fft:
        Py_ssize_t length, passes
        Py_ssize_t *radix
        const void *twiddles
        Py_ssize_t twiddle_numbers
    ctypedef struct fc_fft_block:
        const void *source "from"
        Py_ssize_t row_step, rows, columns, last_columns
        void *bright
    ctypedef struct fc_fft_load:
        fc_fft_block *block
        Py_ssize_t rows, length, band_rows, bright_step
    ctypedef struct fc_fft_store:
        double scale, bias, low, high
        Py_ssize_t row_step, column_step
    ctypedef struct fc_bytes:
        Py_ssize_t channels
        int is_signed
        Py_ssize_t (*pack)(void *to, const void **row, Py_ssize_t count, int change, int is_signed) noexcept nogil
        void (*requantize)(void *to, Py_ssize_t to_step, const void *sums, Py_ssize_t sums_step, Py_ssize_t pixels,
                           Py_ssize_t filters, const float *multipliers, int zero, int is_signed) noexcept nogil
    ctypedef struct fc_kernels:
        Py_ssize_t lanes, tile_filters
        const Py_ssize_t *tile_vectors
        fc_tile_fn (*tile)[7]
        fc_filter_tile_fn (*filter_tile)[5]
        fc_interleaved_row_fn *interleaved_row
        void (*one_pixel)(const fc_filter_tile *, Py_ssize_t filters) noexcept nogil
        fc_im2col_fn im2col
        fc_deinterleave_fn deinterleave
        void (*transpose)(void *to, Py_ssize_t to_step, const void *source, Py_ssize_t source_step, Py_ssize_t rows,
                          Py_ssize_t columns) noexcept nogil
        void (*stream_transposed)(void *to, Py_ssize_t to_step, const void *source, Py_ssize_t source_step,
                                  Py_ssize_t rows, Py_ssize_t columns) noexcept nogil
        double (*peak)(Py_ssize_t rounds) noexcept nogil
        const fc_sweep_variant *sweeps
        const fc_stack_variant *stacks
        const fc_form *forms
        fc_kernel_transform_fn transform_kernels
        int (*collect)(const fc_transform *, Py_ssize_t positions, Py_ssize_t taps, int adds) noexcept nogil
        void (*gather)(void *to, const void *source, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t count,
                       Py_ssize_t before, Py_ssize_t room) noexcept nogil
        int (*scatter)(void *to, Py_ssize_t to_step, Py_ssize_t rows, const void *source, Py_ssize_t count,
                       const void *bias, double low, double high, int nontemporal) noexcept nogil
        Py_ssize_t dot_gradients, dot_images
        fc_dot_fn (*dot)[7]
        void (*add_dot_sums)(void *to, const void *sums, Py_ssize_t count) noexcept nogil
        int (*keep)(void *kept, void *seen, const void *pixels, const unsigned char *mask, Py_ssize_t count,
                    int ignores_nan) noexcept nogil
        void (*weigh)(void *maps, const void *sums, const void *seen, Py_ssize_t count, double total,
                      double bias) noexcept nogil
        int (*widen)(void *to, const void *source, Py_ssize_t count, int type) noexcept nogil
        int (*narrow)(void *to, const void *source, Py_ssize_t count, int type) noexcept nogil
        void (*turn)(void *to, const void *source, Py_ssize_t count, int turns) noexcept nogil
        void (*truncate)(void *to, const void *source, Py_ssize_t count, int bytes, double scale,
                         int is_near) noexcept nogil
        void (*box_columns)(void *to, Py_ssize_t to_step, const void *source, Py_ssize_t source_step, Py_ssize_t taps,
                            Py_ssize_t rows, Py_ssize_t columns) noexcept nogil
        void (*box_row)(void *to, void *source, Py_ssize_t step, Py_ssize_t taps, Py_ssize_t count) noexcept nogil
        void (*fft_forward)(const fc_fft *fft, void *points) noexcept nogil
        void (*fft_inverse)(const fc_fft *fft, void *points) noexcept nogil
        void (*fft_turn)(void *to, Py_ssize_t to_step, const void *source, Py_ssize_t source_step,
                         Py_ssize_t squares) noexcept nogil
        void (*fft_multiply)(void *to, const void *const *x, const void *const *w, Py_ssize_t terms, Py_ssize_t first,
                             Py_ssize_t points, int inverse) noexcept nogil
        void (*fft_load)(const fc_fft_load *load, void *points, Py_ssize_t column) noexcept nogil
        int (*fft_store)(const fc_fft_store *store, void *to, Py_ssize_t to_step, const void *source, Py_ssize_t rows,
                         Py_ssize_t columns) noexcept nogil
        void (*activate)(const fc_activation *a, void *out, Py_ssize_t step, Py_ssize_t runs,
                         Py_ssize_t count) noexcept nogil
        Py_ssize_t pixel_unit
        fc_bytes bytes
    ctypedef struct fc_isa:
        const char *name
        fc_kernels f32, f64
    const fc_isa *fc_find_isa(const char *name)
    const fc_kernels *fc_find_bytes(const fc_isa *isa)
