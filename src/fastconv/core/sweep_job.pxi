# Convolution of one channel, or of groups of one, by sweeps: the job. Part of _core.pyx.
#
# Uses: job.pxi, rows.pxi, epilogue.pxi.


cdef struct SweepRun:
    # Neighbouring micro-kernels of one variant: `count` of them from vector `first` of a row on.
    const fc_sweep_variant *variant
    Py_ssize_t first, count


cdef struct SweepTables:
    # What depends on the sizes of the arrays.
    Py_ssize_t vectors         # of a row of a map
    Range inner                # vectors all of whose lanes read the image through every tap
    PaddedRow left, right      # what those in front of them and behind them read instead, with borders
    const Py_ssize_t *offset   # from a row's first pixel to what each tap reads from output 0 (kw,)
    const unsigned *masks      # of the lanes that read the image: `mask_row` tells for which vectors
    const SweepRun *runs       # that cover a row; those that compute r rows at once begin at first_run[r - 1]
    Py_ssize_t[SWEEP_MAX_ROWS + 1] first_run


cdef struct SweepJob:
    const fc_kernels *ukernels
    Arrays arrays
    Window window
    Epilogue epilogue
    bint in_place              # read rows of the image, not of a padded strip,
    bint borders               # but for their first and last pixels, with those of the padding beside them
    bint pairs                 # rows are of complex numbers
    bint nontemporal           # maps bypass the cache
    bint paired                # the taps of a row come in the order of `fc_paired_tap`
    Py_ssize_t stride_x        # of the pixels that neighbouring lanes read: 1 in a strip, whose columns are in phases
    Py_ssize_t row_period      # output rows r and r + row_period read rows with the same remainder by the dilation
    Py_ssize_t strip_rows, strips  # of the output at most; and strips of a map
    Py_ssize_t parts           # that the groups are cut into
    Py_ssize_t lines           # input rows that a strip of output rows reads
    Py_ssize_t pitch           # numbers of a phase of a padded row
    Py_ssize_t zero_numbers    # of the row of zeros, 0 if no output reads one
    SweepTables tables
