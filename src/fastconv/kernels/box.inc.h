/* Sums of neighbours, all with weight 1, of numbers whose sums are exact: in fewer steps than one for each. */
#include "expects.h"
#include "kernels.h"
#include "simd.h"

/* Down the columns a sum follows from the one before: what is new is added, what is left behind is subtracted. */
NOINLINE void NAMED(box_columns)(void *to_, ptrdiff_t to_step, const void *from_, ptrdiff_t from_step, ptrdiff_t taps,
                                 ptrdiff_t rows, ptrdiff_t columns) {
    expects(to_ && from_ && taps > 0 && rows >= 0);
    for (ptrdiff_t x = 0; x < columns; x += LANES) {
        const real *from = (const real *)from_ + x;
        real *to = (real *)to_ + x;
        vec sum = v_splat(0);
        for (ptrdiff_t t = 0; t < taps - 1; t++) sum = v_add(sum, v_load(from + t * from_step));
        for (ptrdiff_t y = 0; y < rows; y++) {
            sum = v_add(sum, v_load(from + (taps - 1) * from_step));
            v_store(to, sum);
            sum = v_sub(sum, v_load(from));
            from += from_step;
            to += to_step;
        }
    }
}

/* Along a row the sums of 2 n numbers follow from those of n: the sums of those powers of two that `taps` consists of are
   added up. */
NOINLINE void NAMED(box_row)(void *to_, void *from_, ptrdiff_t step, ptrdiff_t taps, ptrdiff_t count) {
    real *to = to_, *from = from_;
    ptrdiff_t done = 0;
    expects(to && from && taps > 0 && step > 0);
    for (ptrdiff_t n = 1; n <= taps; n *= 2) {
        const ptrdiff_t needed = count + (taps - 1 - done) * step; /* of the sums of n */
        if (taps & n) {
            const real *add = from + done * step;
            for (ptrdiff_t i = 0; i < count; i += LANES)
                v_store(to + i, done ? v_add(v_load(to + i), v_load(add + i)) : v_load(add + i));
            done += n;
        }
        if (done < taps)
            for (ptrdiff_t i = 0; i < needed - n * step; i += LANES)
                v_store(from + i, v_add(v_load(from + i), v_load(from + i + n * step)));
    }
}
