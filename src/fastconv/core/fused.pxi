# Banks in a row, strip by strip: a program of steps that Python planned (_fuse.py). Part of _core.pyx.
#
#     image -> strip of a map -> strip of the next one -> ... -> rows of the last bank's maps
#
# A step computes some outputs of one bank, or copies some: those that the next strip reads again to the front of the
# buffer, or those that a padding mode repeats. Maps between the banks exist in buffers at the start of the workspace.
#
# Uses: kernels.pxd, buffers.pxd, job.pxi, layout.pxi.


cdef enum:
    COPY = -1  # in place of the index of a call


cdef struct Step:
    # As Python writes it, in int64: an array is 0, the image; 1, the last maps; or 2, the buffers.
    int64_t call               # that is run, or COPY
    int64_t source, source_at, target, target_at  # arrays, and places in them in bytes
    int64_t nbytes             # of a copy: of a row,
    int64_t rows, source_row, target_row       # from one row to the next,
    int64_t channels, source_step, target_step  # and from one channel to the next


cdef struct FusedCall:
    fc_unit_fn unit
    const char *job
    Py_ssize_t nbytes, units, images_at, maps_at


cdef struct FusedJob:
    const FusedCall *calls
    const Step *steps
    const int64_t *bounds      # of the steps of each band
    Py_ssize_t bands           # of an image
    Py_ssize_t[2] image_bytes  # of the image, and of its maps
    const char *images
    char *maps
    Py_ssize_t job_at, rest_at  # places of a copy of a call's job, and of its workspace


cdef void copy_rows(char *target, const char *source, const Step *step) noexcept nogil:
    cdef Py_ssize_t channel, row
    for channel in range(step.channels):
        for row in range(step.rows):
            memmove(target + channel * step.target_step + row * step.target_row,
                    source + channel * step.source_step + row * step.source_row, step.nbytes)


cdef void fused_unit(char *workspace, const FusedJob *job, Py_ssize_t index) noexcept nogil:
    """Compute a band of one image, strip by strip."""
    cdef Py_ssize_t n = index // job.bands, band = index % job.bands, i, unit
    cdef char *copy = workspace + job.job_at
    cdef char *source
    cdef char *target
    cdef char *arrays[3]
    cdef const Step *step
    cdef const FusedCall *call
    arrays[0] = <char *>job.images + n * job.image_bytes[0]
    arrays[1], arrays[2] = job.maps + n * job.image_bytes[1], workspace
    for i in range(job.bounds[band], job.bounds[band + 1]):
        step = job.steps + i
        source, target = arrays[step.source] + step.source_at, arrays[step.target] + step.target_at
        if step.call == COPY:
            copy_rows(target, source, step)
            continue
        call = job.calls + step.call
        memcpy(copy, call.job, call.nbytes)
        (<void **>(copy + call.images_at))[0] = source
        (<void **>(copy + call.maps_at))[0] = target
        for unit in range(call.units):
            call.unit(workspace + job.rest_at, copy, unit)
        if fc_stopping():
            return


@cython.final
cdef class FusedCalls:
    """Banks in a row for images of one size, cut into bands: all is ready but the addresses of images and maps."""

    cdef FusedJob job
    cdef Memory memory
    cdef list calls
    cdef bytes steps, bounds
    cdef Py_ssize_t itemsize, images, image_numbers, map_numbers
    cdef readonly Py_ssize_t workspace  # bytes that each thread works in

    def __init__(self, calls, steps, bounds, Py_ssize_t buffer_bytes, numbers, Py_ssize_t images, Py_ssize_t itemsize):
        """calls: their units; steps (steps, 12) and bounds (bands + 1,) of int64; numbers: of an image, and of maps."""
        cdef FusedJob *job = &self.job
        cdef FusedCall *call
        cdef Units units
        cdef Py_ssize_t i, largest = 0, rest = 0
        self.calls, self.steps, self.bounds = calls, steps.tobytes(), bounds.tobytes()
        self.memory = take_memory(len(calls) * sizeof(FusedCall), 0)
        for i, units in enumerate(calls):
            call = <FusedCall *>self.memory.start + i
            call.unit, call.job, call.nbytes, call.units = units.unit, units.job, len(units.job), units.units
            call.images_at, call.maps_at = units.images_at, units.maps_at
            largest, rest = max(largest, call.nbytes), max(rest, units.workspace)
        job.calls, job.bands = <FusedCall *>self.memory.start, len(bounds) - 1
        job.steps, job.bounds = <Step *><char *>self.steps, <int64_t *><char *>self.bounds
        self.itemsize, self.images, (self.image_numbers, self.map_numbers) = itemsize, images, numbers
        job.image_bytes[0], job.image_bytes[1] = self.image_numbers * itemsize, self.map_numbers * itemsize
        job.job_at = ceil_div(buffer_bytes, LINE_BYTES) * LINE_BYTES
        job.rest_at = job.job_at + ceil_div(largest, LINE_BYTES) * LINE_BYTES
        self.workspace = job.rest_at + rest

    def run(self, images, maps, Py_ssize_t threads):
        """Compute the maps (N, K, ...) of contiguous images (N, C, ...)."""
        cdef FusedJob job = self.job
        job.images = <const char *>numbers_of(images, self.images * self.image_numbers, self.itemsize)
        job.maps = <char *>numbers_of(maps, self.images * self.map_numbers, self.itemsize)
        run_units(<fc_unit_fn>fused_unit, &job, self.images * job.bands, self.workspace, threads)
