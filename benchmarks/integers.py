"""The cases and peers of the suite integers: layers of 8 bits, their sums and quantized, and a step of the Game of Life."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import Array, Case
from peers import Call, Peer


@dataclass(frozen=True)
class IntegerCase(Case):
    """A layer of uint8 images and int8 weights, of one kind: "sums", "quantized" or "life"."""

    padding_mode: str = "zeros"

    @property
    def input_zero(self) -> int:
        return 3 if self.kind == "quantized" else 0

    def arrays(self, seed: int = 0) -> tuple[Array, Array]:
        rng = np.random.default_rng(seed)
        if self.kind == "life":
            return (rng.random(self.input) < 0.3).astype(np.uint8), np.ones(self.weight, np.uint8)
        weight = rng.integers(-127, 128, self.weight).astype(np.int8)
        return rng.integers(0, 256, self.input).astype(np.uint8), weight

    def quantization(self, w: Array) -> tuple[Any, ...]:
        """The arguments of QLinearConv after x."""
        scales, zeros = np.full(len(w), 0.01, np.float32), np.zeros(len(w), np.int8)
        return np.float32(0.02), np.uint8(self.input_zero), w, scales, zeros, np.float32(1), np.uint8(128)

    def quantized(self, sums: Array) -> Array:
        """What exact sums become."""
        if self.kind != "quantized":
            return sums
        multiplier = np.float32(0.02) * np.float32(0.01)
        return np.clip(np.rint(sums.astype(np.float32) * multiplier) + 128, 0, 255)


def layer(kind: str, k: int, channels: int, size: int) -> IntegerCase:
    name = f"{kind} {k}x{k} {channels}->{channels} {size}x{size}"
    shape = (channels, channels, k, k)
    return IntegerCase(kind, name, (1, channels, size, size), shape, padding=k // 2, quick=size == 56)


LAYERS = [(k, channels, size) for k in (3, 1) for channels, size in ((64, 56), (128, 28), (256, 14), (512, 7))]
LIFE = IntegerCase(
    "life", "life 1024x1024", (1, 1, 1024, 1024), (1, 1, 3, 3), padding=1, padding_mode="circular", quick=True
)
INTEGER_CASES = [*(layer(kind, *sizes) for kind in ("sums", "quantized") for sizes in LAYERS), LIFE]


def onnxruntime(case: IntegerCase, x: Array, w: Array, threads: int) -> Call | None:
    """ConvInteger for sums, QLinearConv for bytes; input and output are bound once."""
    import onnxruntime as ort
    from onnx import helper, numpy_helper

    if case.kind == "life":
        return None
    arrays = case.quantization(w) if case.kind == "quantized" else (w,)
    constants = {f"c{n}": np.asarray(array) for n, array in enumerate(arrays)}
    result = np.dtype(np.uint8 if case.kind == "quantized" else np.int32)
    operator = "QLinearConv" if case.kind == "quantized" else "ConvInteger"
    node = helper.make_node(operator, ["x", *constants], ["y"], pads=case.pads * 2)
    tensors = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
        for name, dtype, shape in (("x", x.dtype, x.shape), ("y", result, case.output))
    ]
    initial = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "g", tensors[:1], tensors[1:], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    out, binding = np.empty(case.output, result), session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, result.type, out.shape, out.ctypes.data)

    def call() -> Array:
        session.run_with_iobinding(binding)
        return out

    return call


def torch(case: IntegerCase, x: Array, w: Array, threads: int) -> Call | None:
    """Integers of 32 bits, the smallest that torch adds up in without wrapping around."""
    import torch

    if case.kind != "sums":
        return None
    torch.set_num_threads(threads)
    image, bank = (torch.from_numpy(array.astype(np.int32)) for array in (x, w))
    return lambda: torch.conv2d(image, bank, padding=case.padding).numpy()


def rolls(case: IntegerCase, x: Array, w: Array, threads: int) -> Call | None:
    """The sum of the nine shifted images, as the Game of Life is often written."""
    if case.kind != "life":
        return None

    def call() -> Array:
        total = np.zeros_like(x)
        for rows in (-1, 0, 1):
            for columns in (-1, 0, 1):
                total += np.roll(x, (rows, columns), (2, 3))
        return total

    return call


def float32(case: IntegerCase, x: Array, w: Array, threads: int) -> Call | None:
    """fastconv's own direct summation of the same numbers in float32."""
    import fastconv as fc

    if case.kind == "quantized":
        return None
    bank = fc.FilterBank(w.astype(np.float32), **case.options, padding_mode=case.padding_mode, algorithm="direct")
    image = x.astype(np.float32)
    return lambda: bank(image)


INTEGER_PEERS = {
    peer.name: peer
    for peer in [
        Peer("onnxruntime", ("onnx", "onnxruntime"), onnxruntime),
        Peer("torch", ("torch",), torch),
        Peer("np.roll", (), rolls),
        Peer("float32", (), float32),
    ]
}
