# Weights in the order in which tiles read them. Part of _core.pyx.


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
