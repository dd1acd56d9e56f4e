# Padded rows: copies of rows of an image, phase by phase, with what lies beyond the image. Part of _core.pyx.
#
# With stride 2 and three taps, for example, columns a b c d e and one zero on either side become
#
#     phase 0:  0 b d 0     that taps 0 and 2 read, tap 2 from the second number on
#     phase 1:  a c e       that tap 1 reads
#
# Uses: geometry.pxd, kernels.pxd, job.pxi.


cdef struct PaddedRow:
    # A padded row (phases, pitch), and the rows of the image that are copied.
    const fc_kernels *ukernels
    Axis axis              # of the columns
    int padding_mode
    Py_ssize_t pitch       # numbers of a phase
    Py_ssize_t columns     # of the image
    Py_ssize_t source_step  # from one row that is copied to the next


cdef void fill_plane(real *row, const real *plane, const PaddedRow *shape, const Axis *axis, Py_ssize_t phase,
                     Py_ssize_t first, Py_ssize_t rows, const Arrays *arrays) noexcept nogil:
    """Fill padded rows with some rows of a phase of a plane (H, W), from index `first` on; with zeros if it is NULL."""
    cdef Py_ssize_t done = 0, some, y, row_step = shape.axis.phases * shape.pitch
    cdef Range inside = phase_inside(axis, phase, first, rows, arrays.image_size[1])
    while done < rows:
        y = image_index(phase_position(axis, phase, first + done), arrays.image_size[1], shape.padding_mode)
        some = inside.last - done if inside.first <= done < inside.last else 1
        if plane == NULL or y < 0:
            memset(row, 0, some * row_step * sizeof(real))
        else:
            fill_rows(row, plane + y * arrays.image_step[3], shape, some)
        row += some * row_step
        done += some


cdef void fill_rows(real *row, const real *pixels, const PaddedRow *shape, Py_ssize_t rows) noexcept nogil:
    """Copy some rows of an image, the first of which is `pixels`, into padded rows, one after another."""
    cdef const Axis *axis = &shape.axis
    cdef Py_ssize_t phase, index, start, n, stride = axis.stride, row_step = axis.phases * shape.pitch
    cdef bint adjacent = axis.phases == 1 or axis.dilation % stride == 1  # phase p begins p pixels after phase 0
    cdef bint deinterleaves = adjacent and (stride == 1 or stride == 2 or stride == 4 or stride == 8)
    cdef fc_deinterleave request
    cdef Range inside, whole = Range(0, 0)  # whole: of all phases
    if deinterleaves:
        request.to, request.to_step, request.rows = row, shape.pitch, rows
        request.source, request.source_step = pixels, shape.source_step
        request.first, request.columns = -axis.pad, shape.columns
        request.phases, request.slots = stride, axis.phases
        shape.ukernels.deinterleave(&request)
        if shape.padding_mode == ZEROS:
            return
    elif adjacent:
        whole.first = phase_inside(axis, 0, 0, shape.pitch, shape.columns).first
        whole.last = max(whole.first, phase_inside(axis, axis.phases - 1, 0, shape.pitch, shape.columns).last)
        for n in range(rows):
            shape.ukernels.transpose(row + n * row_step + whole.first, shape.pitch,
                                     pixels + n * shape.source_step + phase_position(axis, 0, whole.first), stride,
                                     whole.last - whole.first, axis.phases)
    for phase in range(axis.phases):
        inside = phase_inside(axis, phase, 0, shape.pitch, shape.columns)
        if not deinterleaves:
            start = phase_position(axis, phase, 0)
            for n in range(rows):
                for index in range(inside.first, min(whole.first, inside.last)):
                    row[n * row_step + index] = pixels[n * shape.source_step + start + stride * index]
                for index in range(max(inside.first, whole.last), inside.last):
                    row[n * row_step + index] = pixels[n * shape.source_step + start + stride * index]
        fill_border(row, pixels, shape, phase, Range(0, inside.first), rows)
        fill_border(row, pixels, shape, phase, Range(inside.last, shape.pitch), rows)
        row += shape.pitch


cdef void fill_border(real *row, const real *pixels, const PaddedRow *shape, Py_ssize_t phase, Range indices,
                      Py_ssize_t rows) noexcept nogil:
    """Fill some numbers of a phase of some rows, beyond the image."""
    cdef Py_ssize_t index, x, n, row_step = shape.axis.phases * shape.pitch
    for index in range(indices.first, indices.last):
        x = image_index(phase_position(&shape.axis, phase, index), shape.columns, shape.padding_mode)
        for n in range(rows):
            row[n * row_step + index] = pixels[n * shape.source_step + x] if x >= 0 else 0
