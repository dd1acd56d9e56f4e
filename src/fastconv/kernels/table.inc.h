/* The initializer of the table of one ISA for one type, see fc_kernels. */
#define TILE(filters, vectors) [filters][vectors] = NAMED(tile_##filters##_##vectors),
#define INTERLEAVED_ROW(filters) [filters] = NAMED(interleaved_row_##filters),
#define FILTER_TILE(pixels, vectors) [pixels][vectors] = NAMED(filter_tile_##pixels##_##vectors),
#define DOT(gradients, images) [gradients][images] = NAMED(dot_##gradients##_##images),
    {
        .lanes = LANES,
        .tile_filters = TILE_FILTERS,
        .tile_vectors = TILE_VECTORS,
        .tile = {TILES(TILE)},
        .filter_tile = {FILTER_TILES(FILTER_TILE)},
        .interleaved_row = {INTERLEAVED_ROWS(INTERLEAVED_ROW)},
        .one_pixel = NAMED(one_pixel),
        .im2col = NAMED(im2col),
        .deinterleave = NAMED(deinterleave),
        .transpose = NAMED(transpose),
        .peak = NAMED(peak),
        .sweeps = NAMED(sweeps),
        .stacks = NAMED(stacks),
        .forms = NAMED(forms),
        .transform_kernels = NAMED(transform_kernels),
        .collect = NAMED(collect),
        .gather = NAMED(gather),
        .scatter = NAMED(scatter),
        .dot_gradients = DOT_GRADIENTS,
        .dot_images = DOT_IMAGES,
        .dot = {DOTS(DOT)},
        .add_dot_sums = NAMED(add_dot_sums),
    },
#undef TILE
#undef FILTER_TILE
#undef DOT
#undef INTERLEAVED_ROW
