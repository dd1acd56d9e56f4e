# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# Where padded positions lie in an image, and what taps see: axes, ranges and padding modes.

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


cdef inline Range share(Py_ssize_t whole, Py_ssize_t parts, Py_ssize_t part) noexcept nogil:
    """Return one of so many nearly equal parts of 0..whole."""
    return Range(whole * part // parts, whole * (part + 1) // parts)


cdef inline Py_ssize_t ceiling(Py_ssize_t whole, Py_ssize_t step) noexcept nogil:
    return (whole + step - 1) // step


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


cdef struct Axis:
    # An axis of a strip. Padded positions with the same remainder by the stride lie side by side in a slot, so that
    # what a tap sees from neighbouring outputs is contiguous: tap t sees slot t % period, from its `tap_index` on.
    Py_ssize_t taps, stride, dilation, pad
    Py_ssize_t period, slots, reach, span


cdef inline Axis make_axis(Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation) noexcept nogil:
    cdef Py_ssize_t span, stride_slots, divisor = stride, remainder = dilation
    while remainder:
        divisor, remainder = remainder, divisor % remainder
    stride_slots = stride // divisor
    span = (taps - 1) * dilation + 1
    return Axis(taps, stride, dilation, 0, stride_slots, min(taps, stride_slots), (span - 1) // stride, span)


cdef inline Py_ssize_t tap_index(const Axis *axis, Py_ssize_t tap) noexcept nogil:
    """Return where in its slot a tap begins to see."""
    return tap * axis.dilation // axis.stride


cdef inline Py_ssize_t slot_position(const Axis *axis, Py_ssize_t slot, Py_ssize_t index) noexcept nogil:
    """Return the position in the image of an index into a slot."""
    cdef Py_ssize_t first = slot if axis.dilation == 1 else slot * axis.dilation % axis.stride  # divisions are slow
    return index * axis.stride + first - axis.pad


cdef inline Py_ssize_t seen(const Axis *axis, Py_ssize_t position, Py_ssize_t tap, Py_ssize_t size, int mode) noexcept nogil:
    """Return which pixel of an axis the tap sees when the kernel is at this position; -1 for a zero of the padding."""
    return source(position * axis.stride + tap * axis.dilation - axis.pad, size, mode)


cdef inline Range seeing(const Axis *axis, Py_ssize_t tap, Py_ssize_t size, Range outputs) noexcept nogil:
    """Return which of the outputs first..last see a pixel of the image, not of the padding, through this tap."""
    # At o it sees pixel o * stride + offset.
    cdef Py_ssize_t offset = tap * axis.dilation - axis.pad
    cdef Py_ssize_t inside = 0 if offset >= 0 else ceiling(-offset, axis.stride)
    cdef Py_ssize_t outside = 0 if offset >= size else (size - 1 - offset) // axis.stride + 1
    inside = min(max(outputs.first, inside), outputs.last)
    return Range(inside, min(max(outside, inside), outputs.last))


cdef inline Range inside_slot(const Axis *axis, Py_ssize_t slot, Py_ssize_t first, Py_ssize_t count,
                       Py_ssize_t size) noexcept nogil:
    """Return which of some indices into a slot, counted from `first` on, lie in the image."""
    cdef Py_ssize_t inside = -slot_position(axis, slot, first), beyond = inside + size
    if axis.stride > 1:  # divisions are slow
        inside, beyond = ceiling(inside, axis.stride), ceiling(beyond, axis.stride)
    inside = min(max(0, inside), count)
    return Range(inside, min(max(inside, beyond), count))
