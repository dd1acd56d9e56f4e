# What the layouts of all algorithms have in common. Part of _core.pyx.
#
# A layout is how one algorithm computes one problem: the window, the sizes of blocks, the micro-kernels. It is
# complete once made. Bound to arrays of certain sizes, it also knows their geometry, and tables that depend on it; a
# call of known shapes (entry.pxi) keeps such a bound copy, others make one.
#
# Uses: job.pxi.


@cython.final
cdef class Memory:
    """Memory that lives as long as the objects that refer to it."""

    cdef void *start
    cdef size_t nbytes

    def __dealloc__(self):
        free(self.start)


cdef Memory take_memory(size_t nbytes, Py_ssize_t taps):
    """Return memory for tables of offsets and masks."""
    cdef Memory memory = Memory.__new__(Memory)
    memory.nbytes, memory.start = nbytes, malloc(max(1, nbytes))
    if memory.start == NULL:
        raise MemoryError(f"weight has {taps} taps: no memory for {nbytes} bytes of offsets and masks")
    return memory


cdef class Layout:
    """How one algorithm computes one problem."""

    cdef readonly Py_ssize_t workspace       # bytes that each thread works in
    cdef readonly Py_ssize_t packed_numbers  # in all packed weights
    cdef Py_ssize_t itemsize                 # of the arrays
    cdef Py_ssize_t weights, filters         # numbers in `weight`, as the algorithm takes it, and maps of an image
    cdef Py_ssize_t offsets                  # numbers in `bias`, slopes included
    cdef fc_unit_fn unit                     # computes one unit of a job
    cdef Py_ssize_t units                    # of a call on one thread, when bound
    cdef Memory tables                       # that the job points into

    cdef void inherit(self, Layout other):
        """Take everything over from another layout of the same class but its job."""
        self.workspace, self.packed_numbers, self.itemsize = other.workspace, other.packed_numbers, other.itemsize
        self.weights, self.filters, self.offsets = other.weights, other.filters, other.offsets
        self.unit, self.tables = other.unit, other.tables

    cdef Layout bind(self, const Arrays *arrays, pads):
        """Return a copy for arrays of these sizes and steps."""
        raise NotImplementedError

    cdef run(self, const Arrays *arrays, Py_ssize_t threads, bint keep_gil):
        """Compute a call, when bound: of the arrays, only the addresses are read."""
        raise NotImplementedError


cdef inline void set_addresses(Arrays *arrays, const Arrays *others) noexcept nogil:
    arrays.images, arrays.weight, arrays.bias, arrays.maps = others.images, others.weight, others.bias, others.maps
    arrays.slopes, arrays.residual = others.slopes, others.residual


cdef inline const fc_kernels *ukernels_of(Py_ssize_t bits) noexcept nogil:
    """Return the micro-kernels of the instruction set in use for numbers of so many bits."""
    return &isa.f32 if bits == 32 else &isa.f64
