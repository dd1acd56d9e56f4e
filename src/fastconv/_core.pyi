from collections.abc import Callable, Sequence
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

PADDING_MODES: Final[dict[str, int]]
ACTIVATIONS: Final[dict[str | None, int]]
STACKS: Final[set[tuple[int, int]]]
direct: Final[dict[str, Callable[..., None]]]
tiles: Final[dict[str, Callable[..., None]]]
pack: Final[dict[str, Callable[..., None]]]
passes: Final[dict[str, Callable[..., None]]]
winograd: Final[dict[str, Callable[..., None]]]
pack_winograd: Final[dict[str, Callable[..., None]]]

@final
class Layout:
    def __init__(
        self,
        map_size: Sequence[int],
        kernel: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        groups: int,
        padding_mode: int,
        activation: int,
    ) -> None: ...
    def sweep(
        self,
        filters: int,
        bits: int,
        strip_rows: int,
        *,
        in_place: bool,
        parts: int,
        far_maps: bool,
        zero_rows: bool = True,
    ) -> None: ...
    def stack(self, filters: int, bits: int, strip_rows: int, *, parts: int) -> None: ...
    def tile(
        self,
        channels: int,
        filters: int,
        bits: int,
        strip_rows: int,
        *,
        by_filters: bool,
        packed: bool,
        panels: bool,
        in_place: bool,
        chunk: int,
        block_tiles: int,
        by_position: bool = False,
    ) -> None: ...
    def describe(self) -> str: ...
    @property
    def packed_numbers(self) -> int: ...
    @property
    def pieces(self) -> list[int]: ...
    @property
    def workspace(self) -> int: ...
    @property
    def by_position(self) -> bool: ...

@final
class Placing: ...

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
    ) -> NDArray[Any] | None: ...

@final
class WinogradLayout:
    def __init__(
        self,
        kernel: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        groups: int,
        padding_mode: int,
        activation: int,
        channels: int,
        filters: int,
        bits: int,
        forms: Sequence[Any],
        splits: Sequence[tuple[int, int, int]],
        blends: bool,
        tile_rows: int,
        tile_columns: int,
        line_tiles: int,
    ) -> None: ...
    @property
    def tile_size(self) -> tuple[int, int, int]: ...
    def seen(self, axis: int, outputs: int) -> int: ...
    @property
    def packed_numbers(self) -> int: ...
    @property
    def pieces(self) -> list[int]: ...
    @property
    def workspace(self) -> int: ...

def apply_activation(maps: NDArray[Any], activation: int) -> None: ...
def blank_windows(
    image: NDArray[Any],
    pads: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    outputs: Sequence[int],
) -> NDArray[np.bool_] | None: ...
def dynamic_range(image: NDArray[Any], cell: Sequence[int]) -> tuple[float, bool, bool]: ...
def empty_result(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]: ...
def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]: ...
def sight(taps: int, stride: int, dilation: int, pad: int, size: int, outputs: int) -> float: ...
def sources(start: int, stop: int, size: int, mode: int) -> list[int]: ...
def use_isa(name: str | None = None) -> None: ...
def available_isas() -> list[str]: ...
def current_isa() -> tuple[str, int]: ...
def multiply_adds(rounds: int) -> int: ...
