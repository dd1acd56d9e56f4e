from collections.abc import Callable
from typing import Final

PADDING_MODES: Final[dict[str, int]]
ACTIVATIONS: Final[dict[str | None, int]]
direct: Final[dict[str, Callable[..., None]]]

def sources(start: int, stop: int, size: int, mode: int) -> list[int]: ...
