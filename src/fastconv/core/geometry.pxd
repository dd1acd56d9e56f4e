# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The geometry of a convolution along one axis: which pixel a tap reads for an output, and what lies beyond the image.
#
#     input position = output * stride + tap * dilation - pad,        0 <= position < size: a pixel of the image
#
# Positions that differ by multiples of the stride make a phase (polyphase form); phase p holds what taps p, p + period,
# p + 2 * period, ... read. Its elements are stored side by side: for adjacent outputs, a tap reads adjacent ones.

from libc.stdint cimport int32_t, int64_t


ctypedef fused real:  # that micro-kernels compute with
    float
    double


ctypedef fused number:  # that direct summation computes with
    int32_t
    int64_t
    float
    double
    float complex
    double complex


cdef enum Padding:  # PADDING_MODES in _core.pyx shows what each looks like
    ZEROS
    REFLECT
    REPLICATE
    CIRCULAR
    SYMMETRIC


cdef struct Range:
    Py_ssize_t first, last  # half-open: `last` is not included


cdef inline Py_ssize_t ceil_div(Py_ssize_t whole, Py_ssize_t step) noexcept nogil:
    return (whole + step - 1) // step  # truncated: of a negative whole, some number <= 0


cdef inline Range nth_part(Py_ssize_t whole, Py_ssize_t parts, Py_ssize_t n) noexcept nogil:
    """Return the n-th of `parts` nearly equal parts of 0..whole."""
    return Range(whole * n // parts, whole * (n + 1) // parts)


cdef inline Py_ssize_t image_index(Py_ssize_t position, Py_ssize_t size, int padding_mode) noexcept nogil:
    """Return the index of the pixel that the padded axis shows at a position; -1 for a zero of the padding."""
    cdef Py_ssize_t period
    if 0 <= position < size:
        return position
    if padding_mode == ZEROS:
        return -1
    if padding_mode == REPLICATE or size == 1:  # one pixel has no period in REFLECT
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
    Py_ssize_t pad     # positions in front of the image; 0 from `make_axis`
    Py_ssize_t period  # stride / gcd(stride, dilation): tap t reads phase t % period
    Py_ssize_t phases  # that some tap reads: min(taps, period)
    Py_ssize_t reach   # `index_in_phase` of the last tap: output o reads elements o to o + reach of the phases
    Py_ssize_t span    # positions from the first tap to the last, both included


cdef inline Axis make_axis(Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation) noexcept nogil:
    cdef Py_ssize_t span, period, divisor = stride, remainder = dilation
    while remainder:
        divisor, remainder = remainder, divisor % remainder
    period = stride // divisor
    span = (taps - 1) * dilation + 1
    return Axis(taps, stride, dilation, 0, period, min(taps, period), (span - 1) // stride, span)


cdef inline Py_ssize_t index_in_phase(const Axis *axis, Py_ssize_t tap) noexcept nogil:
    """Return the index of the element of its phase that a tap reads for output 0."""
    return tap * axis.dilation // axis.stride


cdef inline Py_ssize_t phase_position(const Axis *axis, Py_ssize_t phase, Py_ssize_t index) noexcept nogil:
    """Return the position of an element of a phase, counted from the image's first pixel."""
    cdef Py_ssize_t start = phase if axis.dilation == 1 else phase * axis.dilation % axis.stride  # divisions are slow
    return index * axis.stride + start - axis.pad


cdef inline Py_ssize_t input_index(const Axis *axis, Py_ssize_t output, Py_ssize_t tap, Py_ssize_t size,
                                   int padding_mode) noexcept nogil:
    """Return the index of the pixel that a tap reads for an output; -1 for a zero of the padding."""
    return image_index(output * axis.stride + tap * axis.dilation - axis.pad, size, padding_mode)


cdef inline Range outputs_inside(const Axis *axis, Py_ssize_t tap, Py_ssize_t size, Range outputs) noexcept nogil:
    """Return those of some outputs for which a tap reads a pixel of the image."""
    cdef Py_ssize_t offset = tap * axis.dilation - axis.pad  # output o reads position o * stride + offset
    cdef Py_ssize_t first = 0 if offset >= 0 else ceil_div(-offset, axis.stride)
    cdef Py_ssize_t last = 0 if offset >= size else (size - 1 - offset) // axis.stride + 1
    first = min(max(outputs.first, first), outputs.last)
    return Range(first, min(max(last, first), outputs.last))


cdef inline Range phase_inside(const Axis *axis, Py_ssize_t phase, Py_ssize_t start, Py_ssize_t count,
                               Py_ssize_t size) noexcept nogil:
    """Return which of `count` elements of a phase, from index `start` on, lie in the image, counted from `start`."""
    cdef Py_ssize_t first = -phase_position(axis, phase, start), last = first + size
    if axis.stride > 1:  # divisions are slow
        first, last = ceil_div(first, axis.stride), ceil_div(last, axis.stride)
    first = min(max(0, first), count)
    return Range(first, min(max(last, first), count))
