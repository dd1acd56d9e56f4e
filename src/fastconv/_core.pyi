from collections.abc import Sequence
from typing import Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

NUMBER_TYPES: dict[str, int]
PADDING_MODES: Final[dict[str, int]]
ACTIVATIONS: Final[dict[str | None, tuple[float, ...]]]
STACKS: Final[set[tuple[int, int]]]

# kernel, stride, dilation, groups, padding mode and activation
_Epilogue: TypeAlias = tuple[float, ...]  # kind, low or slope, and high of an activation
_Window: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int, int, _Epilogue]

@final
class Memory: ...

@final
class Units:
    @property
    def workspace(self) -> int: ...

@final
class FusedCalls:
    def __init__(
        self,
        calls: list[Units],
        steps: NDArray[Any],
        bounds: NDArray[Any],
        buffer_bytes: int,
        numbers: tuple[int, int],
        images: int,
        itemsize: int,
    ) -> None: ...
    @property
    def workspace(self) -> int: ...
    def run(self, images: NDArray[Any], maps: NDArray[Any], threads: int) -> None: ...

@disjoint_base
class Layout:
    @property
    def workspace(self) -> int: ...
    @property
    def packed_numbers(self) -> int: ...

@final
class DirectLayout(Layout): ...

@final
class TileLayout(Layout):
    @property
    def piece_bounds(self) -> list[int]: ...

@final
class InterleavedLayout(Layout): ...

@final
class TransposedLayout(Layout):
    @property
    def piece_bounds(self) -> list[int]: ...

@final
class SweepLayout(Layout): ...

@final
class StackLayout(Layout): ...

@final
class WeightDirectLayout(Layout): ...

@final
class WeightDotLayout(Layout): ...

@final
class WinogradLayout(Layout):
    @property
    def tile_size(self) -> tuple[int, int, int]: ...
    @property
    def filter_blocks(self) -> tuple[int, int]: ...
    def pixels_read(self, axis: int, outputs: int) -> int: ...
    @property
    def piece_bounds(self) -> list[int]: ...

@final
class WeightWinogradLayout:
    @property
    def workspace(self) -> int: ...

def direct_layout(window: _Window, weight_shape: Sequence[int], dtype: np.dtype[Any]) -> DirectLayout: ...
def tile_layout(
    map_size: Sequence[int],
    window: _Window,
    channels: int,
    filters: int,
    bits: int,
    strip_rows: int,
    *,
    by_filters: bool,
    packed: bool,
    im2col: bool,
    in_place: bool,
    chunk: int,
    block_tiles: int,
    prefetch_maps: bool,
    by_position: bool = False,
    filters_innermost: bool = False,
    images: int = 1,
    flip: int | None = None,
    requantized: tuple[int, bool] | None = None,
    channels_last: bool = False,
    nontemporal: bool = False,
) -> TileLayout: ...
def byte_format() -> tuple[int, bool, int]: ...
def pack_pixels(
    images: NDArray[Any], numbers: NDArray[Any], groups: int, change: int, is_signed: bool, layout: TileLayout
) -> None: ...
def requantize(
    sums: NDArray[Any], out: NDArray[Any], multipliers: NDArray[Any], zero: int, is_signed: bool
) -> None: ...
def interleaved_layout(
    map_size: Sequence[int],
    window: _Window,
    pads: Sequence[int],
    channels: int,
    filters: int,
    bits: int,
    strip_rows: int,
    *,
    chunk: int,
    nontemporal: bool,
) -> InterleavedLayout: ...
def transposed_layout(
    map_size: Sequence[int], window: _Window, channels: int, filters: int, bits: int, strip_rows: int, chunk: int
) -> TransposedLayout: ...
def sweep_layout(
    map_size: Sequence[int],
    window: _Window,
    filters: int,
    bits: int,
    strip_rows: int,
    *,
    in_place: bool,
    parts: int,
    nontemporal: bool,
    zero_rows: bool = True,
    borders: bool = False,
    pairs: bool = False,
    channels: int = 1,
) -> SweepLayout: ...
def stack_layout(
    map_size: Sequence[int], window: _Window, filters: int, bits: int, strip_rows: int, *, parts: int
) -> StackLayout: ...

@final
class Border:
    def __init__(
        self,
        itemsize: int,
        section_shape: Sequence[int],
        size: Sequence[int],
        pad: Sequence[int],
        modes: Sequence[int],
        values: NDArray[Any],
    ) -> None: ...

