# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# Arrays from Python, by the buffer protocol: addresses, shapes and steps.
#
# Buffers are released at once: an array stays where it is as long as the caller holds it. Typed memoryviews would make
# an entry one function for every dtype, and two fifths of the core's code.

from cpython.buffer cimport (PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release,
                             PyObject_GetBuffer)


cdef struct View:
    # An array, as an entry takes it; steps count numbers.
    void *start
    Py_ssize_t itemsize
    Py_ssize_t[5] shape, step


cdef inline View view_of(array, int axes, bint writable) except *:
    """Return where an array of so many axes lies."""
    cdef Py_buffer buffer
    cdef View view
    cdef int axis
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
    view.start, view.itemsize = buffer.buf, buffer.itemsize
    if buffer.ndim == axes:
        for axis in range(axes):
            view.shape[axis], view.step[axis] = buffer.shape[axis], buffer.strides[axis] // buffer.itemsize
    PyBuffer_Release(&buffer)
    if buffer.ndim != axes:
        raise ValueError(f"the core takes an array of {axes} axes here; got one of {buffer.ndim}")
    return view


cdef inline const void *address(array, Py_ssize_t numbers, Py_ssize_t itemsize) except? NULL:
    """Return where a contiguous array of so many numbers begins, NULL if it is not contiguous or not aligned."""
    cdef Py_buffer buffer
    cdef const void *first = NULL
    PyObject_GetBuffer(array, &buffer, PyBUF_STRIDES)
    if (buffer.len == numbers * itemsize and <size_t>buffer.buf % itemsize == 0
            and PyBuffer_IsContiguous(&buffer, b"C")):
        first = buffer.buf
    PyBuffer_Release(&buffer)
    return first


cdef inline const void *numbers_of(array, Py_ssize_t numbers, Py_ssize_t itemsize) except NULL:
    """Return where a contiguous array of so many numbers begins."""
    cdef const void *first = address(array, numbers, itemsize)
    if first == NULL:
        raise ValueError(f"the core takes {numbers} contiguous numbers of {itemsize} bytes here")
    return first
