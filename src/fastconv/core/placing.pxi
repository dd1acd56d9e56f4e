# Offsets of taps and masks, for arrays of one size. Part of _core.pyx.


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