@final
class Buffer: ...

@final
class Call:
    def __init__(
        self,
        images_shape: Sequence[int],
        maps_shape: Sequence[int],
        output: tuple[tuple[int, ...], np.dtype[Any]],
        pads: Sequence[int],
        layout: Layout,
        threads: int,
        keeps_gil: bool,
        border: tuple[Any, ...] | None = None,
    ) -> None: ...
    def resized(
        self,
        images_shape: tuple[int, ...],
        maps_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        pads: Sequence[int],
    ) -> Call: ...
    @property
    def nbytes(self) -> int: ...
    def run(
        self,
        images: NDArray[Any],
        weight: NDArray[Any],
        bias: NDArray[Any] | None,
        threads: int,
        out: NDArray[Any] | None,
        residual: NDArray[Any] | None = None,
    ) -> NDArray[Any] | None: ...

def winograd_layout(
    window: _Window,
    channels: int,
    filters: int,
    bits: int,
    forms: Sequence[Sequence[Any]],
    splits: Sequence[tuple[int, int, int]],
    few: bool,
    tile_rows: int,
    tile_columns: int,
    line_tiles: int,
    *,
    packed: bool = True,
    transposed: bool = False,
) -> WinogradLayout: ...

# images (N, C, D, H, W), maps (N, K, D', H', W')
def convolve_direct(
    images: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    maps: NDArray[Any],
    pads: Sequence[int],
    layout: DirectLayout,
    threads: int,
    residual: NDArray[Any] | None = None,
) -> None: ...
def convolve(
    images: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any] | None,
    maps: NDArray[Any],
    pads: Sequence[int],
    layout: Layout,
    threads: int,
    residual: NDArray[Any] | None = None,
) -> Units | None: ...
def convolve_separable(
    images: NDArray[Any],
    columns: NDArray[Any],
    rows: NDArray[Any],
    bias: NDArray[Any] | None,
    maps: NDArray[Any],
    pads: Sequence[int],
    down: SweepLayout,
    along: SweepLayout,
    workspace: int,
    threads: int,
    residual: NDArray[Any] | None = None,
) -> Units | None: ...
def convolve_winograd(
    images: NDArray[Any],
    weight: NDArray[Any],
    transformed: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    maps: NDArray[Any],
    pads: Sequence[int],
    layout: WinogradLayout,
    blocks: tuple[int, int, int] | None,
    threads: int,
    residual: NDArray[Any] | None = None,
) -> Units | None: ...
def weight_winograd_layout(
    window: _Window,
    channels: int,
    filters: int,
    bits: int,
    forms: Sequence[Any],
    splits: Sequence[tuple[int, int, int]],
    block_strips: int,
    strip_tiles: int,
) -> WeightWinogradLayout: ...
def weight_gradient_winograd(
    images: NDArray[Any],
    maps: NDArray[Any],
    gradient: NDArray[Any],
    pads: Sequence[int],
    layout: WeightWinogradLayout,
    threads: int,
) -> bool: ...
def pack_tiles(weight: NDArray[Any], packed: NDArray[Any], first: int, layout: TileLayout) -> None: ...
def pack_interleaved(weight: NDArray[Any], packed: NDArray[Any], layout: InterleavedLayout) -> None: ...
def pack_transposed(
    weight: NDArray[Any], packed: NDArray[Any], first: int, layout: TransposedLayout, flip: bool
) -> None: ...
def pack_winograd(weight: NDArray[Any], packed: NDArray[Any], first: int, layout: WinogradLayout) -> None: ...
def weight_direct_layout(
    window: _Window,
    channels: int,
    filters: int,
    bits: int,
    *,
    chunk: int,
    row_parts: int,
    in_place: bool,
    by_channels: bool,
) -> WeightDirectLayout: ...
def weight_dot_layout(
    window: _Window, channels: int, filters: int, bits: int, *, chunk: int, in_place: bool, stacks: bool
) -> WeightDotLayout: ...
def sum_weight_gradient(
    images: NDArray[Any],
    maps: NDArray[Any],
    gradient: NDArray[Any],
    pads: Sequence[int],
    layout: Layout,
    threads: int,
) -> None: ...
def apply_activation(maps: NDArray[Any], given: _Epilogue, slopes: NDArray[Any] | None) -> None: ...
def blank_windows(
    image: NDArray[Any],
    pads: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    outputs: Sequence[int],
) -> NDArray[np.bool_] | None: ...

