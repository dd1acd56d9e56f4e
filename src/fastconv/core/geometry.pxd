# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The geometry of a convolution along one axis: which pixel a tap reads at which output, and what lies beyond the image.
#
#     input position = output * stride + tap * dilation - pad,        0 <= position < size: a pixel of the image
#
# With a stride, the positions with the same remainder by it make a phase (polyphase form). The pixels of a phase are
# kept side by side, so that a tap reads neighbouring numbers from neighbouring outputs.

from libc.stdint cimport int32_t, int64_t


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


cdef struct Range:
    Py_ssize_t first, last


cdef inline Py_ssize_t ceil_div(Py_ssize_t whole, Py_ssize_t step) noexcept nogil:
    return (whole + step - 1) // step


cdef inline Range nth_part(Py_ssize_t whole, Py_ssize_t parts, Py_ssize_t n) noexcept nogil:
    """Return the n-th of `parts` nearly equal parts of 0..whole."""
    return Range(whole * n // parts, whole * (n + 1) // parts)


cdef inline Py_ssize_t image_index(Py_ssize_t position, Py_ssize_t size, int padding_mode) noexcept nogil:
    """Return the index of the pixel at a position of the padded axis; -1 for a zero."""
    cdef Py_ssize_t period
    if 0 <= position < size:
        return position
    if padding_mode == ZEROS:
        return -1
    if padding_mode == REPLICATE or size == 1:
        return 0 if position < 0 else size - 1
    period = size if padding_mode == CIRCULAR else 2 * size if padding_mode == SYMMETRIC else 2 * (size - 1)
    position %= period
    if position < 0:
        position += period
    if position < size:
        return position
    return period - 1 - position if padding_mode == SYMMETRIC else period - position


cdef struct Axis:
    Py_ssize_t taps, stride, dilation
    Py_ssize_t pad     # positions in front of the image
    Py_ssize_t period  # stride / gcd(stride, dilation): tap t reads phase t % period
    Py_ssize_t phases  # that some tap reads, in the order of the taps
    Py_ssize_t reach   # from the number of a phase that the first tap reads to the farthest one that another tap reads
    Py_ssize_t span    # positions from the first tap to the last, both included


cdef inline Axis make_axis(Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation) noexcept nogil:
    cdef Py_ssize_t span, period, divisor = stride, remainder = dilation
    while remainder:
        divisor, remainder = remainder, divisor % remainder
    period = stride // divisor
    span = (taps - 1) * dilation + 1
    return Axis(taps, stride, dilation, 0, period, min(taps, period), (span - 1) // stride, span)


cdef inline Py_ssize_t tap_index(const Axis *axis, Py_ssize_t tap) noexcept nogil:
    """Return which number of its phase a tap reads from output 0."""
    return tap * axis.dilation // axis.stride


cdef inline Py_ssize_t phase_position(const Axis *axis, Py_ssize_t phase, Py_ssize_t index) noexcept nogil:
    """Return the position, counted from the image's first pixel, of a number of a phase."""
    cdef Py_ssize_t first = phase if axis.dilation == 1 else phase * axis.dilation % axis.stride  # divisions are slow
    return index * axis.stride + first - axis.pad


cdef inline Py_ssize_t input_index(const Axis *axis, Py_ssize_t output, Py_ssize_t tap, Py_ssize_t size,
                                   int padding_mode) noexcept nogil:
    """Return the index of the pixel that a tap reads from an output; -1 for a zero of the padding."""
    return image_index(output * axis.stride + tap * axis.dilation - axis.pad, size, padding_mode)


cdef inline Range outputs_inside(const Axis *axis, Py_ssize_t tap, Py_ssize_t size, Range outputs) noexcept nogil:
    """Return those of some outputs whose tap lies inside the image."""
    cdef Py_ssize_t offset = tap * axis.dilation - axis.pad  # output o reads position o * stride + offset
    cdef Py_ssize_t inside = 0 if offset >= 0 else ceil_div(-offset, axis.stride)
    cdef Py_ssize_t outside = 0 if offset >= size else (size - 1 - offset) // axis.stride + 1
    inside = min(max(outputs.first, inside), outputs.last)
    return Range(inside, min(max(outside, inside), outputs.last))


cdef inline Range phase_inside(const Axis *axis, Py_ssize_t phase, Py_ssize_t first, Py_ssize_t count,
                               Py_ssize_t size) noexcept nogil:
    """Return which of `count` numbers of a phase, counted from `first` on, lie inside the image."""
    cdef Py_ssize_t inside = -phase_position(axis, phase, first), outside = inside + size
    if axis.stride > 1:  # divisions are slow
        inside, outside = ceil_div(inside, axis.stride), ceil_div(outside, axis.stride)
    inside = min(max(0, inside), count)
    return Range(inside, min(max(inside, outside), count))
