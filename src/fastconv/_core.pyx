# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, auto_pickle=False
"""The Cython core: slide kernels over the channels of a padded image and add up.

    maps[n, k, o] = activation(bias[k] + sum over channels c and taps t of
                               weight[k, c, t] * images[n, c, o * stride + t * dilation - pad])

over three axes, depth, rows and columns: 1-D and 2-D problems have axes of size one in front.
The padded image exists only as `source`, which says where a padded position lies in the image.
The road of a call comes from _plan.py, which chose a layout, and goes on to kernels/, C that works on one block of it.
"""

import math
import os

import numpy as np

cimport cython
from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY, exp, expf, fabs, fabsf, isfinite, tanh, tanhf
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcpy, memset

cdef extern from *:
    """
    #if defined(__GNUC__) && !defined(__clang__) /* -O3 would make this file larger, and nothing faster */
    #  pragma GCC optimize("O2", "vect-cost-model=dynamic")
    #endif
    /* Let the exception that is already set take its course. */
    static PyObject *raise_pending(void) { return NULL; }
    """
    int PyErr_CheckSignals() noexcept
    object raise_pending()

cdef extern from "kernels/threads.h" nogil:
    ctypedef void (*fc_unit_fn)(void *workspace, const void *job, Py_ssize_t unit) noexcept
    ctypedef int (*fc_stop_fn)() noexcept
    int fc_poisons
    int fc_run(fc_unit_fn run, const void *job, Py_ssize_t units, size_t workspace_bytes, Py_ssize_t threads,
               fc_stop_fn stop)
    int fc_stopping() noexcept

cdef extern from "kernels/kernels.h" nogil:
    enum:
        TILE_MAX_FILTERS
        TILE_MAX_VECTORS
        FILTER_TILE_VECTORS
        SWEEP_MAX_ROWS
        SWEEP_MAX_VECTORS
        PROBE_SUMS
        TRANSFORM_MAX_POSITIONS
    ctypedef struct fc_tile:
        const void *weight
        Py_ssize_t filter_step, tap_step
        const Py_ssize_t *offset
        Py_ssize_t taps
        const void **image
        void *keep
        const void *kept
        Py_ssize_t keep_step
        const void *ahead
        Py_ssize_t ahead_step
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
        const void *ahead
        Py_ssize_t ahead_step
        void *sums
        Py_ssize_t sums_step
        const void *bias
        double low, high
    ctypedef struct fc_panel:
        void *panel
        Py_ssize_t width
        const void *image
        const Py_ssize_t *offset
        Py_ssize_t taps, runs
        const Py_ssize_t *start
        const Py_ssize_t *seen
        const Py_ssize_t *length
    ctypedef struct fc_frame:
        void *to
        Py_ssize_t to_step, slots
        const void *source "from"
        Py_ssize_t source_step "from_step", first, columns
        Py_ssize_t rows, ways
    ctypedef struct fc_sweep:
        const void *weight
        const Py_ssize_t *offset
        const unsigned *mask
        const unsigned *last_mask
        unsigned written
        Py_ssize_t kernel_rows, taps
        const void *const *image_row
        Py_ssize_t column, last
        void *map
        Py_ssize_t map_step
        double bias, low, high
        int streams
    void fc_prefetch(const void *line) noexcept
    Py_ssize_t fc_paired(Py_ssize_t taps, Py_ssize_t v) noexcept
    ctypedef void (*fc_tile_fn)(const fc_tile *) noexcept
    ctypedef void (*fc_filter_tile_fn)(const fc_filter_tile *) noexcept
    ctypedef void (*fc_panel_fn)(const fc_panel *) noexcept
    ctypedef void (*fc_frame_fn)(const fc_frame *) noexcept
    ctypedef void (*fc_sweep_fn)(const fc_sweep *) noexcept
    ctypedef struct fc_sweep_kind:
        Py_ssize_t rows, vectors, kernel, stride, across, edges
        fc_sweep_fn run
    ctypedef struct fc_stack:
        const void *weight
        const void *bias
        Py_ssize_t kernel_rows, columns, pad
        const void *const *image_row
        Py_ssize_t column
        void *map
        int skips
    ctypedef void (*fc_stack_fn)(const fc_stack *) noexcept
    ctypedef struct fc_stack_kind:
        Py_ssize_t pixels, taps, across
        fc_stack_fn run
    ctypedef struct fc_transform:
        const void *matrix
        const void **source "from"
        Py_ssize_t item_step, run_step
        void *to
        Py_ssize_t to_step, to_item_step, to_run_step
        Py_ssize_t items, runs
    ctypedef void (*fc_transform_fn)(const fc_transform *) noexcept
    ctypedef struct fc_blend:
        const void *matrix
        const void *weight
        const void *tiles
        void *to
        Py_ssize_t channels, filters, runs
    ctypedef void (*fc_blend_fn)(const fc_blend *blend) noexcept
    ctypedef struct fc_finish:
        const void *matrix
        const void *source "from"
        void *map
        const void *ahead
        Py_ssize_t row_step, rows, columns
        double bias, low, high
        int far
    ctypedef int (*fc_finish_fn)(const fc_finish *finish) noexcept
    ctypedef struct fc_form:
        Py_ssize_t outputs, taps, stride
        fc_transform_fn forward, inverse
        fc_blend_fn blend
        fc_finish_fn finish
    ctypedef struct fc_kernels:
        Py_ssize_t lanes, tile_filters
        const Py_ssize_t *tile_vectors
        fc_tile_fn (*tile)[7]
        fc_filter_tile_fn (*filter_tile)[4]
        void (*lone)(const fc_filter_tile *, Py_ssize_t filters) noexcept nogil
        fc_panel_fn panel
        fc_frame_fn frame
        void (*transpose)(void *to, Py_ssize_t to_step, const void *source, Py_ssize_t source_step, Py_ssize_t rows,
                          Py_ssize_t columns) noexcept nogil
        double (*probe)(Py_ssize_t rounds) noexcept nogil
        const fc_sweep_kind *sweeps
        const fc_stack_kind *stacks
        const fc_form *forms
        void (*expand)(const fc_transform *, Py_ssize_t results, Py_ssize_t inputs) noexcept nogil
        void (*gather)(void *to, const void *source, Py_ssize_t step, Py_ssize_t rows, Py_ssize_t count,
                       Py_ssize_t before, Py_ssize_t room) noexcept nogil
        int (*scatter)(void *to, Py_ssize_t to_step, Py_ssize_t rows, const void *source, Py_ssize_t count,
                       const void *bias, double low, double high, int far) noexcept nogil
    ctypedef struct fc_isa:
        const char *name
        fc_kernels f32, f64
    const fc_isa *fc_find_isa(const char *name)

ctypedef fused real:
    float
    double

ctypedef fused number:
    int32_t
    int64_t
    float
    double
    float complex
    double complex

cdef enum Padding:
    ZEROS
    REFLECT
    REPLICATE
    CIRCULAR
    SYMMETRIC

cdef enum Activation:
    IDENTITY
    RELU
    RELU6
    LEAKY_RELU
    SIGMOID
    SILU
    HARDSWISH
    TANH

# What an image a b c d looks like from beyond its borders:
PADDING_MODES = {
    "zeros": ZEROS,          # 0 0 | a b c d | 0 0
    "reflect": REFLECT,      # c b | a b c d | c b
    "replicate": REPLICATE,  # a a | a b c d | d d
    "circular": CIRCULAR,    # c d | a b c d | a b
    "symmetric": SYMMETRIC,  # b a | a b c d | d c
}
ACTIVATIONS = {
    None: IDENTITY,
    "relu": RELU,              # max(x, 0)
    "relu6": RELU6,            # min(max(x, 0), 6)
    "leaky_relu": LEAKY_RELU,  # x if x > 0 else 0.01 x
    "sigmoid": SIGMOID,        # 1 / (1 + exp(-x))
    "silu": SILU,              # x sigmoid(x)
    "hardswish": HARDSWISH,    # x min(max(x + 3, 0), 6) / 6
    "tanh": TANH,
}

STACKS = {(taps, stride) for taps in (3, 5, 7) for stride in (1, 2)}  # across the columns, that stacks are made for


cdef inline Py_ssize_t source(Py_ssize_t position, Py_ssize_t size, int mode) noexcept nogil:
    """Return where `position` of the padded axis lies in the image, -1 where there is nothing but a zero."""
    cdef Py_ssize_t period
    if 0 <= position < size:
        return position
    if mode == ZEROS:
        return -1
    if mode == REPLICATE or size == 1:
        return 0 if position < 0 else size - 1
    period = size if mode == CIRCULAR else 2 * size if mode == SYMMETRIC else 2 * (size - 1)
    position %= period
    if position < 0:
        position += period
    if position < size:
        return position
    return period - 1 - position if mode == SYMMETRIC else period - position


def sources(Py_ssize_t start, Py_ssize_t stop, Py_ssize_t size, int mode):
    """Return `source` of every position from start to stop."""
    cdef Py_ssize_t position
    return [source(position, size, mode) for position in range(start, stop)]


cdef struct Axis:
    # An axis of a strip. Padded positions with the same remainder by the stride lie side by side in a slot, so that
    # what a tap sees from neighbouring outputs is contiguous: tap t sees slot t % period, from its `tap_index` on.
    Py_ssize_t taps, stride, dilation, pad
    Py_ssize_t period, slots, reach, span


