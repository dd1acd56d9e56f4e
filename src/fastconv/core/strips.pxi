# Padded strips of an image, and panels of what taps see in them. Part of _core.pyx.


cdef void fill_strip(real *strip, const real *image, const Job *job, Py_ssize_t depth, Py_ssize_t first_row,
                     Py_ssize_t rows) noexcept nogil:
    """Copy what some output rows see of an image into a strip (C * kd, row slots, rows, column slots, pitch)."""
    cdef const Axis *axis = &job.axis[1]
    cdef Py_ssize_t c, i, slot, row, z, y, some, seen_rows = (rows - 1) * job.step[1] + 1 + axis.reach
    cdef real *plane = strip
    cdef Range inside
    first_row *= job.step[1]
    for c in range(job.channels):
        for i in range(job.axis[0].taps):
            z = source(depth * job.axis[0].stride + i * job.axis[0].dilation - job.axis[0].pad, job.size[0], job.mode)
            for slot in range(axis.slots):
                inside = inside_slot(axis, slot, first_row, seen_rows, job.size[1])
                row = 0
                while row < seen_rows:
                    y = source(slot_position(axis, slot, first_row + row), job.size[1], job.mode)
                    some = inside.last - row if inside.first <= row < inside.last else 1
                    if z < 0 or y < 0:
                        memset(plane + row * job.row_step, 0, some * job.row_step * sizeof(real))
                    else:
                        fill_rows(plane + row * job.row_step, image + c * job.image_step[1] + z * job.image_step[2],
                                  job, y, some)
                    row += some
                plane += job.plane_step


cdef void fill_rows(real *row, const real *plane, const Job *job, Py_ssize_t y, Py_ssize_t rows) noexcept nogil:
    """Copy some rows of an image that lie a stride apart, from row y on, with what lies beside them, slot by slot."""
    cdef const Axis *axis = &job.axis[2]
    cdef Py_ssize_t slot, index, start, step = job.axis[1].stride * job.image_step[3], stride = axis.stride
    cdef bint deals = ((stride == 1 or stride == 2 or stride == 4 or stride == 8)
                       and (axis.slots == 1 or axis.dilation % stride == 1))
    cdef const real *pixels = plane + y * job.image_step[3]
    cdef fc_deinterleave request
    cdef Range inside
    if deals:
        request.to, request.to_step, request.rows = row, job.pitch, rows
        request.source, request.source_step, request.first, request.columns = pixels, step, -axis.pad, job.size[2]
        request.phases, request.slots = stride, axis.slots
        job.kernels.deinterleave(&request)
        if job.mode == ZEROS:
            return
    for _ in range(rows):
        for slot in range(axis.slots):
            inside = inside_slot(axis, slot, 0, job.pitch, job.size[2])
            if not deals:
                start = slot_position(axis, slot, 0)
                for index in range(inside.first, inside.last):
                    row[index] = pixels[start + stride * index]
            fill_border(row, slot, 0, inside.first, pixels, job)
            fill_border(row, slot, inside.last, job.pitch, pixels, job)
            row += job.pitch
        pixels += step


cdef void fill_border(real *row, Py_ssize_t slot, Py_ssize_t first, Py_ssize_t last, const real *pixels,
                      const Job *job) noexcept nogil:
    """Fill a part of a slot, be it in the image or beyond, pixel by pixel."""
    cdef Py_ssize_t index, x, start
    if first < last:
        start = slot_position(&job.axis[2], slot, 0)
    for index in range(first, last):
        x = source(start + index * job.axis[2].stride, job.size[2], job.mode)
        row[index] = pixels[x] if x >= 0 else 0


cdef Py_ssize_t panel_step(const Job *job) noexcept nogil:
    return job.chunk * job.width + SLACK


cdef void fill_panel(real *panel, const real *strip, const Job *job, Range pixels, Py_ssize_t unit_pixels, Range taps,
                     Py_ssize_t *runs) noexcept nogil:
    """Copy what these taps see from a tile of pixels, row of the map by row, into a panel (taps, width)."""
    cdef fc_im2col request
    cdef Py_ssize_t pixel = pixels.first, columns = job.map_size[2], count = 0, room = TILE_MAX_VECTORS * 16
    pixels.last = min(pixels.last, unit_pixels)
    while pixel < pixels.last:
        runs[count] = pixel - pixels.first
        runs[room + count] = pixel // columns * job.row_step + pixel % columns
        runs[2 * room + count] = min(columns - pixel % columns, pixels.last - pixel)
        pixel += runs[2 * room + count]
        count += 1
    request.panel = panel
    request.width = job.width
    request.image = strip
    request.offset = job.offset + taps.first
    request.taps = taps.last - taps.first
    request.runs = count
    request.start, request.seen, request.length = runs, runs + room, runs + 2 * room
    job.kernels.im2col(&request)
