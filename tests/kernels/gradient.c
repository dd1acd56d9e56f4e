/* Tiles of dot products, and how their partial sums are added up. */
#include "check.h"

static void check_dot(const fc_kernels *kernels, ptrdiff_t gradients, ptrdiff_t images, ptrdiff_t lines, ptrdiff_t columns) {
    const ptrdiff_t stride = columns % DOT_SUMS ? 1 : 2, gradient_step = columns + 3, image_step = stride * columns + 1;
    const ptrdiff_t sums_step = images * DOT_SUMS + 5, numbers = gradients * sums_step;
    const ptrdiff_t columns_read = stride == 1 ? columns : (columns / DOT_SUMS - 1) * stride * DOT_SUMS + DOT_SUMS;
    void *gradient[DOT_MAX_GRADIENTS], *image[DOT_MAX_IMAGES], *sums = draw(numbers), *expected = copy(sums, numbers);
    fc_dot dot = {.gradient_step = gradient_step, .image_step = image_step, .lines = lines, .columns = columns, .stride = stride,
                  .sums = sums, .sums_step = sums_step};
    /* exactly what may be read: a sanitizer sees more */
    for (ptrdiff_t i = 0; i < gradients; i++) dot.gradient[i] = gradient[i] = draw((lines - 1) * gradient_step + columns);
    for (ptrdiff_t j = 0; j < images; j++) dot.image[j] = image[j] = draw((lines - 1) * image_step + columns_read);
    for (ptrdiff_t i = 0; i < gradients; i++)
        for (ptrdiff_t j = 0; j < images; j++)
            for (ptrdiff_t line = 0; line < lines; line++)
                for (ptrdiff_t c = 0; c < columns; c++) {
                    const ptrdiff_t sum = i * sums_step + j * DOT_SUMS + c % DOT_SUMS;
                    const ptrdiff_t seen = c / DOT_SUMS * stride * DOT_SUMS + c % DOT_SUMS;
                    put(expected, sum, get(expected, sum) + get(gradient[i], line * gradient_step + c)
                                                                * get(image[j], line * image_step + seen));
                }
    kernels->dot[gradients][images](&dot);
    compare(sums, expected, numbers, "dot", gradients, images, columns);
    for (ptrdiff_t i = 0; i < gradients; i++) free(gradient[i]);
    for (ptrdiff_t j = 0; j < images; j++) free(image[j]);
}

static void check_add_dot_sums(const fc_kernels *kernels, ptrdiff_t count) {
    void *sums = draw(count * DOT_SUMS), *total = draw(count), *expected = copy(total, count);
    for (ptrdiff_t n = 0; n < count; n++) {
        double sum = 0;
        for (ptrdiff_t i = 0; i < DOT_SUMS; i++) sum += get(sums, n * DOT_SUMS + i);
        put(expected, n, sum);
    }
    kernels->add_dot_sums(total, sums, count);
    compare(total, expected, count, "add_dot_sums", count, 0, 0);
    free(sums);
}

void check_gradients(const fc_kernels *kernels) {
    static const ptrdiff_t columns[] = {1, 3, 7, 8, 14, 16, 17, 31, 40};
    for (ptrdiff_t gradients = 1; gradients <= kernels->dot_gradients; gradients++)
        for (ptrdiff_t images = 1; images <= kernels->dot_images; images++)
            for (int c = 0; c < 9; c++)
                for (ptrdiff_t lines = 1; lines <= 3; lines += 2) check_dot(kernels, gradients, images, lines, columns[c]);
    for (ptrdiff_t count = 1; count < 4; count++) check_add_dot_sums(kernels, count);
}
