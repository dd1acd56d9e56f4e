# Memory of arrays. Part of _core.pyx.
#
# Systems clear every page that they hand out, and C libraries return large blocks to them at once: a large result may
# take as long to allocate as to compute. So the memory of large arrays that have died goes to a pool, for others of the
# same size.
#
# Uses: buffers.pxd, job.pxi.


cdef extern from *:
    """
    #if defined(__unix__) || defined(__APPLE__)
    #  include <sys/mman.h>
    #  include <unistd.h>
    #endif
    /* Let the system take back the pages of a large block when it is short of memory; what they hold may be lost. */
    static void offer_pages(char *memory, Py_ssize_t bytes) {
    #if defined(MADV_FREE)
        const size_t page = (size_t)sysconf(_SC_PAGESIZE), skipped = -(size_t)memory % page; /* the rest of a page */
        (void)madvise(memory + skipped, ((size_t)bytes - skipped) / page * page, MADV_FREE);
    #else
        (void)memory, (void)bytes;
    #endif
    }
    """
    void offer_pages(char *memory, Py_ssize_t bytes) noexcept


cdef enum:
    ALIGNED_BYTES = 1 << 15  # of arrays that begin at a cache line: in smaller ones, aligning costs more than it saves
    POOLED_BYTES = 1 << 20   # of arrays whose memory goes to the pool: C libraries keep smaller blocks well enough
    OFFERED_BYTES = 1 << 25  # of memory that the system may take out of the pool: glibc would have returned it at once

cdef list pool = []  # of memory, as arrays of bytes; what was returned last comes last
cdef Py_ssize_t pool_bytes = 0, pool_limit = 1 << 27
cdef object pool_lock = object()


def empty(shape, dtype):
    """Return an array as np.empty does; a large one begins at a cache line, for vectors that cross lines are slow.

    With FASTCONV_POISON=1 it is full of NaN (integers: -1), as workspaces are, so that numbers never written show.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < ALIGNED_BYTES:
        array = np.empty(shape, dtype)
    elif size < POOLED_BYTES:
        array = aligned_array(shape, dtype, size)
    else:
        array = np.ndarray(shape, dtype, Buffer(size))
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


def set_pool_limit(Py_ssize_t size):
    """Choose how many bytes the pool holds at most, and free what it holds beyond them."""
    global pool_limit
    pool_limit = size
    trim_pool(size)


def pool_sizes():
    """Return how many bytes the pool holds at most, and how many it holds."""
    return pool_limit, pool_bytes


cdef aligned_array(shape, dtype, size):
    """Return an array of so many bytes, in memory of its own, that begins at a cache line."""
    room = np.empty(size + LINE_BYTES, np.uint8)
    return np.ndarray(shape, dtype, room, -<Py_ssize_t>address(room, room.size, 1) & (LINE_BYTES - 1))


@cython.final
@cython.no_gc
cdef class Buffer:
    """The memory of a large array, which is its base: once no array refers to it any longer, the pool gets it."""

    cdef object memory  # (bytes,)

    def __cinit__(self, size):
        self.memory = take_buffer(size)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyObject_GetBuffer(self.memory, buffer, flags)

    def __dealloc__(self):
        if self.memory is not None and len(self.memory) <= pool_limit:
            return_buffer(self.memory)


cdef take_buffer(size):
    """Return an array of so many bytes, from the pool if it has one."""
    global pool_bytes
    cdef Py_ssize_t n
    with cython.critical_section(pool_lock):
        for n in range(len(pool) - 1, -1, -1):
            if len(pool[n]) == size:
                pool_bytes -= size
                return pool.pop(n)
    try:
        return aligned_array((size,), np.dtype(np.uint8), size)
    except MemoryError:
        trim_pool(0)
    return aligned_array((size,), np.dtype(np.uint8), size)


cdef return_buffer(memory):
    """Put an array of bytes into the pool."""
    global pool_bytes
    if len(memory) >= OFFERED_BYTES:
        offer_pages(<char *>address(memory, len(memory), 1), len(memory))
    with cython.critical_section(pool_lock):
        pool.append(memory)
        pool_bytes += len(memory)
    trim_pool(pool_limit)


cdef trim_pool(Py_ssize_t limit):
    """Free what has been in the pool for the longest time, until it holds no more than so many bytes."""
    global pool_bytes
    while pool_bytes > limit:
        with cython.critical_section(pool_lock):
            if pool:
                oldest = pool.pop(0)
                pool_bytes -= len(oldest)


if hasattr(os, "register_at_fork"):  # what a child writes would be copied first, which is no faster than clearing pages
    os.register_at_fork(after_in_child=lambda: trim_pool(0))