@final
class FftLayout:
    workspace: Final[int]
    numbers: Final[int]
    def __init__(
        self,
        window: _Window,
        weight_shape: tuple[int, ...],
        bits: int,
        array_bits: int,
        size: Sequence[int],
        outputs: Sequence[int],
        pair_axis: int,
        unit_pairs: int,
        cell: Sequence[int],
        max_range: Sequence[float],
    ) -> None: ...

def fold_line(points: int) -> tuple[int, int]: ...
def pack_fft(weight: NDArray[Any], spectra: NDArray[Any], layout: FftLayout, threads: int) -> None: ...
def convolve_fft(
    images: NDArray[Any],
    spectra: NDArray[Any],
    bias: NDArray[Any] | None,
    maps: NDArray[Any],
    pads: Sequence[int],
    layout: FftLayout,
    fate: NDArray[Any],
    wanted: int,
    part: Sequence[int],
    threads: int,
    residual: NDArray[Any] | None = None,
) -> None: ...
def empty_result(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]: ...
def equal_bytes(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool: ...
def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]: ...
def set_pool_limit(size: int) -> None: ...
def pool_sizes() -> tuple[int, int]: ...
def inside_fraction(taps: int, stride: int, dilation: int, pad: int, size: int, outputs: int) -> float: ...
def load_numbers(source: NDArray[Any], type: int, target: NDArray[Any]) -> bool: ...
def store_numbers(source: NDArray[Any], type: int, target: NDArray[Any], nontemporal: bool) -> bool: ...
def sweep_blocks(
    images: NDArray[Any],
    image_type: int,
    maps: NDArray[Any],
    map_type: int,
    weights: tuple[NDArray[Any], ...],
    bias: NDArray[Any] | None,
    border: tuple[tuple[int, int, int], tuple[int, ...], NDArray[Any], int],
    stride: tuple[int, int, int],
    block: tuple[int, int],
    layouts: tuple[SweepLayout, ...],
    workspace: int,
    threads: int,
) -> bool: ...
def truncate(values: NDArray[Any], out: NDArray[Any]) -> None: ...
def fill_section(
    images: NDArray[Any],
    section: NDArray[Any],
    values: NDArray[Any],
    first: Sequence[int],
    modes: Sequence[int],
    size: Sequence[int],
    origin: Sequence[int],
    interleaved: int = 1,
) -> None: ...
def are_complete(images: NDArray[Any], mask: NDArray[np.bool_] | None, ignores_nan: bool) -> list[bool]: ...
def convolve_along(
    image: NDArray[Any],
    kernel: NDArray[Any] | None,
    map: NDArray[Any],
    shape: Sequence[int],
    edge: tuple[int, int, float],
    sums: tuple[float, bool],
    block: tuple[int, int],
    by_rows: bool,
    layout: SweepLayout,
    threads: int,
) -> None: ...
def keep_numbers(
    images: NDArray[Any],
    mask: NDArray[np.bool_] | None,
    values: NDArray[Any],
    first: Sequence[int],
    modes: Sequence[int],
    size: Sequence[int],
    origin: Sequence[int],
    ignores_nan: bool,
    kept: NDArray[Any],
    seen: NDArray[Any],
) -> list[bool]: ...
def weigh(
    sums: NDArray[Any], seen: NDArray[Any], totals: NDArray[Any], bias: NDArray[Any], maps: NDArray[Any]
) -> None: ...
def padded_indices(start: int, stop: int, size: int, mode: int) -> list[int]: ...
def use_isa(name: str | None = None) -> None: ...
def available_isas() -> list[str]: ...
def current_isa() -> tuple[str, int]: ...
def multiply_adds(rounds: int) -> int: ...

@final
class ReadyCall:
    def __init__(
        self,
        passes: Sequence[tuple[Call, NDArray[Any] | None]],
        given: Sequence[tuple[int, np.dtype[Any]]],
        sums: np.dtype[Any],
        result: np.dtype[Any],
        shape: tuple[int, ...],
        *,
        image: int = 0,
        turned: Sequence[int] = (),
        conjugated: Sequence[int] = (),
        limit: float = 0,
        largest: float = 0,
    ) -> None: ...
    @property
    def nbytes(self) -> int: ...

def ready_key(options: object, arrays: tuple[NDArray[Any], ...], out: object) -> tuple[Any, ...] | None: ...
def run_ready(
    calls: dict[Any, Any], options: object, arrays: tuple[Any, ...], out: object, threads: int
) -> NDArray[Any] | None: ...