cdef Axis make_axis(Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation) noexcept nogil:
    cdef Py_ssize_t span, stride_slots, divisor = stride, remainder = dilation
    while remainder:
        divisor, remainder = remainder, divisor % remainder
    stride_slots = stride // divisor
    span = (taps - 1) * dilation + 1
    return Axis(taps, stride, dilation, 0, stride_slots, min(taps, stride_slots), (span - 1) // stride, span)


cdef Py_ssize_t tap_index(const Axis *axis, Py_ssize_t tap) noexcept nogil:
    """Return where in its slot a tap begins to see."""
    return tap * axis.dilation // axis.stride


cdef Py_ssize_t slot_position(const Axis *axis, Py_ssize_t slot, Py_ssize_t index) noexcept nogil:
    """Return the position in the image of an index into a slot."""
    cdef Py_ssize_t first = slot if axis.dilation == 1 else slot * axis.dilation % axis.stride  # divisions are slow
    return index * axis.stride + first - axis.pad


cdef struct Range:
    Py_ssize_t first, last


cdef enum Lanes:
    # What lies side by side in a vector of sums: neighbouring pixels of a map, or the same pixel of neighbouring maps.
    PIXELS
    FILTERS

cdef enum:
    BLOCK_VECTORS = FILTER_TILE_VECTORS
    SLACK = 64         # numbers behind a strip or a panel that vectors may touch
    CACHE_BYTES = 1 << 20  # that a core has for itself
    BLOCK_TILES = 8    # at most, that meet one block of filters after the other
    STRIP_COLUMNS = 256  # that `direct` computes at a time
    LINE_BYTES = 64        # of the cache
    ALIGNED_BYTES = 1 << 15  # of arrays that are worth beginning at a line
    PIECE_NUMBERS = 1 << 19  # of weights that are converted and packed at a time
    ASK_PRODUCTS = 1 << 22  # after which a unit asks whether to stop: at most a few milliseconds

cdef struct SweepRun:
    # Sweeps of one kind, side by side, over the vectors of a row of a map from `first` on.
    const fc_sweep_kind *kind
    Py_ssize_t first, count

cdef struct Job:
    # One convolution by tiles, as its units see it. Steps count numbers.
    const fc_kernels *kernels
    const void *images         # (N, C, D, H, W)
    const void *weight         # (K, C / groups, kd, kh, kw), or as `pack` left it
    Py_ssize_t[5] weight_step
    const void *bias           # (K,)
    void *maps                 # (N, K, D', H', W')
    Py_ssize_t[4] image_step
    Py_ssize_t[3] size         # of an image
    Py_ssize_t[3] map_step
    Py_ssize_t[3] map_size
    Axis[3] axis
    int mode, activation, bits
    double low, high           # what the activation clips to
    Py_ssize_t groups, channels, filters, taps  # channels and filters of a group; taps over all its channels
    Lanes lanes
    bint packed                # the weights
    bint panels                # copy the pixels in the lanes tap by tap, or read them where they are
    bint in_place              # read the image, not a strip; pixels in the lanes then leave panels to further blocks
    bint far_maps              # lie beyond the cache: tiles fetch them before they write, others write past it
    bint by_position           # of the kernel: all channels of one, then those of the next one
    Py_ssize_t vectors         # of a tile, when lanes are pixels; of a row of a map, when sweeping
    Py_ssize_t strip_rows, strips, parts, chunk, block_tiles
    Py_ssize_t pitch, row_step, plane_step  # of a strip
    Py_ssize_t[3] step         # from what an output sees in a slot to what the next one sees
    Py_ssize_t width           # of a panel
    const Py_ssize_t *offset   # from a pixel to what each tap sees
    Py_ssize_t units
    const SweepRun *runs       # that cover the vectors of a row, when sweeping,
    Py_ssize_t[SWEEP_MAX_ROWS + 1] first_run  # those for so many rows at once from first_run[rows - 1] on
    const unsigned *masks      # of the lanes that see the image, when sweeping: `mask_row` says for which vectors
    Range plain                # vectors all of whose lanes see the image, for every tap
    Py_ssize_t lines           # of a strip, when sweeping
    Py_ssize_t zero_numbers    # of a row of the padding, 0 if there is none
    Py_ssize_t stacks          # of as many channels as there are lanes, when those are swept at once; else 0
    Py_ssize_t across          # stride of the columns that sweeps see, 1 in a strip
    bint pairs                 # of taps that lie a few vectors apart, for kernels of one row that sweep
    Py_ssize_t apart           # output rows whose kernels see the same lines
    Py_ssize_t strip_numbers, panel_numbers, sums_numbers, block_numbers


cdef Range share(Py_ssize_t whole, Py_ssize_t parts, Py_ssize_t part) noexcept nogil:
    """Return one of so many nearly equal parts of 0..whole."""
    return Range(whole * part // parts, whole * (part + 1) // parts)


cdef Py_ssize_t ceiling(Py_ssize_t whole, Py_ssize_t step) noexcept nogil:
    return (whole + step - 1) // step


cdef inline bint is_stopped(Py_ssize_t *products, Py_ssize_t more) noexcept nogil:
    """Count products; every few milliseconds ask whether an interrupt wants the unit to return at once."""
    products[0] += more
    if products[0] < ASK_PRODUCTS:
        return False
    products[0] = 0
    return fc_stopping()


cdef inline void add_stepping(number *out, Py_ssize_t columns, const number *image, Py_ssize_t step, Py_ssize_t plane,
                              Py_ssize_t channels, const number *weight, Py_ssize_t weight_plane) noexcept nogil:
    """Add one tap of a filter to a run of columns: out[o] += sum over c of weight[c] * image[c, o * step]."""
    cdef const number *image1
    cdef const number *image2
    cdef const number *image3
    cdef number weight0, weight1, weight2, weight3
    cdef Py_ssize_t o, quads = channels // 4
    for _ in range(quads):  # four channels a pass, so that out is loaded and stored a quarter as often
        image1 = image + plane
        image2 = image1 + plane
        image3 = image2 + plane
        weight0 = weight[0]
        weight1 = weight[weight_plane]
        weight2 = weight[2 * weight_plane]
        weight3 = weight[3 * weight_plane]
        for o in range(columns):
            out[o] = (out[o] + weight0 * image[o * step] + weight1 * image1[o * step]
                      + weight2 * image2[o * step] + weight3 * image3[o * step])
        image = image3 + plane
        weight += 4 * weight_plane
    for _ in range(channels - 4 * quads):
        weight0 = weight[0]
        for o in range(columns):
            out[o] = out[o] + weight0 * image[o * step]
        image += plane
        weight += weight_plane


cdef void add_channels(number *out, Py_ssize_t columns, const number *image, Py_ssize_t step, Py_ssize_t plane,
                       Py_ssize_t channels, const number *weight, Py_ssize_t weight_plane) noexcept nogil:
    """Do `add_stepping`: with a step known to the compiler, it turns the columns into vectors."""
    if step == 1:
        add_stepping(out, columns, image, 1, plane, channels, weight, weight_plane)
    elif step == 2:
        add_stepping(out, columns, image, 2, plane, channels, weight, weight_plane)
    else:
        add_stepping(out, columns, image, step, plane, channels, weight, weight_plane)


cdef void activate(number *out, Py_ssize_t columns, int activation) noexcept nogil:
    """Apply the activation to a run of output columns; a NaN stays a NaN."""
    cdef Py_ssize_t o
    if number is floatcomplex or number is doublecomplex:
        return
    elif number is int32_t or number is int64_t:
        for o in range(columns):
            if out[o] < 0:
                out[o] = 0
            elif activation == RELU6 and out[o] > 6:
                out[o] = 6
    else:
        if activation == RELU:
            for o in range(columns):
                out[o] = 0 if out[o] < 0 else out[o]
        elif activation == RELU6:
            for o in range(columns):
                out[o] = 0 if out[o] < 0 else 6 if out[o] > 6 else out[o]
        elif activation == LEAKY_RELU:
            for o in range(columns):
                out[o] = <number>0.01 * out[o] if out[o] < 0 else out[o]
        elif activation == SIGMOID:
            for o in range(columns):
                out[o] = 1 / (1 + (expf(-out[o]) if number is float else exp(-out[o])))
        elif activation == SILU:
            for o in range(columns):
                out[o] = (0 if out[o] == -INFINITY else
                          out[o] / (1 + (expf(-out[o]) if number is float else exp(-out[o]))))
        elif activation == HARDSWISH:
            for o in range(columns):
                out[o] = 0 if out[o] < -3 else out[o] if out[o] > 3 else out[o] * (out[o] + 3) / 6
        elif activation == TANH:
            for o in range(columns):
                out[o] = tanhf(out[o]) if number is float else tanh(out[o])


def apply_activation(real[:, :, :, :, :] maps, int activation):
    """Apply the activation to maps of any strides in place."""
    cdef Py_ssize_t n, k, z, y, x
    cdef bint together = maps.strides[4] == <Py_ssize_t>sizeof(real)
    with nogil:
        for n in range(maps.shape[0]):
            for k in range(maps.shape[1]):
                for z in range(maps.shape[2]):
                    for y in range(maps.shape[3]):
                        if together:
                            activate(&maps[n, k, z, y, 0], maps.shape[4], activation)
                            continue
                        for x in range(maps.shape[4]):
                            activate(&maps[n, k, z, y, x], 1, activation)


@cython.final
cdef class Layout:
    """How to compute a convolution, beyond what the arrays say: the kernel's geometry, and the sizes of blocks.

    Blocks are planned for maps of one size, and serve smaller ones as well.
    """

    cdef Job job
    cdef Py_ssize_t[::1] offsets

    def __init__(self, map_size, kernel, stride, dilation, groups, padding_mode, activation):
        cdef Py_ssize_t axis
        for axis in range(3):
            self.job.axis[axis] = make_axis(kernel[axis], stride[axis], dilation[axis])
            self.job.map_size[axis], self.job.step[axis] = map_size[axis], 1
        self.job.groups, self.job.mode, self.job.activation = groups, padding_mode, activation
        self.job.low = 0 if activation == RELU or activation == RELU6 else -INFINITY
        self.job.high = 6 if activation == RELU6 else INFINITY

    cdef void choose(self, Py_ssize_t channels, Py_ssize_t filters, Py_ssize_t bits, Py_ssize_t strip_rows):
        """Choose the instruction set, for numbers of so many bits, and the output rows that are computed at a time."""
        cdef Job *job = &self.job
        job.kernels = &isa.f32 if bits == 32 else &isa.f64
        job.channels, job.filters, job.bits = channels, filters, bits
        job.taps = job.channels * job.axis[0].taps * job.axis[1].taps * job.axis[2].taps
        job.parts = 1
        job.strip_rows = strip_rows
        job.pitch = (job.map_size[2] - 1) * job.step[2] + 1 + job.axis[2].reach
        job.row_step = job.axis[2].slots * job.pitch
        job.plane_step = ((job.strip_rows - 1) * job.step[1] + 1 + job.axis[1].reach) * job.row_step

    def sweep(self, filters, bits, strip_rows, *, in_place, parts, far_maps, zero_rows=True):
        """Choose sweeps, for filters that see one channel; in place is for zero-padding and, across
        the columns, stride 1, or stride 2 without dilation; far maps are written past the cache; zero rows
        are those of the padding, which maps of one row, for example, may not see."""
        cdef Job *job = &self.job
        self.choose(1, filters, bits, strip_rows)
        job.in_place, job.parts, job.far_maps = in_place, parts, far_maps
        job.across = job.axis[2].stride if in_place else 1
        job.pairs = job.axis[1].taps == 1 and job.across == 1
        job.apart = job.axis[1].dilation * job.axis[1].period // job.axis[1].stride
        job.lines = (job.strip_rows - 1) * job.axis[1].stride + job.axis[1].span
        job.strip_numbers = job.taps
        if zero_rows:
            job.zero_numbers = max(job.row_step, job.map_size[2] * job.across + job.axis[2].span) + SLACK
            job.strip_numbers += job.zero_numbers
        if not in_place:
            job.strip_numbers += job.lines * job.row_step + SLACK
        self.place_taps()

    def stack(self, filters, bits, strip_rows, *, parts):
        """Choose sweeps of stacks of channels, for filters that see one channel; for zero-padding and, across the
        columns, 3, 5 or 7 taps, stride 1 or 2 and no dilation."""
        cdef Job *job = &self.job
        cdef Py_ssize_t lanes, pixels
        self.choose(1, filters, bits, strip_rows)
        lanes = job.kernels.lanes
        job.stacks = ceiling(job.groups, lanes)
        job.parts = min(<Py_ssize_t>parts, job.stacks)
        job.lines = (job.strip_rows - 1) * job.axis[1].stride + job.axis[1].span
        pixels = job.lines * (job.map_size[2] * job.axis[2].stride + job.axis[2].span)
        pixels += job.strip_rows * job.map_size[2]
        job.strip_numbers = (pixels + job.taps + 5 * lanes + 2) * lanes
        self.place_taps()

    def tile(self, channels, filters, bits, strip_rows, *, by_filters, packed, panels, in_place, chunk, block_tiles,
             by_position=False):
        """Choose tiles, and how they go over pixels and filters; in place is for images without padding,
        with pixels in the lanes only for kernels of one tap and stride 1; or by position, for filters in the lanes,
        whose packed weights lie in the order (K, kd, kh, kw, C), and zero-padding."""
        cdef Job *job = &self.job
        cdef Axis *along
        cdef Py_ssize_t axis
        job.lanes = FILTERS if by_filters else PIXELS
        job.by_position = by_position
        if job.lanes == FILTERS and not by_position:  # pixels need not lie side by side
            for axis in range(1, 3):
                along = &job.axis[axis]
                job.step[axis] = along.stride
                along[0] = make_axis(along.taps, 1, along.dilation)
        self.choose(channels, filters, bits, strip_rows)
        job.packed, job.panels, job.in_place = packed, panels, in_place
        job.vectors = job.kernels.tile_vectors[min(job.filters, job.kernels.tile_filters)]
        job.far_maps = (job.groups * job.filters * job.map_size[0] * job.map_size[1] * job.map_size[2] * job.bits
                        > 8 * CACHE_BYTES)
        job.block_tiles = min(<Py_ssize_t>block_tiles, BLOCK_TILES)
        job.chunk = min(<Py_ssize_t>chunk, job.taps)
        job.width = (BLOCK_VECTORS if job.lanes == FILTERS else job.vectors) * job.kernels.lanes
        if not job.in_place:
            job.strip_numbers = job.channels * job.axis[0].taps * job.axis[1].slots * job.plane_step + SLACK
        if job.panels or (job.in_place and job.lanes == PIXELS):
            job.panel_numbers = job.block_tiles * panel_step(job)
        job.sums_numbers = job.filters * job.width
        if job.lanes == FILTERS:
            job.sums_numbers = (1 + job.strip_rows * job.map_size[2]) * packed_rows(job)
        job.block_numbers = 0 if job.packed or job.lanes == PIXELS else job.chunk * job.width
        self.place_taps()

    cdef place_taps(self):
        """Note where in a strip, and in a panel, each tap sees what belongs to a pixel."""
        cdef Job *job = &self.job
        cdef Py_ssize_t c, i, j, k, v, t = 0
        self.offsets = np.empty(job.taps, np.intp)
        job.offset = &self.offsets[0]
        for c in range(job.channels):
            for i in range(job.axis[0].taps):
                for j in range(job.axis[1].taps):
                    for v in range(job.axis[2].taps):
                        k = tap_in_order(job, v)
                        self.offsets[t] = (
                            (c * job.axis[0].taps + i) * job.axis[1].slots * job.plane_step
                            + j % job.axis[1].period * job.plane_step + tap_index(&job.axis[1], j) * job.row_step
                            + k % job.axis[2].period * job.pitch + tap_index(&job.axis[2], k))
                        t += 1

    def describe(self):
        """Say in words what was chosen."""
        cdef Job *job = &self.job
        where = "the image in place" if job.in_place else f"strips of {job.strip_rows} rows"
        if job.stacks:
            return f"sweeps down stacks of channels, {where}"
        if job.lines:
            return f"sweeps down {where}"
        lanes = "filters" if job.lanes == FILTERS else "pixels"
        where += ", position of the kernel by position" if job.by_position else ""
        return f"{lanes} in the lanes, {where}{', panels' if job.panels else ''}, chunks of {job.chunk} taps"

    @property
    def workspace(self):
        """Bytes that each thread works in."""
        return workspace_bytes(&self.job)

    @property
    def packed_numbers(self):
        """How many numbers the packed weights are."""
        return self.job.groups * packed_rows(&self.job) * self.job.taps

    @property
    def pieces(self):
        """Where pieces of the bank begin that can be packed one after another, and where the last one ends."""
        return pieces(&self.job, False)

    @property
    def by_position(self):
        """Whether positions of the kernel follow one another, and what they see of the padding is left out."""
        return bool(self.job.by_position)


cdef Py_ssize_t workspace_bytes(const Job *job) noexcept nogil:
    cdef Py_ssize_t numbers = job.strip_numbers + job.panel_numbers + job.sums_numbers + job.block_numbers
    return numbers * job.bits // 8 + job.lines * 2 * sizeof(void *)


cdef Py_ssize_t seen(const Axis *axis, Py_ssize_t position, Py_ssize_t tap, Py_ssize_t size, int mode) noexcept nogil:
    """Return which pixel of an axis the tap sees when the kernel is at this position; -1 for a zero of the padding."""
    return source(position * axis.stride + tap * axis.dilation - axis.pad, size, mode)


cdef Range seeing(const Axis *axis, Py_ssize_t tap, Py_ssize_t size, Range outputs) noexcept nogil:
    """Return which of the outputs first..last see a pixel of the image, not of the padding, through this tap."""
    # At o it sees pixel o * stride + offset.
    cdef Py_ssize_t offset = tap * axis.dilation - axis.pad
    cdef Py_ssize_t inside = 0 if offset >= 0 else ceiling(-offset, axis.stride)
    cdef Py_ssize_t outside = 0 if offset >= size else (size - 1 - offset) // axis.stride + 1
    inside = min(max(outputs.first, inside), outputs.last)
    return Range(inside, min(max(outside, inside), outputs.last))


def sight(Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation, Py_ssize_t pad, Py_ssize_t size,
          Py_ssize_t outputs):
    """Return which part of an axis' products sees the image, not zeros around it."""
    cdef Axis axis = make_axis(taps, stride, dilation)
    cdef Range some
    cdef Py_ssize_t tap
    cdef double total = 0
    axis.pad = pad
    for tap in range(taps):
        some = seeing(&axis, tap, size, Range(0, outputs))
        total += some.last - some.first
    return total / (<double>taps * outputs)


cdef void slide(number *out, const number *image, const number *weight, Py_ssize_t depth, Py_ssize_t row,
                Py_ssize_t first, Py_ssize_t last, const Job *job) noexcept nogil:
    """Slide one filter along columns first..last of one output row, and add up what it sees.

    out (W',), image (C, D, H, W), weight (C, kd, kh, kw).
    """
    cdef const Py_ssize_t *image_step = &job.image_step[1]
    cdef const Py_ssize_t *weight_step = &job.weight_step[1]
    cdef Py_ssize_t stride = job.axis[2].stride, columns = job.size[2]
    cdef Py_ssize_t i, j, k, o, z, y, x, products = 0
    cdef Range inside
    cdef const number *image_row
    cdef const number *tap
    for i in range(job.axis[0].taps):
        z = seen(&job.axis[0], depth, i, job.size[0], job.mode)
        if z < 0:
            continue
        for j in range(job.axis[1].taps):
            y = seen(&job.axis[1], row, j, job.size[1], job.mode)
            if y < 0:
                continue
            if is_stopped(&products, (last - first) * job.axis[2].taps * job.channels):
                return
            image_row = image + z * image_step[1] + y * image_step[2]
            for k in range(job.axis[2].taps):
                tap = weight + i * weight_step[1] + j * weight_step[2] + k * weight_step[3]
                inside = seeing(&job.axis[2], k, columns, Range(first, last))
                x = inside.first * stride + k * job.axis[2].dilation - job.axis[2].pad
                add_channels(out + inside.first, inside.last - inside.first, image_row + x, stride,
                             image_step[0], job.channels, tap, weight_step[0])
                if job.mode == ZEROS:
                    continue
                for o in range(first, last):
                    if not inside.first <= o < inside.last:
                        x = seen(&job.axis[2], o, k, columns, job.mode)
                        add_channels(out + o, 1, image_row + x, 1, image_step[0], job.channels, tap, weight_step[0])


def direct(const number[:, :, :, :, :] images, const number[:, :, :, :, :] weight, const number[:] bias,
           number[:, :, :, :, :] maps, pads, Layout layout, Py_ssize_t threads):
    """Convolve images with a filter bank by sliding every filter over every image.

    images (N, C, D, H, W) have their columns side by side, maps (N, K, D', H', W') their planes;
    weight (K, C / groups, kd, kh, kw); bias (K,) or None.
    """
    cdef Job job = layout.job
    cdef Py_ssize_t axis
    see_arrays(&job, images, maps, pads)
    job.weight = &weight[0, 0, 0, 0, 0]
    job.bias = NULL
    if bias is not None:
        job.bias = &bias[0]
    job.channels, job.filters = weight.shape[1], weight.shape[0] // job.groups
    for axis in range(5):
        job.weight_step[axis] = weight.strides[axis] // <Py_ssize_t>sizeof(number)
    job.strips = ceiling(job.map_size[2], STRIP_COLUMNS)
    job.units = maps.shape[0] * job.map_size[0] * job.map_size[1] * job.strips
    run(<fc_unit_fn>direct_unit[number], &job, 0, threads)


cdef see_arrays(Job *job, const number[:, :, :, :, :] images, number[:, :, :, :, :] maps, pads):
    """Note where images (N, C, D, H, W) and maps (N, K, D', H', W') lie."""
    cdef Py_ssize_t axis
    job.images, job.maps = &images[0, 0, 0, 0, 0], &maps[0, 0, 0, 0, 0]
    for axis in range(3):
        job.axis[axis].pad = pads[axis]
        job.size[axis], job.map_size[axis] = images.shape[axis + 2], maps.shape[axis + 2]
        job.map_step[axis] = maps.strides[axis] // <Py_ssize_t>sizeof(number)
    for axis in range(4):
        job.image_step[axis] = images.strides[axis] // <Py_ssize_t>sizeof(number)


cdef void direct_unit(number *_, const Job *job, Py_ssize_t index) noexcept nogil:
    """Compute a strip of one output row for every filter: so short that the image below it stays in the cache."""
    cdef Py_ssize_t first = index % job.strips * STRIP_COLUMNS, row = index // job.strips % job.map_size[1]
    cdef Py_ssize_t depth = index // job.strips // job.map_size[1] % job.map_size[0]
    cdef Py_ssize_t n = index // job.strips // job.map_size[1] // job.map_size[0]
    cdef Py_ssize_t last = min(first + STRIP_COLUMNS, job.map_size[2]), k, o, products = 0
    cdef Py_ssize_t taps = job.axis[0].taps * job.axis[1].taps * job.axis[2].taps
    cdef const number *image = <const number *>job.images + n * job.image_step[0]
    cdef const number *weight = <const number *>job.weight
    cdef number *out = (<number *>job.maps + n * job.map_step[0] + depth * job.map_step[2] + row * job.map_size[2])
    cdef number start
    for k in range(job.groups * job.filters):
        if is_stopped(&products, (last - first) * taps * job.channels):
            return
        start = (<const number *>job.bias)[k] if job.bias != NULL else 0
        for o in range(first, last):
            out[o] = start
        slide(out, image + k // job.filters * job.channels * job.image_step[1], weight, depth, row, first, last, job)
        if job.activation != IDENTITY:
            activate(out + first, last - first, job.activation)
        weight += job.weight_step[0]
        out += job.map_step[1]


cdef int check_signals() noexcept with gil:
    return PyErr_CheckSignals()


cdef run(fc_unit_fn unit, const Job *job, size_t workspace, Py_ssize_t threads, bint keep_gil=False):
    """Run all units of a job, without the GIL as a rule, until a signal handler raises an exception."""
    cdef int status
    if keep_gil:
        status = fc_run(unit, job, job.units, workspace, threads, check_signals)
    else:
        with nogil:
            status = fc_run(unit, job, job.units, workspace, threads, check_signals)
    if status == -1:
        raise MemoryError(f"no memory for a workspace of {workspace} bytes")
    if status == -2:
        raise_pending()


cdef void fill_strip(real *strip, const real *image, const Job *job, Py_ssize_t depth, Py_ssize_t first_row,
                     Py_ssize_t rows) noexcept nogil:
    """Copy what some output rows see of an image into a strip (C * kd, row slots, rows, column slots, pitch)."""
    cdef const Axis *axis = &job.axis[1]
    cdef Py_ssize_t c, i, slot, row, z, y, some, seen_rows = (rows - 1) * job.step[1] + 1 + axis.reach
    cdef real *plane = strip
    cdef Range inside
    first_row *= job.step[1]
    for c in range(job.channels):
        for i in range(job.axis[0].taps):
            z = source(depth * job.axis[0].stride + i * job.axis[0].dilation - job.axis[0].pad, job.size[0], job.mode)
            for slot in range(axis.slots):
                inside = inside_slot(axis, slot, first_row, seen_rows, job.size[1])
                row = 0
                while row < seen_rows:
                    y = source(slot_position(axis, slot, first_row + row), job.size[1], job.mode)
                    some = inside.last - row if inside.first <= row < inside.last else 1
                    if z < 0 or y < 0:
                        memset(plane + row * job.row_step, 0, some * job.row_step * sizeof(real))
                    else:
                        fill_rows(plane + row * job.row_step, image + c * job.image_step[1] + z * job.image_step[2],
                                  job, y, some)
                    row += some
                plane += job.plane_step


cdef void fill_rows(real *row, const real *plane, const Job *job, Py_ssize_t y, Py_ssize_t rows) noexcept nogil:
    """Copy some rows of an image that lie a stride apart, from row y on, with what lies beside them, slot by slot."""
    cdef const Axis *axis = &job.axis[2]
    cdef Py_ssize_t slot, index, start, step = job.axis[1].stride * job.image_step[3], stride = axis.stride
    cdef bint deals = ((stride == 1 or stride == 2 or stride == 4 or stride == 8)
                       and (axis.slots == 1 or axis.dilation % stride == 1))
    cdef const real *pixels = plane + y * job.image_step[3]
    cdef fc_frame request
    cdef Range inside
    if deals:
        request.to, request.to_step, request.rows = row, job.pitch, rows
        request.source, request.source_step, request.first, request.columns = pixels, step, -axis.pad, job.size[2]
        request.ways, request.slots = stride, axis.slots
        job.kernels.frame(&request)
        if job.mode == ZEROS:
            return
    for _ in range(rows):
        for slot in range(axis.slots):
            inside = inside_slot(axis, slot, 0, job.pitch, job.size[2])
            if not deals:
                start = slot_position(axis, slot, 0)
                for index in range(inside.first, inside.last):
                    row[index] = pixels[start + stride * index]
            fill_border(row, slot, 0, inside.first, pixels, job)
            fill_border(row, slot, inside.last, job.pitch, pixels, job)
            row += job.pitch
        pixels += step


cdef Range inside_slot(const Axis *axis, Py_ssize_t slot, Py_ssize_t first, Py_ssize_t count,
                       Py_ssize_t size) noexcept nogil:
    """Return which of some indices into a slot, counted from `first` on, lie in the image."""
    cdef Py_ssize_t inside = -slot_position(axis, slot, first), beyond = inside + size
    if axis.stride > 1:  # divisions are slow
        inside, beyond = ceiling(inside, axis.stride), ceiling(beyond, axis.stride)
    inside = min(max(0, inside), count)
    return Range(inside, min(max(inside, beyond), count))


cdef void fill_border(real *row, Py_ssize_t slot, Py_ssize_t first, Py_ssize_t last, const real *pixels,
                      const Job *job) noexcept nogil:
    """Fill a part of a slot, be it in the image or beyond, pixel by pixel."""
    cdef Py_ssize_t index, x, start
    if first < last:
        start = slot_position(&job.axis[2], slot, 0)
    for index in range(first, last):
        x = source(start + index * job.axis[2].stride, job.size[2], job.mode)
        row[index] = pixels[x] if x >= 0 else 0


cdef Py_ssize_t filter_blocks(const Job *job) noexcept nogil:
    """Return into how many blocks the filters of a group fall."""
    cdef Py_ssize_t blocks
    if job.lanes == PIXELS:
        return ceiling(job.filters, job.kernels.tile_filters)
    blocks = ceiling(ceiling(job.filters, job.kernels.lanes), BLOCK_VECTORS)
    return blocks + 1 if blocks % 2 and blocks > 3 else blocks  # threads share an even number better


cdef Range filter_block(const Job *job, Py_ssize_t block) noexcept nogil:
    """Return the filters of a block, in whole vectors when lanes are filters."""
    cdef Range vectors
    if job.lanes == PIXELS:
        return share(job.filters, filter_blocks(job), block)
    vectors = share(ceiling(job.filters, job.kernels.lanes), filter_blocks(job), block)
    return Range(vectors.first * job.kernels.lanes, vectors.last * job.kernels.lanes)


cdef void pack_block(real *packed, const real *weight, const Job *job, Range filters, Range taps) noexcept nogil:
    """Lay what a block of filters of a group (K, taps) has for some taps out in the order in which tiles read it."""
    cdef Py_ssize_t t, width = filters.last - filters.first
    cdef Py_ssize_t count = min(filters.last, job.filters) - filters.first
    weight += filters.first * job.taps + taps.first
    job.kernels.transpose(packed, width, weight, job.taps, count, taps.last - taps.first)
    if count < width:
        for t in range(taps.last - taps.first):
            memset(packed + t * width + count, 0, (width - count) * sizeof(real))


cdef Py_ssize_t packed_place(const Job *job, Py_ssize_t group, Py_ssize_t block, Range taps) noexcept nogil:
    """Return where the packed weights of some taps begin: they lie chunk by chunk, in each one block by block."""
    cdef Py_ssize_t rows = packed_rows(job)
    return group * rows * job.taps + taps.first * rows + filter_block(job, block).first * (taps.last - taps.first)


cdef Py_ssize_t packed_rows(const Job *job) noexcept nogil:
    """Return for how many filters of a group there is room: those in the lanes fill up vectors."""
    return job.filters if job.lanes == PIXELS else ceiling(job.filters, job.kernels.lanes) * job.kernels.lanes


cdef void pack_filters(real *packed, const real *weight, const Job *job, Range filters) noexcept nogil:
    """Lay the weights (K, taps) of a piece of the bank out in the order in which tiles read them."""
    cdef Py_ssize_t group, block
    cdef Range taps, some
    while filters.first < filters.last:
        group = filters.first // job.filters
        some = Range(filters.first % job.filters, min(filters.last - group * job.filters, job.filters))
        for block in range(filter_blocks(job)):
            if not some.first <= filter_block(job, block).first < some.last:
                continue
            taps = Range(0, 0)
            while taps.last < job.taps:
                taps = next_chunk(job, taps)
                pack_block(packed + packed_place(job, group, block, taps), weight - some.first * job.taps, job,
                           filter_block(job, block), taps)
        weight += (some.last - some.first) * job.taps
        filters.first += some.last - some.first


cdef list pieces(const Job *job, bint by_vectors):
    """Return where pieces of the bank begin that can be packed by themselves, and where the last one ends.

    They are whole groups, or whole blocks or vectors of a group's filters, and so few that they take little memory.
    """
    cdef Py_ssize_t group, part, end, start = 0, most = max(1, PIECE_NUMBERS // job.taps)
    cdef Py_ssize_t parts = ceiling(job.filters, job.kernels.lanes) if by_vectors else filter_blocks(job)
    if job.filters <= most:
        return [*range(0, job.groups * job.filters, most // job.filters * job.filters), job.groups * job.filters]
    starts = [0]
    for group in range(job.groups):
        for part in range(parts):
            end = (part + 1) * job.kernels.lanes if by_vectors else filter_block(job, part).last
            end = group * job.filters + min(end, job.filters)
            if end - start >= most or part == parts - 1:
                starts.append(end)
                start = end
    return starts


cdef Range next_chunk(const Job *job, Range taps) noexcept nogil:
    cdef Py_ssize_t end = (taps.last // job.channels + 1) * job.channels if job.by_position else job.taps
    return Range(taps.last, min(taps.last + job.chunk, end))


cdef Py_ssize_t panel_step(const Job *job) noexcept nogil:
    return job.chunk * job.width + SLACK


cdef struct Unit:
    # One strip of output rows of one image, and some of the filters.
    Py_ssize_t n, group, depth, first_row, rows, pixels
    Range blocks
    Py_ssize_t columns, row_vectors  # of what vectors of pixels must not reach beyond: a row where it lies, or all rows
    Py_ssize_t vectors, tiles


cdef Unit find_unit(const Job *job, Py_ssize_t index) noexcept nogil:
    cdef Unit unit
    cdef Range rows
    unit.blocks = share(filter_blocks(job), job.parts, index % job.parts)
    index //= job.parts
    rows = share(job.map_size[1], job.strips, index % job.strips)
    index //= job.strips
    unit.depth = index % job.map_size[0]
    index //= job.map_size[0]
    unit.group = 0 if job.lines else index % job.groups
    unit.n = index if job.lines else index // job.groups
    unit.first_row, unit.rows = rows.first, rows.last - rows.first
    unit.pixels = unit.rows * job.map_size[2]
    unit.columns = job.map_size[2]
    if job.lanes == PIXELS and (job.panels or job.in_place):
        unit.columns = unit.pixels
    unit.row_vectors = ceiling(unit.columns, job.kernels.lanes)
    unit.vectors = unit.row_vectors * (unit.rows if unit.columns < unit.pixels else 1)
    if job.lanes == FILTERS:
        unit.tiles = ceiling(unit.pixels, job.kernels.tile_filters)
    else:
        unit.tiles = 0 if job.lines else ceiling(unit.vectors, job.vectors)
    return unit


cdef struct Tile:
    # Some neighbouring pixels of a unit, and where their vectors begin in what is read (image or strip) and in a
    # map; when lanes are filters, only where every pixel is read.
    Range pixels
    Py_ssize_t vectors
    Py_ssize_t[TILE_MAX_FILTERS] seen
    Py_ssize_t[TILE_MAX_VECTORS] place


cdef void find_tile(Tile *tile, const Job *job, const Unit *unit, Py_ssize_t index) noexcept nogil:
    """Find a tile; its last vector may reach beyond the unit in the tile's panel, and moves back elsewhere."""
    cdef Range vectors = share(unit.vectors, unit.tiles, index)
    cdef Py_ssize_t j, row, column, lanes = job.kernels.lanes
    cdef Py_ssize_t down = job.step[1] * (job.image_step[3] if job.in_place else job.row_step)
    if job.lanes == FILTERS:
        tile.pixels = share(unit.pixels, unit.tiles, index)
        for j in range(tile.pixels.last - tile.pixels.first):
            row, column = (tile.pixels.first + j) // unit.columns, (tile.pixels.first + j) % unit.columns
            tile.seen[j] = row * down + column * job.step[2]
        return
    tile.pixels = Range(vectors.first * lanes, vectors.last * lanes)
    tile.vectors = vectors.last - vectors.first
    for j in range(tile.vectors):
        row, column = (vectors.first + j) // unit.row_vectors, (vectors.first + j) % unit.row_vectors * lanes
        if not job.panels:
            column = min(column, unit.columns - lanes)
        tile.seen[j] = row * down + column
        tile.place[j] = row * unit.columns + column


cdef void fill_panel(real *panel, const real *strip, const Job *job, Range pixels, Py_ssize_t unit_pixels, Range taps,
                     Py_ssize_t *runs) noexcept nogil:
    """Copy what these taps see from a tile of pixels, row of the map by row, into a panel (taps, width)."""
    cdef fc_panel request
    cdef Py_ssize_t pixel = pixels.first, columns = job.map_size[2], count = 0, room = TILE_MAX_VECTORS * 16
    pixels.last = min(pixels.last, unit_pixels)
    while pixel < pixels.last:
        runs[count] = pixel - pixels.first
        runs[room + count] = pixel // columns * job.row_step + pixel % columns
        runs[2 * room + count] = min(columns - pixel % columns, pixels.last - pixel)
        pixel += runs[2 * room + count]
        count += 1
    request.panel = panel
    request.width = job.width
    request.image = strip
    request.offset = job.offset + taps.first
    request.taps = taps.last - taps.first
    request.runs = count
    request.start, request.seen, request.length = runs, runs + room, runs + 2 * room
    job.kernels.panel(&request)


cdef void convolve_unit(real *workspace, const Job *job, Py_ssize_t index) noexcept nogil:
    """Compute some filters' maps over one strip of output rows of one image.

    Panels of pixels meet blocks of filters, chunk of taps by chunk, so that what meets is in the cache.
    """
    cdef Unit unit = find_unit(job, index)
    cdef Py_ssize_t[3 * TILE_MAX_VECTORS * 16] runs
    cdef real *strip = workspace
    cdef real *panels = strip + job.strip_numbers
    cdef real *sums = panels + job.panel_numbers
    cdef const real *image = (<const real *>job.images + unit.n * job.image_step[0]
                              + unit.group * job.channels * job.image_step[1])
    cdef real *maps = (<real *>job.maps + unit.n * job.map_step[0] + unit.group * job.filters * job.map_step[1]
                       + unit.depth * job.map_step[2] + unit.first_row * job.map_size[2])
    cdef Tile[BLOCK_TILES] tiles
    cdef Py_ssize_t tile, turn, turns = ceiling(unit.tiles, job.block_tiles), count, block, products = 0
    cdef Py_ssize_t filters = ceiling(job.filters, filter_blocks(job))  # of a block
    cdef Range taps, some
    if job.in_place:
        strip = <real *>(image + unit.depth * job.axis[0].stride * job.image_step[2]
                         + unit.first_row * job.step[1] * job.image_step[3])
    else:
        fill_strip(strip, image, job, unit.depth, unit.first_row, unit.rows)
    if job.lanes == FILTERS:  # in front of the sums, whole vectors of biases
        memcpy(sums, <const real *>job.bias + unit.group * job.filters, job.filters * sizeof(real))
    for turn in range(turns):
        some = share(unit.tiles, turns, turn)
        count = some.last - some.first
        for tile in range(count):
            find_tile(tiles + tile, job, &unit, some.first + tile)
        taps = Range(0, 0)
        while taps.last < job.taps:
            taps = next_chunk(job, taps)
            if job.panels:
                for tile in range(count):
                    fill_panel(panels + tile * panel_step(job), strip, job, tiles[tile].pixels, unit.pixels, taps, runs)
            for block in range(unit.blocks.first, unit.blocks.last):
                if is_stopped(&products, filters * (taps.last - taps.first) * unit.pixels // turns):
                    return
                if job.lanes == PIXELS:
                    multiply_pixels(maps, strip, panels, sums, job, &unit, tiles, count, block, taps)
                else:
                    multiply_filters(sums, strip, job, &unit, tiles, count, block, taps)
    if job.lanes == FILTERS:
        finish_sums(maps, sums + packed_rows(job), job, &unit)
    if job.activation > RELU6:
        activate_maps(maps, job, &unit)


cdef void multiply_pixels(real *maps, const real *strip, real *panels, real *sums, const Job *job, const Unit *unit,
                          const Tile *tiles, Py_ssize_t count, Py_ssize_t block, Range taps) noexcept nogil:
    """Add to some tiles of maps what some taps of a block of filters see; lanes are pixels."""
    cdef fc_tile request
    cdef Range filters = filter_block(job, block)
    cdef Py_ssize_t i, j, rows = filters.last - filters.first, filter = unit.group * job.filters + filters.first
    cdef Py_ssize_t nth = block - unit.blocks.first, blocks = unit.blocks.last - unit.blocks.first
    # What is seen next, through further taps or by further tiles, is fetched: by the first block all at once, or, if
    # there are enough, by those after it, each a vector of every tile, so that memory is not asked in bursts.
    cdef Py_ssize_t ahead = taps.last * job.image_step[1] if taps.last < job.taps else count * job.width
    cdef bint spread = blocks > job.vectors
    cdef Py_ssize_t fetched = nth - 1 if spread else nth
    cdef bint more = taps.last < job.taps or tiles[count - 1].pixels.last < unit.vectors * job.kernels.lanes
    cdef const Tile *tile
    cdef bint ragged, kept = job.panels or (job.in_place and nth > 0)  # what the first block saw
    cdef real *panel = panels
    maps += filters.first * job.map_step[1]
    sums += filters.first * job.width
    request.weight = <const real *>job.weight + (
        packed_place(job, unit.group, block, taps) if job.packed else filter * job.taps + taps.first)
    request.filter_step = (1 if job.packed else job.taps) * sizeof(real)
    request.tap_step = (rows if job.packed else 1) * sizeof(real)
    request.taps = taps.last - taps.first
    request.offset = job.offset + taps.first
    request.keep_step = job.width * sizeof(real) if kept or blocks > 1 else 0
    request.bias = <const real *>job.bias + filter if taps.first == 0 else NULL
    request.low = job.low if taps.last == job.taps else -INFINITY
    request.high = job.high if taps.last == job.taps else INFINITY
    for tile in tiles[:count]:
        request.keep = NULL if kept or not job.in_place else panel
        request.kept = panel if kept else NULL
        if more and job.in_place and 0 <= fetched < (tile.vectors if spread else 1):
            request.ahead, request.ahead_step = strip + tile.seen[fetched] + ahead, job.image_step[1] * sizeof(real)
        else:
            request.ahead, request.ahead_step = panel, 0
        ragged = job.panels and tile.pixels.last > unit.pixels  # sums wait in the workspace until they are whole
        request.map_step = job.width if ragged else job.map_step[1]
        for j in range(tile.vectors):
            request.image[j] = strip + tile.seen[j]
            request.map[j] = sums + j * job.kernels.lanes if ragged else maps + tile.place[j]
        if job.far_maps and taps.first == 0:
            for i in range(rows):
                for j in range(tile.vectors):
                    fc_prefetch(<real *>request.map[j] + i * request.map_step)
        job.kernels.tile[rows][tile.vectors](&request)
        panel += panel_step(job)
        if ragged and taps.last == job.taps:
            for i in range(rows):
                memcpy(maps + i * job.map_step[1] + tile.pixels.first, sums + i * job.width,
                       (unit.pixels - tile.pixels.first) * sizeof(real))


cdef void multiply_filters(real *sums, const real *seen, const Job *job, const Unit *unit, const Tile *tiles,
                           Py_ssize_t count, Py_ssize_t block, Range taps) noexcept nogil:
    """Add to the sums of some tiles what some taps of a block of filters see; lanes are filters."""
    cdef fc_filter_tile request
    cdef Range filters = filter_block(job, block)
    cdef Py_ssize_t i, pixels, vectors = (filters.last - filters.first) // job.kernels.lanes
    cdef const real *weight = <const real *>job.weight + unit.group * job.filters * job.taps
    cdef const Tile *tile
    if job.packed:
        weight = <const real *>job.weight + packed_place(job, unit.group, block, taps)
    elif unit.pixels > 1:
        pack_block(sums + job.sums_numbers, weight, job, filters, taps)
        weight = sums + job.sums_numbers
    request.offset, request.taps = job.offset + taps.first, taps.last - taps.first
    request.weight, request.width = weight, filters.last - filters.first
    request.bias = sums + filters.first if taps.first == 0 else NULL
    request.low = job.low if taps.last == job.taps else -INFINITY
    request.high = job.high if taps.last == job.taps else INFINITY
    request.sums_step = packed_rows(job)
    for tile in tiles[:count]:
        pixels = tile.pixels.last - tile.pixels.first
        for i in range(pixels):
            request.pixel[i] = seen + tile.seen[i]
        request.sums = sums + (1 + tile.pixels.first) * request.sums_step + filters.first
        if job.packed or unit.pixels > 1:
            look_ahead(&request, tile - tiles, count, <real>0)
            job.kernels.filter_tile[pixels][vectors](&request)
        else:
            multiply_rows(&request, weight + taps.first, job, filters)


cdef void look_ahead(fc_filter_tile *request, Py_ssize_t tile, Py_ssize_t tiles, real _) noexcept nogil:
    """Let one of several tiles that meet the same weights fetch its share of those that come next, so that memory,
    which takes longer than the cache, is asked all the time and not by the first tile alone."""
    request.ahead_step = request.width // tiles
    request.ahead = <const real *>request.weight + request.taps * (request.width + tile * request.ahead_step)


cdef void multiply_rows(fc_filter_tile *request, const real *weight, const Job *job, Range filters) noexcept nogil:
    """Add to the sums of one pixel what filters see whose weights (K, taps) are not packed, vector by vector."""
    cdef Py_ssize_t lanes = job.kernels.lanes, vector, first
    cdef const real *bias = <const real *>request.bias
    cdef real *sums = <real *>request.sums
    request.width = job.taps
    for vector in range((filters.last - filters.first) // lanes):
        first = filters.first + vector * lanes
        request.weight = weight + first * job.taps
        request.sums = sums + vector * lanes
        if bias != NULL:
            request.bias = bias + vector * lanes
        job.kernels.lone(request, job.filters - first)


cdef void convolve_unit_by_position(real *workspace, const Job *job, Py_ssize_t index) noexcept nogil:
    """Do the same, one position of the kernel after the other: read the image in place, and nothing beyond it."""
    cdef Unit unit = find_unit(job, index)
    cdef const real *image = (<const real *>job.images + unit.n * job.image_step[0]
                              + unit.group * job.channels * job.image_step[1])
    cdef real *maps = (<real *>job.maps + unit.n * job.map_step[0] + unit.group * job.filters * job.map_step[1]
                       + unit.depth * job.map_step[2] + unit.first_row * job.map_size[2])
    cdef real *sums = workspace  # (pixels, K)
    cdef Range taps = Range(0, 0)
    cdef Py_ssize_t pixel, block, products = 0
    for pixel in range(unit.pixels):
        memcpy(sums + pixel * packed_rows(job), <const real *>job.bias + unit.group * job.filters,
               job.filters * sizeof(real))
    while taps.last < job.taps:
        taps = next_chunk(job, taps)
        if is_stopped(&products, job.filters * (taps.last - taps.first) * unit.pixels):
            return
        for block in range(unit.blocks.first, unit.blocks.last):
            multiply_position(sums, image, job, &unit, block, taps)
    finish_sums(maps, sums, job, &unit)
    if job.activation != IDENTITY:
        activate_maps(maps, job, &unit)


cdef void multiply_position(real *sums, const real *image, const Job *job, const Unit *unit, Py_ssize_t block,
                            Range taps) noexcept nogil:
    """Add to the sums (pixels, K) what a block of filters sees through some channels of one position of the kernel."""
    cdef fc_filter_tile request
    cdef Range filters = filter_block(job, block), rows, columns, some
    cdef Py_ssize_t position = taps.first // job.channels, vectors = (filters.last - filters.first) // job.kernels.lanes
    cdef Py_ssize_t i, row, tile, count, stride = job.axis[2].stride
    columns = seeing(&job.axis[2], position % job.axis[2].taps, job.size[2], Range(0, job.map_size[2]))
    position //= job.axis[2].taps
    rows = seeing(&job.axis[1], position % job.axis[1].taps, job.size[1],
                  Range(unit.first_row, unit.first_row + unit.rows))
    if seen(&job.axis[0], unit.depth, position // job.axis[1].taps, job.size[0], ZEROS) < 0:
        return
    image += (unit.depth * job.axis[0].stride - job.axis[0].pad) * job.image_step[2] - job.axis[2].pad
    count = ceiling(columns.last - columns.first, job.kernels.tile_filters)
    request.offset, request.taps = job.offset + taps.first, taps.last - taps.first
    request.weight = <const real *>job.weight + packed_place(job, unit.group, block, taps)
    request.width, request.sums_step = filters.last - filters.first, packed_rows(job)
    request.bias, request.low, request.high = NULL, -INFINITY, INFINITY
    for row in range(rows.first, rows.last):
        for tile in range(count):
            some = share(columns.last - columns.first, count, tile)
            for i in range(some.last - some.first):
                request.pixel[i] = (image + (row * job.axis[1].stride - job.axis[1].pad) * job.image_step[3]
                                    + (columns.first + some.first + i) * stride)
            i = (row - unit.first_row) * job.map_size[2] + columns.first + some.first
            request.sums = sums + i * request.sums_step + filters.first
            look_ahead(&request, tile, count, <real>0)
            job.kernels.filter_tile[some.last - some.first][vectors](&request)


cdef void finish_sums(real *maps, const real *sums, const Job *job, const Unit *unit) noexcept nogil:
    """Write the sums (pixels, K) of a unit's filters to their maps."""
    cdef Range filters = unit_filters(job, unit)
    job.kernels.transpose(maps + filters.first * job.map_step[1], job.map_step[1], sums + filters.first,
                          packed_rows(job), unit.pixels, filters.last - filters.first)


cdef void activate_maps(real *maps, const Job *job, const Unit *unit) noexcept nogil:
    """Apply the activation to what a unit's filters have written."""
    cdef Range filters = unit_filters(job, unit)
    cdef Py_ssize_t filter
    for filter in range(filters.first, filters.last):
        activate(maps + filter * job.map_step[1], unit.pixels, job.activation)


cdef Range unit_filters(const Job *job, const Unit *unit) noexcept nogil:
    """Return the filters of a group that a unit computes."""
    return Range(filter_block(job, unit.blocks.first).first,
                 min(filter_block(job, unit.blocks.last - 1).last, job.filters))


def tiles(const real[:, :, :, :, :] images, const real[::1] weight, const real[:] bias, real[:, :, :, :, :] maps,
          pads, Layout layout, Py_ssize_t threads):
    """Convolve images with a filter bank by tiles of pixels and filters, or by sweeps down the rows of one channel.

    images and maps as for `direct`, the planes of maps contiguous, and those of images if the layout is in place;
    weight has all numbers of (K, C / groups * taps), or is as `pack` left it.
    """
    cdef Job job = layout.job
    if bias is None:
        bias = np.zeros(maps.shape[1], np.float32 if real is float else np.float64)
    see_arrays(&job, images, maps, pads)
    job.weight, job.bias = &weight[0], &bias[0]
    share_out(&job, maps.shape[0], threads)
    cdef Placing placing = Placing()
    placing.prepare(&job)
    run(find_unit_fn[real](&job, 0), &job, layout.workspace, threads)


cdef fc_unit_fn find_unit_fn(const Job *job, real _) noexcept nogil:
    if job.stacks:
        return <fc_unit_fn>stack_unit[real]
    if job.by_position:
        return <fc_unit_fn>convolve_unit_by_position[real]
    return <fc_unit_fn>(sweep_unit[real] if job.lines else convolve_unit[real])


cdef void share_out(Job *job, Py_ssize_t images, Py_ssize_t threads) noexcept nogil:
    """Make at least four units a thread of the work, if need be of smaller strips, if need be of fewer filters."""
    cdef Py_ssize_t least = 8 * job.kernels.lanes if job.in_place and not (job.lines or job.by_position) else 4
    cdef Py_ssize_t others = images * job.map_size[0], wanted = 4 * threads if threads > 1 else 1
    if job.stacks:  # strips see some rows twice
        job.parts = min(job.stacks, max(job.parts, ceiling(wanted, others)))
    others *= job.parts if job.lines else job.groups
    wanted = ceiling(wanted, others)
    job.strips = ceiling(job.map_size[1], job.strip_rows)
    if job.strips < wanted:
        job.strips = max(job.strips, min(wanted, job.map_size[1] // least))
    if not job.lines:
        job.parts = min(filter_blocks(job), max(1, wanted // job.strips))
        if job.in_place and job.lanes == FILTERS and not job.packed:
            job.parts = filter_blocks(job)  # whose weights are read row by row
    job.units = others * job.strips * (1 if job.lines else job.parts)


@cython.final
cdef class Call:
    """A call of `tiles` on contiguous arrays of known shapes: all is ready but their addresses."""

    cdef Job job
    cdef fc_unit_fn unit
    cdef Layout layout  # which owns what the job points into, as does placing
    cdef Placing placing
    cdef bytes no_bias
    cdef Py_ssize_t images, threads, itemsize, image_numbers, map_numbers
    cdef bint keeps_gil
    cdef object output_shape, dtype

    def __init__(self, images_shape, maps_shape, output, pads, Layout layout, threads, keeps_gil):
        """images (N, C, D, H, W) and maps (N, K, D', H', W'); up to so many threads are worth their while."""
        cdef Job *job = &self.job
        job[0] = layout.job
        self.layout, self.threads, self.keeps_gil = layout, threads, keeps_gil
        self.itemsize = job.bits // 8
        output_shape, self.dtype = output
        self.no_bias = bytes(maps_shape[1] * self.itemsize)
        self.unit = find_unit_fn[float](job, 0) if job.bits == 32 else find_unit_fn[double](job, 0)
        self.place(images_shape, maps_shape, output_shape, pads)

    def resized(self, images_shape, maps_shape, output_shape, pads):
        """Return the same call for images and maps of another size, which the layout must serve as well."""
        cdef Call call = Call.__new__(Call)
        call.job, call.unit, call.layout, call.no_bias, call.dtype = (
            self.layout.job, self.unit, self.layout, self.no_bias, self.dtype)
        call.threads, call.itemsize, call.keeps_gil = self.threads, self.itemsize, self.keeps_gil
        call.place(images_shape, maps_shape, output_shape, pads)
        return call

    cdef place(self, tuple images_shape, tuple maps_shape, output_shape, pads):
        """Note where contiguous images and maps of these shapes have their numbers, and what the taps see."""
        cdef Job *job = &self.job
        cdef Py_ssize_t axis
        self.output_shape, self.images = output_shape, images_shape[0]
        self.image_numbers = self.map_numbers = 1
        for axis in range(4, -1, -1):
            if axis < 4:
                job.image_step[axis] = self.image_numbers
            if axis < 3:
                job.map_step[axis] = self.map_numbers
            if axis > 1:
                job.axis[axis - 2].pad = pads[axis - 2]
                job.size[axis - 2], job.map_size[axis - 2] = images_shape[axis], maps_shape[axis]
            self.image_numbers *= <Py_ssize_t>images_shape[axis]
            self.map_numbers *= <Py_ssize_t>maps_shape[axis]
        share_out(job, self.images, 1)
        self.placing = Placing()
        self.placing.prepare(job)

    @property
    def nbytes(self):
        """Memory that this takes, roughly."""
        return sizeof(Job) + self.placing.nbytes + len(self.no_bias)

    def run(self, images, weight, bias, Py_ssize_t threads, out):
        """Return the maps, in out if there is one; None if an array is not contiguous and aligned, or out is unfit."""
        cdef Job job = self.job
        cdef Py_ssize_t filters = job.groups * job.filters
        cdef Py_ssize_t weights = (packed_rows(&job) if job.packed else job.filters) * job.groups * job.taps
        job.images = address(images, self.image_numbers, self.itemsize)
        job.weight = address(weight, weights, self.itemsize)
        job.bias = <const char *>self.no_bias if bias is None else address(bias, filters, self.itemsize)
        if job.images == NULL or job.weight == NULL or job.bias == NULL:
            return None
        if out is not None:
            if type(out) is not np.ndarray or out.shape != self.output_shape or out.dtype != self.dtype:
                return None
            maps = out
        elif self.map_numbers * self.itemsize < ALIGNED_BYTES and not fc_poisons:
            maps = np.empty(self.output_shape, self.dtype)
        else:
            maps = empty_result(self.output_shape, self.dtype)
        job.maps = <void *>address(maps, self.map_numbers, self.itemsize)
        if out is not None and (
                job.maps == NULL or not out.flags.writeable
                or self.overlap(job.maps, job.images, self.image_numbers)
                or self.overlap(job.maps, job.weight, weights) or self.overlap(job.maps, job.bias, filters)):
            return None
        threads = min(threads, self.threads)
        if threads > 1:
            share_out(&job, self.images, threads)
        run(self.unit, &job, workspace_bytes(&job), threads, self.keeps_gil)
        return maps

    cdef bint overlap(self, const void *maps, const void *first, Py_ssize_t numbers) noexcept:
        """Tell whether the maps share memory with so many numbers."""
        cdef const char *one = <const char *>maps
        cdef const char *other = <const char *>first
        return one < other + numbers * self.itemsize and other < one + self.map_numbers * self.itemsize


def empty(shape, dtype):
    """Return an array as np.empty does; a large one begins at a cache line, for vectors that cross lines are slow.

    With FASTCONV_POISON=1 it is full of NaN (integers: -1), as workspaces are, so that what nobody writes shows.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < ALIGNED_BYTES:
        array = np.empty(shape, dtype)
    else:
        room = np.empty(size + LINE_BYTES, np.uint8)
        array = np.ndarray(shape, dtype, room, -<Py_ssize_t>address(room, room.size, 1) & (LINE_BYTES - 1))
    if fc_poisons and not dtype.hasobject:
        array.reshape(-1).view(np.uint8).fill(0xFF)
    return array


def empty_result(shape, dtype):
    """Return `empty` for a result; where there is no memory for it, say what makes it so large."""
    try:
        return empty(shape, dtype)
    except MemoryError:
        raise MemoryError(f"input and padding make an output of shape {shape}: there is no memory for its "
                          f"{math.prod(shape) * dtype.itemsize} bytes") from None


cdef const void *address(array, Py_ssize_t numbers, Py_ssize_t itemsize) except? NULL:
    """Return where a contiguous array of so many numbers begins, NULL if it is not contiguous or not aligned."""
    cdef Py_buffer view
    cdef const void *first = NULL
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    if view.len == numbers * itemsize and <size_t>view.buf % itemsize == 0 and PyBuffer_IsContiguous(&view, b"C"):
        first = view.buf
    PyBuffer_Release(&view)  # the array stays where it is as long as somebody holds it
    return first


def pack(const real[:, ::1] weight, real[::1] packed, Py_ssize_t first, Layout layout):
    """Pack a piece of the bank, weight (some filters from `first` on, C / groups * taps), as `tiles` reads it."""
    with nogil:
        pack_filters(&packed[0], &weight[0, 0], &layout.job, Range(first, first + weight.shape[0]))


cdef struct Lines:
    # The padded rows of one channel that a strip of output rows sees, those that one kernel sees side by side.
    const void **row
    Py_ssize_t apart  # from the rows of one remainder by the dilation to the next


cdef void sweep_unit(real *workspace, const Job *job, Py_ssize_t index) noexcept nogil:
    """Compute the maps of some groups over one strip of output rows, each from the only channel that it sees."""
    cdef Unit unit = find_unit(job, index)
    cdef Range groups = share(job.groups, job.parts, index % job.parts)
    cdef Lines lines
    cdef real *weight = workspace + 2 * job.lines * (sizeof(void *) // sizeof(real))
    cdef real *zeros = weight + job.taps
    cdef real *strip = zeros + job.zero_numbers
    cdef const real *image = <const real *>job.images + unit.n * job.image_step[0] + groups.first * job.image_step[1]
    cdef real *maps = (<real *>job.maps + unit.n * job.map_step[0] + groups.first * job.filters * job.map_step[1]
                       + unit.depth * job.map_step[2] + unit.first_row * job.map_size[2])
    cdef Py_ssize_t group, products = 0
    lines.row = <const void **>workspace
    lines.apart = ceiling(job.lines, job.axis[1].dilation)
    memset(zeros, 0, job.zero_numbers * sizeof(real))
    for group in range(groups.first, groups.last):
        if is_stopped(&products, job.filters * unit.pixels * job.taps):
            return
        see_lines(&lines, image, zeros, strip, job, &unit)
        sweep_group(maps, weight, &lines, job, &unit, group)
        image += job.image_step[1]
        maps += job.filters * job.map_step[1]


cdef void see_lines(Lines *lines, const real *image, const real *zeros, real *strip, const Job *job,
                    const Unit *unit) noexcept nogil:
    """Find the rows that a unit sees of a channel: in the image, or padded in a strip."""
    cdef const Axis *axis = &job.axis[1]
    cdef Py_ssize_t z = source(unit.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef Py_ssize_t y, line, first = unit.first_row * axis.stride - axis.pad
    cdef const void **row
    for line in range((unit.rows - 1) * axis.stride + axis.span):
        row = lines.row + (line if axis.dilation == 1 else line % axis.dilation * lines.apart + line // axis.dilation)
        y = source(first + line, job.size[1], job.mode)
        if z < 0 or y < 0:
            row[0] = zeros
        elif job.in_place:
            row[0] = image + z * job.image_step[2] + y * job.image_step[3]
        else:
            row[0] = strip
            fill_rows(strip, image + z * job.image_step[2], job, y, 1)
            strip += job.row_step


cdef void sweep_group(real *map, real *ordered, const Lines *lines, const Job *job, const Unit *unit,
                      Py_ssize_t group) noexcept nogil:
    """Compute the maps of one group from its channel's lines."""
    cdef fc_sweep request
    cdef Py_ssize_t k, turn, v
    request.taps, request.offset, request.kernel_rows = job.axis[2].taps, job.offset, job.axis[1].taps
    request.low, request.high = job.low, job.high
    for k in range(group * job.filters, (group + 1) * job.filters):
        request.weight = <const real *>job.weight + k * job.taps
        if job.pairs:
            for v in range(job.taps):
                ordered[v] = (<const real *>request.weight)[tap_in_order(job, v)]
            request.weight = ordered
        request.bias = (<const real *>job.bias)[k] + 0  # 0.0 if it is -0.0, as stacks have it
        for turn in range(min(job.apart, unit.rows)):
            sweep_rows(map, lines, job, &request, turn,
                       unit.rows if job.apart == 1 else ceiling(unit.rows - turn, job.apart))
        if job.activation > RELU6:
            activate(map, unit.pixels, job.activation)
        map += job.map_step[1]


cdef void sweep_rows(real *map, const Lines *lines, const Job *job, fc_sweep *request,
                     Py_ssize_t turn, Py_ssize_t rows) noexcept nogil:
    """Compute rows turn, turn + apart, ... of a map, several at a time; the last ones move back over neighbours."""
    cdef const SweepRun *run
    cdef Py_ssize_t columns = job.map_size[2], lanes = job.kernels.lanes, steps = mask_step(job)
    cdef Py_ssize_t block, row, line, i, k, first, last, dilation = job.axis[1].dilation, products = 0
    cdef Py_ssize_t at_once = min(rows, SWEEP_MAX_ROWS)
    request.map_step = job.apart * columns
    request.written = (<unsigned>1 << min(columns, lanes)) - 1
    request.streams = job.far_maps and columns % lanes == 0 and <size_t>map % (lanes * sizeof(real)) == 0
    for i in range(job.first_run[at_once - 1], job.first_run[at_once]):
        run = job.runs + i
        for k in range(run.count):
            if is_stopped(&products, rows * run.kind.vectors * lanes * job.taps):
                return
            first = run.first + k * run.kind.vectors
            last = first + run.kind.vectors - 1
            request.mask = job.masks + mask_row(job, first) * steps
            request.last_mask = job.masks + mask_row(job, last) * steps
            request.column = max(0, min(first * lanes, columns - lanes))
            request.last = max(0, min(last * lanes, columns - lanes)) - request.column
            block = 0
            while block < rows:
                row = turn + min(block, rows - run.kind.rows) * job.apart
                line = row * job.axis[1].stride
                if dilation > 1:
                    line = line % dilation * lines.apart + line // dilation
                request.image_row = lines.row + line
                request.map = map + row * columns
                run.kind.run(request)
                block += run.kind.rows


cdef struct Passes:
    # Kernels of rank 1 in two passes: `job` slides their rows along what `columns` left of the image.
    Job job
    Job columns


def passes(const real[:, :, :, :, :] images, kernels, const real[:] bias, real[:, :, :, :, :] maps, pads, layout,
           Py_ssize_t threads):
    """Convolve every channel of images with its kernels, split into columns (K, kh) and rows (K, kw), into maps."""
    cdef Passes passes
    cdef Layout down = layout.columns, along = layout.rows
    cdef const real[:, ::1] columns = kernels.columns, rows = kernels.rows
    cdef const real[:] zeros = np.zeros(maps.shape[1], np.float32 if real is float else np.float64)
    cdef Job *job = &passes.job
    if bias is None:
        bias = zeros
    job[0], passes.columns = along.job, down.job
    see_arrays(job, images, maps, (0, 0, pads[2]))
    see_arrays(&passes.columns, images, maps, (pads[0], pads[1], 0))
    job.weight, job.bias, passes.columns.weight = &rows[0, 0], &bias[0], &columns[0, 0]
    passes.columns.bias = &zeros[0]
    passes.columns.map_size[2] = job.image_step[3] = images.shape[4]
    passes.columns.groups = passes.columns.parts = images.shape[1]
    cdef Placing places_along = Placing(), places_down = Placing()
    places_along.prepare(job)
    places_down.prepare(&passes.columns)
    share_out(&passes.columns, images.shape[0], threads)
    job.units = passes.columns.units
    run(<fc_unit_fn>passes_unit[real], job, layout.workspace, threads)


cdef void passes_unit(real *workspace, const Passes *passes, Py_ssize_t index) noexcept nogil:
    """Compute a strip of the maps that see one channel: columns down the image, then rows along what they leave."""
    cdef Job columns = passes.columns, rows = passes.job
    cdef Unit unit = find_unit(&columns, index)
    cdef Py_ssize_t channel = index % columns.groups
    columns.images = <const real *>columns.images + unit.n * columns.image_step[0] + channel * columns.image_step[1]
    columns.weight = <const real *>columns.weight + channel * columns.filters * columns.taps
    columns.axis[0].pad -= unit.depth * columns.axis[0].stride
    columns.axis[1].pad -= unit.first_row * columns.axis[1].stride  # further down the image
    rows.weight = <const real *>rows.weight + channel * rows.groups * rows.taps
    rows.bias = <const real *>rows.bias + channel * rows.groups
    rows.maps = (<real *>rows.maps + unit.n * rows.map_step[0] + channel * rows.groups * rows.map_step[1]
                 + unit.depth * rows.map_step[2] + unit.first_row * rows.map_size[2])
    columns.maps = rows.images = workspace  # (K, rows, W)
    columns.map_step[1] = rows.image_step[1] = unit.pixels
    columns.map_size[0] = rows.map_size[0] = rows.size[0] = columns.groups = columns.parts = 1
    columns.map_size[1] = rows.map_size[1] = rows.size[1] = unit.rows
    workspace += ceiling(columns.filters * unit.pixels * sizeof(real), LINE_BYTES) * (LINE_BYTES // sizeof(real))
    sweep_strips(workspace, &columns)
    sweep_strips(workspace, &rows)


cdef void sweep_strips(real *workspace, Job *job) noexcept nogil:
    """Compute all strips of a job of sweeps, one after the other."""
    cdef Py_ssize_t strip
    job.strips = ceiling(job.map_size[1], job.strip_rows)
    for strip in range(job.strips):
        sweep_unit(workspace, job, strip)


cdef void stack_unit(real *workspace, const Job *job, Py_ssize_t index) noexcept nogil:
    """Do the same for the maps of some stacks of channels, a stack at a time: lanes are channels."""
    cdef Unit unit = find_unit(job, index)
    cdef Range stacks = share(job.stacks, job.parts, index % job.parts)
    cdef Py_ssize_t lanes = job.kernels.lanes, stack, group, channels, filter, rest, i, products = 0
    cdef const void **rows = <const void **>(workspace + job.strip_numbers)
    cdef real *weight = workspace + lanes * lanes  # (taps, lanes)
    cdef real *bias = weight + (job.taps + lanes) * lanes
    cdef real *strip = bias + 2 * lanes  # (lines, columns seen, lanes)
    cdef real *sums = strip + (job.lines * stacked_columns(job) + lanes) * lanes  # (rows, W', lanes)
    cdef fc_stack request
    request.weight, request.bias, request.kernel_rows, request.image_row = weight, bias, job.axis[1].taps, rows
    request.columns, request.pad = stacked_columns(job), job.axis[2].pad
    for stack in range(stacks.first, stacks.last):
        group = stack * lanes
        channels = min(lanes, job.groups - group)
        see_stack(rows, strip, job, &unit, group, channels)
        for filter in range(group * job.filters, (group + 1) * job.filters):
            if is_stopped(&products, unit.pixels * job.taps * lanes):
                return
            rest = (job.groups - channels + 1) * job.filters - filter
            job.kernels.gather(weight, <const real *>job.weight + filter * job.taps, job.filters * job.taps, channels,
                               job.taps, filter * job.taps, rest * job.taps)
            for i in range(channels):  # 0.0 if it is -0.0, as sums with zeros of the padding, which may be skipped
                bias[i] = (<const real *>job.bias)[filter + i * job.filters] + 0
            sweep_stack(sums, &request, job, &unit, filter, channels)


cdef void sweep_stack(real *sums, fc_stack *request, const Job *job, const Unit *unit, Py_ssize_t filter,
                      Py_ssize_t channels) noexcept nogil:
    """Compute the maps of one filter of every channel of a stack, some rows at a time."""
    cdef Py_ssize_t columns = job.map_size[2], step = job.filters * job.map_step[1], pixels, i
    cdef Py_ssize_t some = unit.rows if unit.pixels <= 256 else max(4, 256 // columns // 4 * 4)  # that the cache holds
    cdef real *map = (<real *>job.maps + unit.n * job.map_step[0] + filter * job.map_step[1]
                      + unit.depth * job.map_step[2] + unit.first_row * columns)
    cdef real[16] no_bias  # -0.0 changes nothing, 0.0 would make 0.0 of -0.0
    cdef Range rows = Range(0, 0)
    for i in range(16):
        no_bias[i] = -0.0
    while rows.last < unit.rows:
        rows = Range(rows.last, min(rows.last + some, unit.rows))
        pixels = (rows.last - rows.first) * columns
        request.skips = sees_every_tap(job, unit, rows)
        slide_stack(sums, request, job, rows)
        if job.kernels.scatter(map, step, channels, sums, pixels, no_bias, job.low, job.high, False) and request.skips:
            request.skips = False  # there may be weights that are not finite: zero times those is not zero
            slide_stack(sums, request, job, rows)
            job.kernels.scatter(map, step, channels, sums, pixels, no_bias, job.low, job.high, False)
        if job.activation > RELU6:
            for i in range(channels):
                activate(map + i * step, pixels, job.activation)
        map += pixels


cdef bint sees_every_tap(const Job *job, const Unit *unit, Range rows) noexcept nogil:
    """Tell whether every tap meets the image in these rows: then weights that are not finite leave their mark."""
    cdef const Axis *y = &job.axis[1]
    cdef const Axis *x = &job.axis[2]
    cdef Py_ssize_t first = (unit.first_row + rows.first) * y.stride - y.pad
    return (source(unit.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode) >= 0
            and job.size[1] >= y.stride and job.size[2] >= x.stride
            and first + (rows.last - rows.first - 1) * y.stride >= 0 and first + y.span <= job.size[1]
            and (job.map_size[2] - 1) * x.stride >= x.pad and x.span - x.pad <= job.size[2])


cdef Py_ssize_t stacked_columns(const Job *job) noexcept nogil:
    """Return how many columns of the image, from the first one on, the outputs of a row see at most."""
    cdef const Axis *axis = &job.axis[2]
    return max(0, min(job.size[2], (job.map_size[2] - 1) * axis.stride + axis.span - axis.pad))


cdef void see_stack(const void **rows, real *strip, const Job *job, const Unit *unit, Py_ssize_t group,
                    Py_ssize_t channels) noexcept nogil:
    """Lay the rows that a unit sees of a stack of channels out, lanes innermost; rows beyond the image are NULL."""
    cdef const Axis *axis = &job.axis[1]
    cdef Py_ssize_t columns = stacked_columns(job), apart = ceiling(job.lines, axis.dilation), line, row
    cdef Py_ssize_t z = source(unit.depth * job.axis[0].stride - job.axis[0].pad, job.size[0], job.mode)
    cdef Py_ssize_t first = unit.first_row * axis.stride - axis.pad
    cdef Range seen = Range(max(0, first), min(job.size[1], first + (unit.rows - 1) * axis.stride + axis.span))
    cdef const real *image = (<const real *>job.images + unit.n * job.image_step[0] + group * job.image_step[1]
                              + z * job.image_step[2] + seen.first * job.image_step[3])
    if z < 0:
        seen.last = seen.first
    for line in range((unit.rows - 1) * axis.stride + axis.span):
        row = line % axis.dilation * apart + line // axis.dilation
        rows[row] = strip + (first + line - seen.first) * columns * job.kernels.lanes
        if not seen.first <= first + line < seen.last:
            rows[row] = NULL
    if job.image_step[3] == columns and seen.first < seen.last:
        job.kernels.gather(strip, image, job.image_step[1], channels, (seen.last - seen.first) * columns,
                           seen.first * columns, (job.size[1] - seen.first) * columns)
    else:
        for line in range(seen.last - seen.first):
            job.kernels.gather(strip + line * columns * job.kernels.lanes, image + line * job.image_step[3],
                               job.image_step[1], channels, columns, 0, job.size[2])


cdef void slide_stack(real *sums, fc_stack *request, const Job *job, Range rows) noexcept nogil:
    """Slide one kernel for every lane down some rows of a stack: sums (rows, W', lanes)."""
    cdef const Axis *axis = &job.axis[1]
    cdef Py_ssize_t columns = job.map_size[2], apart = ceiling(job.lines, axis.dilation), row, line
    cdef const void *const *lines = request.image_row
    cdef const fc_stack_kind *kind = job.kernels.stacks
    while kind.taps != job.axis[2].taps or kind.across != job.axis[2].stride:
        kind += 1
    request.column = 0
    while request.column < columns:
        while kind.pixels > columns or kind.pixels > columns - request.column + 2:
            kind += 1
        request.column = min(request.column, columns - kind.pixels)  # the last ones move back
        for row in range(rows.first, rows.last):
            line = row * axis.stride
            request.image_row = lines + line % axis.dilation * apart + line // axis.dilation
            request.map = sums + (row - rows.first) * columns * job.kernels.lanes
            kind.run(request)
        request.column += kind.pixels
    request.image_row = lines


cdef Py_ssize_t choose_sweeps(SweepRun *runs, const Job *job, Py_ssize_t rows) noexcept nogil:
    """Cover the vectors of a row by sweeps of up to so many rows and of as many vectors as can be; return the runs."""
    cdef Py_ssize_t count = 0, first = 0, plain
    while first < job.vectors:
        runs[count] = SweepRun(find_sweep(job, rows, first), first, 1)
        if job.plain.first <= first:  # as long as any sweep would fit, the same one is chosen again
            plain = job.plain.last - first - SWEEP_MAX_VECTORS - 1
            runs[count].count += max(0, plain) // runs[count].kind.vectors
        first += runs[count].count * runs[count].kind.vectors
        count += 1
    return count


cdef const fc_sweep_kind *find_sweep(const Job *job, Py_ssize_t rows, Py_ssize_t first) noexcept nogil:
    """Return the sweep of most vectors, from one vector of a row on, for up to so many rows."""
    cdef bint slides = job.axis[1].taps == 1 and job.axis[2].dilation == 1 and job.axis[2].period == 1
    cdef const Axis *axis = &job.axis[1]
    cdef const fc_sweep_kind *best = NULL
    cdef const fc_sweep_kind *kind = job.kernels.sweeps
    while kind.rows:
        if (kind.rows <= rows and first + kind.vectors <= job.vectors and (slides or kind.rows > 1 or kind.edges)
                and kind.across == job.across and (kind.stride == 0 or kind.stride == axis.period)
                and (kind.kernel == axis.taps == job.axis[2].taps or kind.kernel == 0 and kind.rows <= axis.taps)
                and (best == NULL or kind.vectors > best.vectors) and sweep_fits(kind, job, first)):
            best = kind
        kind += 1
    return best


cdef bint sweep_fits(const fc_sweep_kind *kind, const Job *job, Py_ssize_t first) noexcept nogil:
    """Tell whether all vectors are plain and lie one behind the other, but for the edges of a sweep that has some."""
    cdef Py_ssize_t inner = first, last = first + kind.vectors
    if kind.edges:
        inner, last = first + 1, last - 1
    return inner >= last or job.plain.first <= inner and last <= job.plain.last


@cython.final
cdef class Placing:
    """Where the taps lie in images that are read in place, and which lanes see them, for arrays of one size."""

    cdef void *memory  # of runs, places and masks
    cdef Py_ssize_t nbytes

    def __dealloc__(self):
        free(self.memory)

    cdef prepare(self, Job *job):
        """Find all this and let the job point to it, as long as this object lives."""
        cdef Py_ssize_t index, rows, edges, runs = 0, places = job.taps if job.in_place else 0, masks = 0
        cdef Py_ssize_t rows_at_once = min(job.map_size[1], SWEEP_MAX_ROWS)
        cdef Py_ssize_t *place
        if job.lines and not job.stacks:
            job.vectors = ceiling(job.map_size[2], job.kernels.lanes)
            job.plain = plain_vectors(job)
            edges = job.vectors - (job.plain.last - job.plain.first)
            runs, masks = rows_at_once * (edges + 2 * SWEEP_MAX_VECTORS + 2), (edges + 1) * mask_step(job)
        self.nbytes = runs * sizeof(SweepRun) + places * sizeof(Py_ssize_t) + masks * sizeof(unsigned)
        self.memory = malloc(max(1, self.nbytes))
        if self.memory == NULL:
            raise MemoryError(f"weight has {job.taps} taps: no memory for {self.nbytes} bytes of offsets and masks")
        place = <Py_ssize_t *>(<SweepRun *>self.memory + runs)
        for index in range(places):
            place[index] = (tap_in_order(job, index) * job.axis[2].dilation - job.axis[2].pad if job.lines
                            else tap_place(job, index))
        if places:
            job.offset = place
        if not runs:
            return
        job.runs, job.masks, job.first_run[0] = <SweepRun *>self.memory, <unsigned *>(place + places), 0
        fill_masks(<unsigned *>job.masks, job)
        for rows in range(rows_at_once):
            index = job.first_run[rows]
            job.first_run[rows + 1] = index + choose_sweeps(<SweepRun *>job.runs + index, job, rows + 1)


cdef Py_ssize_t tap_place(const Job *job, Py_ssize_t tap) noexcept nogil:
    """Return where in an image without padding a tap sees what belongs to the first pixel of a map."""
    cdef Py_ssize_t axis, place = 0
    if job.by_position:
        place = tap % job.channels * job.image_step[1]
        tap //= job.channels
    for axis in range(2, -1, -1):
        place += tap % job.axis[axis].taps * job.axis[axis].dilation * (job.image_step[axis + 2] if axis < 2 else 1)
        tap //= job.axis[axis].taps
    return place + tap * job.image_step[1]


cdef Py_ssize_t tap_in_order(const Job *job, Py_ssize_t v) noexcept nogil:
    """Return which tap of a row comes v-th."""
    return fc_paired(job.axis[2].taps, v) if job.pairs else v


cdef Py_ssize_t mask_step(const Job *job) noexcept nogil:
    """Return how many masks a vector of columns has: one for every tap of a row, an even number if taps go in pairs."""
    return job.axis[2].taps + (job.axis[2].taps % 2 if job.across == 2 else 0)


cdef Py_ssize_t mask_row(const Job *job, Py_ssize_t vector) noexcept nogil:
    """Return which row of the masks a vector of columns has: all plain ones share the one after the left edge's."""
    if vector < job.plain.first:
        return vector
    return job.plain.first + max(0, vector - job.plain.last + 1)


cdef Range plain_vectors(const Job *job) noexcept nogil:
    """Return the vectors of a row, but for the last one, all of whose lanes see the image, whatever the tap."""
    cdef const Axis *axis = &job.axis[2]
    cdef Py_ssize_t lanes = job.kernels.lanes, step = lanes * job.across, room
    cdef Range plain = Range(0, job.vectors - 1)
    if job.in_place:
        room = job.size[2] + axis.pad - lanes  # to the first pixel of the last tap's last vector
        room -= (axis.taps - 1) // 2 * 2 + lanes if job.across == 2 else (axis.taps - 1) * axis.dilation
        plain.first = min(ceiling(axis.pad, step), plain.last)
        plain.last = max(plain.first, min(plain.last, room // step + 1 if room >= 0 else 0))
    return plain


cdef void fill_masks(unsigned *masks, const Job *job) noexcept nogil:
    """Note which lanes of the vectors of columns see the image, for every tap of a row.

    With stride 2, an even tap and the next one see every other lane of two vectors, the second one behind the first.
    """
    cdef const Axis *axis = &job.axis[2]
    cdef Py_ssize_t lanes = job.kernels.lanes, first, last, tap, vector = 0, start
    cdef unsigned *row
    while vector < job.vectors:
        row = masks + mask_row(job, vector) * mask_step(job)
        for tap in range(mask_step(job)):
            start = max(0, min(vector * lanes, job.map_size[2] - lanes)) * job.across - axis.pad
            start += (tap_in_order(job, tap) * axis.dilation if job.across == 1
                      else tap - tap % 2 + tap % 2 * lanes)
            first, last = 0, lanes
            if job.in_place:
                first = min(max(0, -start), lanes)
                last = max(min(lanes, job.size[2] - start), first)
            row[tap] = (<unsigned>1 << last) - (<unsigned>1 << first)
        vector = job.plain.last if job.plain.first <= vector < job.plain.last else vector + 1


cdef const fc_isa *isa = NULL

include "blank.pxi"
include "winograd.pxi"


def use_isa(name=None):
    """Choose the instruction set of this name, or the best one; layouts made before keep theirs."""
    global isa
    cdef bytes wanted = b"" if name is None else name.encode()
    cdef const fc_isa *found = fc_find_isa(wanted)
    if found == NULL:
        raise ValueError(f"FASTCONV_ISA must be one of {', '.join(available_isas())} on this machine; got {name!r}")
    isa = found


def available_isas():
    """Return the names of the instruction sets that this machine can run, the best one first."""
    return [name.decode() for name in (b"avx512", b"avx2", b"neon", b"baseline") if fc_find_isa(name) != NULL]


def multiply_adds(Py_ssize_t rounds):
    """Multiply and add float32 as fast as this machine can on one thread; return how many times. For benchmarks."""
    with nogil:
        isa.f32.probe(rounds)
    return rounds * PROBE_SUMS * isa.f32.lanes


def current_isa():
    """Return the name of the instruction set in use, and the lanes of its float32 vectors."""
    return isa.name.decode(), isa.f32.lanes


fc_poisons = os.environ.get("FASTCONV_POISON", "0") not in ("", "0")
use_isa(os.environ.get("FASTCONV_ISA") or None)
