# Parts of a padded image, copied: for borders that the jobs do not know, constants or a mode per axis. Part of
# _core.pyx.
#
# Uses: buffers.pxd, geometry.pxd.


def fill_section(images, section, values, first, modes, size, origin, Py_ssize_t interleaved=1):
    """Fill section (N, C, d, h, w) with part of padded images, from these positions on.

    images: of these images of this size (D, H, W), the pixels that the section shows at least, from their pixel
    `origin` on; their rows are contiguous, and the section is, where they may lie already. `modes` are those of the
    axes, where ZEROS stands for values (C,). All are of one dtype, whatever it is. Rows hold `interleaved` planes,
    pixel by pixel, side by side.
    """
    cdef View image = view_of(images, 5, False), part = view_of(section, 5, True)
    cdef const char *value = <const char *>numbers_of(values, image.shape[1], image.itemsize)
    cdef Py_ssize_t[3] position
    cdef int[3] mode
    cdef Py_ssize_t axis, start = 0  # of the images' first pixel, in numbers
    for axis in range(3):
        position[axis], mode[axis], image.shape[axis + 2] = first[axis], modes[axis], size[axis]
        start -= <Py_ssize_t>origin[axis] * image.step[axis + 2]
    with nogil:
        fill_planes(<char *>part.start, &part, &image, start, value, position, mode, interleaved)


@cython.final
cdef class Border:
    """The border of small contiguous images of known shape."""

    cdef View image, section      # without and with it
    cdef Py_ssize_t image_numbers, section_numbers
    cdef bytes values
    cdef Py_ssize_t[3] first
    cdef int[3] mode

    def __init__(self, itemsize, section_shape, size, pad, modes, values):
        """section_shape (N, C, d, h, w); size (D, H, W) without the border; values (C,)."""
        cdef Py_ssize_t axis
        self.values, self.image_numbers, self.section_numbers = values.tobytes(), 1, 1
        self.image.itemsize = self.section.itemsize = itemsize
        for axis in range(4, -1, -1):
            self.image.step[axis] = self.image_numbers
            self.section.shape[axis] = self.image.shape[axis] = section_shape[axis]
            if axis > 1:
                self.image.shape[axis] = size[axis - 2]
                self.first[axis - 2], self.mode[axis - 2] = -pad[axis - 2], modes[axis - 2]
            self.image_numbers *= self.image.shape[axis]
            self.section_numbers *= self.section.shape[axis]

    cdef void *filled(self, const void *images) except NULL:
        """Return the images with their border, in memory to be freed."""
        cdef View image = self.image
        cdef char *section = <char *>malloc(max(1, self.section_numbers * image.itemsize))
        if section == NULL:
            raise MemoryError(f"no memory for images and padding of {self.section_numbers * image.itemsize} bytes")
        image.start = <void *>images
        fill_planes(section, &self.section, &image, 0, self.values, self.first, self.mode, 1)
        return section


cdef void fill_planes(char *to, const View *part, const View *image, Py_ssize_t start, const char *value,
                      const Py_ssize_t *first, const int *mode, Py_ssize_t interleaved) noexcept nogil:
    cdef Py_ssize_t n, c, z, y, depth, row, itemsize = image.itemsize
    cdef const char *pixels
    for n in range(part.shape[0]):
        for c in range(part.shape[1]):
            for z in range(part.shape[2]):
                depth = image_index(first[0] + z, image.shape[2], mode[0])
                for y in range(part.shape[3]):
                    row = image_index(first[1] + y, image.shape[3], mode[1])
                    if depth < 0 or row < 0:
                        repeat_number(to, value + c * itemsize, part.shape[4], itemsize)
                    else:
                        pixels = <const char *>image.start + itemsize * (
                            start + n * image.step[0] + c * image.step[1] + depth * image.step[2] + row * image.step[3])
                        fill_section_row(to, pixels, value + c * itemsize, part.shape[4], image.shape[4], first[2],
                                         mode[2], itemsize, interleaved)
                    to += part.shape[4] * itemsize


cdef void fill_section_row(char *to, const char *pixels, const char *value, Py_ssize_t count, Py_ssize_t columns,
                           Py_ssize_t first, int mode, Py_ssize_t itemsize, Py_ssize_t interleaved) noexcept nogil:
    """Fill a row with `count` numbers of a padded one, from position `first` on."""
    cdef Py_ssize_t index = 0, x, plane
    cdef Range inside = Range(min(max(0, -first), count), 0)
    inside.last = max(inside.first, min(count, columns - first))
    if to + inside.first * itemsize != pixels + (first + inside.first) * itemsize:
        memcpy(to + inside.first * itemsize, pixels + (first + inside.first) * itemsize,
               (inside.last - inside.first) * itemsize)
    if mode == ZEROS:
        repeat_number(to, value, inside.first, itemsize)
        repeat_number(to + inside.last * itemsize, value, count - inside.last, itemsize)
        return
    while index < count:
        if inside.first <= index < inside.last:
            index = inside.last
            continue
        plane = (first + index) % interleaved
        if plane < 0:
            plane += interleaved
        x = image_index((first + index - plane) // interleaved, columns // interleaved, mode) * interleaved + plane
        memcpy(to + index * itemsize, pixels + x * itemsize, itemsize)
        index += 1


cdef void repeat_number(char *to, const char *number, Py_ssize_t count, Py_ssize_t itemsize) noexcept nogil:
    cdef Py_ssize_t done = 1
    if count <= 0:
        return
    memcpy(to, number, itemsize)
    while done < count:
        memcpy(to + done * itemsize, to, min(done, count - done) * itemsize)
        done *= 2
