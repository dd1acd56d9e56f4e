# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True
"""The Cython core: slide kernels over the channels of a padded image and add up.

    maps[n, k, o] = activation(bias[k] + sum over channels c and taps t of
                               weight[k, c, t] * images[n, c, o * stride + t * dilation - pad])

over three axes, depth, rows and columns: 1-D and 2-D problems have axes of size one in front.
The padded image exists only as `source`, which says where a padded position lies in the image.
"""

from libc.math cimport exp, expf, tanh, tanhf
from libc.stdint cimport int32_t, int64_t

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


cdef Py_ssize_t source(Py_ssize_t position, Py_ssize_t size, int mode) noexcept nogil:
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
                out[o] = out[o] / (1 + (expf(-out[o]) if number is float else exp(-out[o])))
        elif activation == HARDSWISH:
            for o in range(columns):
                out[o] = 0 if out[o] < -3 else out[o] if out[o] > 3 else out[o] * (out[o] + 3) / 6
        elif activation == TANH:
            for o in range(columns):
                out[o] = tanhf(out[o]) if number is float else tanh(out[o])


cdef struct Window:
    # How the taps of a kernel lie over the padded image, for each axis.
    Py_ssize_t[3] stride
    Py_ssize_t[3] dilation
    Py_ssize_t[3] pad
    int mode


cdef Py_ssize_t seen(const Window *window, int axis, Py_ssize_t position, Py_ssize_t tap,
                     Py_ssize_t size) noexcept nogil:
    """Return which pixel of an axis the tap sees when the kernel is at this position; -1 for a zero of the padding."""
    cdef Py_ssize_t padded = position * window.stride[axis] + tap * window.dilation[axis] - window.pad[axis]
    return source(padded, size, window.mode)


cdef void slide(const number *image, const Py_ssize_t *size, const Py_ssize_t *image_step,
                const number *weight, const Py_ssize_t *taps, const Py_ssize_t *weight_step,
                number *out, Py_ssize_t depth, Py_ssize_t row, Py_ssize_t first, Py_ssize_t last,
                const Window *window) noexcept nogil:
    """Slide one filter along columns first..last of one output row, and add up what it sees.

    image (C, D, H, W) of the given size, weight (C, kd, kh, kw) of so many taps, out (W',); steps count numbers.
    """
    cdef Py_ssize_t stride = window.stride[2], columns = size[3]
    cdef Py_ssize_t i, j, k, o, z, y, x, offset, inside, outside
    cdef const number *image_row
    cdef const number *tap
    for i in range(taps[1]):
        z = seen(window, 0, depth, i, size[1])
        if z < 0:
            continue
        for j in range(taps[2]):
            y = seen(window, 1, row, j, size[2])
            if y < 0:
                continue
            image_row = image + z * image_step[1] + y * image_step[2]
            for k in range(taps[3]):
                tap = weight + i * weight_step[1] + j * weight_step[2] + k * weight_step[3]
                # At o this tap sees column o * stride + offset: a pixel of the image from `inside` to `outside`.
                offset = k * window.dilation[2] - window.pad[2]
                inside = 0 if offset >= 0 else (-offset + stride - 1) // stride
                outside = 0 if offset >= columns else (columns - 1 - offset) // stride + 1
                inside = min(max(first, inside), last)
                outside = min(max(inside, outside), last)
                add_channels(out + inside, outside - inside, image_row + inside * stride + offset, stride,
                             image_step[0], taps[0], tap, weight_step[0])
                if window.mode == ZEROS:
                    continue
                for o in range(first, last):
                    if o < inside or o >= outside:
                        x = seen(window, 2, o, k, columns)
                        add_channels(out + o, 1, image_row + x, 1, image_step[0], taps[0], tap, weight_step[0])


def direct(const number[:, :, :, :, :] images, const number[:, :, :, :, :] weight, const number[:] bias,
           number[:, :, :, :, :] maps, strides, dilations, pads, Py_ssize_t groups, int padding_mode, int activation):
    """Convolve images with a filter bank by sliding every filter over every image.

    images (N, C, D, H, W) and maps (N, K, D', H', W') have their columns side by side;
    weight (K, C / groups, kd, kh, kw); bias (K,) or None.
    """
    cdef Window window
    cdef Py_ssize_t axis, n, k, z, y, first, last, o, channel
    cdef Py_ssize_t filters_per_group = weight.shape[0] // groups
    cdef Py_ssize_t[4] image_step
    cdef Py_ssize_t[4] weight_step
    cdef bint has_bias = bias is not None
    cdef number start
    cdef number *row
    for axis in range(3):
        window.stride[axis], window.dilation[axis], window.pad[axis] = strides[axis], dilations[axis], pads[axis]
    window.mode = padding_mode
    for axis in range(4):
        image_step[axis] = images.strides[axis + 1] // <Py_ssize_t>sizeof(number)
        weight_step[axis] = weight.strides[axis + 1] // <Py_ssize_t>sizeof(number)
    with nogil:
        for n in range(maps.shape[0]):
            for z in range(maps.shape[2]):
                for y in range(maps.shape[3]):
                    # A strip of an output row, so short that the image below it stays in the cache for every filter.
                    for first in range(0, maps.shape[4], 256):
                        last = min(first + 256, maps.shape[4])
                        for k in range(maps.shape[1]):
                            channel = k // filters_per_group * weight.shape[1]
                            row = &maps[n, k, z, y, 0]
                            start = bias[k] if has_bias else 0
                            for o in range(first, last):
                                row[o] = start
                            slide(&images[n, channel, 0, 0, 0], &images.shape[1], image_step,
                                  &weight[k, 0, 0, 0, 0], &weight.shape[1], weight_step,
                                  row, z, y, first, last, &window)
                            if activation != IDENTITY:
                                activate(row + first, last - first, activation)
