"""The competitors: NumPy as people write it, and the libraries that happen to be installed.

A maker takes a case and its arrays, x (N, C, H, W) and w (K, C/groups, kh, kw), and prepares everything that a user would
prepare once: sessions, packed weights, memory layout. It returns the call to be timed, whose result `np.asarray`
understands, or None where the competitor cannot do the case. Libraries are imported by their makers only.
"""

import math
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from cases import Array, Case, gaussian

Call = Callable[[], Any]
Maker = Callable[[Case, Array, Array, int], Call | None]


@dataclass(frozen=True)
class Peer:
    name: str
    modules: tuple[str, ...]
    make: Maker

    @property
    def installed(self) -> bool:
        return all(find_spec(module) for module in self.modules)


PEERS: dict[str, Peer] = {}


def peer(name: str, *modules: str) -> Callable[[Maker], Maker]:
    """Enter a maker into PEERS under the name that the report shows, with the modules that it needs."""

    def enter(make: Maker) -> Maker:
        PEERS[name] = Peer(name, modules, make)
        return make

    return enter


# NumPy


def padded(case: Case, x: Array) -> Array:
    rows, columns = case.pads
    return np.pad(x, ((0, 0), (0, 0), (rows, rows), (columns, columns))) if rows or columns else x


def windows(case: Case, x: Array) -> Array:
    """A view of x (N, C, H, W), padded before, with one window for each output pixel: (N, C, H', W', kh, kw)."""
    s, d = case.stride, case.dilation
    extent = tuple(d * (k - 1) + 1 for k in case.weight[2:])
    return np.lib.stride_tricks.sliding_window_view(x, extent, axis=(2, 3))[:, :, ::s, ::s, ::d, ::d]


@peer("loops")
def loops(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    """Six nested loops, as in a first lecture."""
    if case.macs > 2e6:
        return None
    _, filters, height, width = case.output
    _, channels, kh, kw = case.weight
    s, d = case.stride, case.dilation

    def call() -> Array:
        image = padded(case, x)[0]
        out = np.zeros((filters, height, width), np.float32)
        for k in range(filters):
            first = k // (filters // case.groups) * channels
            for i in range(height):
                for j in range(width):
                    for c in range(channels):
                        for a in range(kh):
                            for b in range(kw):
                                out[k, i, j] += image[first + c, i * s + a * d, j * s + b * d] * w[k, c, a, b]
        return out[None]

    return call


@peer("einsum")
def einsum(case: Case, x: Array, w: Array, threads: int) -> Call:
    """`np.einsum` over sliding windows, with a subscript for the group (g): no copy, but no BLAS either."""
    g = case.groups
    bank = w.reshape(g, -1, *w.shape[1:])  # (g, K/g, C/g, kh, kw)

    def call() -> Array:
        maps = windows(case, padded(case, x))
        grouped = maps.reshape(len(x), g, -1, *maps.shape[2:])  # (N, g, C/g, H', W', kh, kw), still a view
        out: Array = np.einsum("ngchwij,gkcij->ngkhw", grouped, bank)
        return out.reshape(case.output)

    return call


@peer("tensordot")
def tensordot(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    """`np.tensordot` over sliding windows, group by group: BLAS, at the price of a copy with kh * kw times the input."""
    copy_bytes = 4 * math.prod(case.weight[1:]) * math.prod(case.output[2:])
    if copy_bytes > 2e9:
        return None
    banks = np.split(w, case.groups)  # (K/g, C/g, kh, kw) each

    def call() -> Array:
        groups = np.split(windows(case, padded(case, x)), case.groups, axis=1)
        maps = [np.tensordot(b, g, ((1, 2, 3), (1, 4, 5))) for b, g in zip(banks, groups, strict=True)]
        return np.concatenate(maps).swapaxes(0, 1) if len(maps) > 1 else maps[0].swapaxes(0, 1)  # from (K, N, H', W')

    return call


# Deep-learning runtimes


def torch_call(case: Case, x: Array, w: Array, threads: int, layout: str) -> Call | None:
    import torch

    if math.prod(case.weight[2:]) > 31**2:
        return None  # a minute and a half a call: torch falls back to a plain loop
    torch.set_num_threads(threads)
    memory_format = getattr(torch, layout)
    image, bank = (torch.from_numpy(a).contiguous(memory_format=memory_format) for a in (x, w))
    return partial(torch.conv2d, image, bank, **case.options)


@peer("torch", "torch")
def torch_nchw(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    return torch_call(case, x, w, threads, "contiguous_format")


@peer("torch nhwc", "torch")
def torch_nhwc(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    """Input and weight are brought to channels_last beforehand, and the result stays so."""
    return torch_call(case, x, w, threads, "channels_last")


def onnx_model(op: str, attributes: dict[str, Any], case: Any, x: Array, w: Array) -> bytes:
    """A model of one node with constant weights."""
    from onnx import TensorProto, helper, numpy_helper

    node = helper.make_node(op, ["x", "w"], ["y"], **attributes)
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    maps = helper.make_tensor_value_info("y", TensorProto.FLOAT, case.output)
    graph = helper.make_graph([node], "conv", [image], [maps], [numpy_helper.from_array(w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def onnx_conv(case: Case, x: Array, w: Array) -> bytes:
    attributes = {"strides": [case.stride] * 2, "pads": case.pads * 2, "dilations": [case.dilation] * 2}
    return onnx_model("Conv", attributes | {"group": case.groups}, case, x, w)


def run_onnxruntime(model: bytes, x: Array, output: tuple[int, ...], threads: int) -> Call:
    """Input and output are bound once, which spares 5 us a call."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    out = np.empty(output, np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, np.float32, out.shape, out.ctypes.data)

    def call() -> Array:
        session.run_with_iobinding(binding)
        return out

    return call


def run_openvino(model: bytes, x: Array, threads: int) -> Call:
    import openvino as ov

    core = ov.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(x, shared_memory=True))

    def call() -> Array:
        request.infer()
        out: Array = request.get_output_tensor().data
        return out

    return call


def run_ncnn(layer: str, settings: dict[int, int], x: Array, w: Array, threads: int) -> Call:
    """A net of one layer, its weights from a file; the result stays an `ncnn.Mat` without the batch axis."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    for lossy in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage"):
        setattr(net.opt, f"use_{lossy}", False)
    numbers = " ".join(f"{key}={value}" for key, value in settings.items())
    net.load_param_mem(f"7767517\n2 2\nInput x 0 1 x\n{layer} conv 1 1 x y {numbers}\n")
    with TemporaryDirectory() as folder:
        path = Path(folder, "weights.bin")
        path.write_bytes(bytes(4) + w.tobytes())  # four zero bytes: plain float32 follows
        net.load_model(str(path))
    image = ncnn.Mat(x[0])

    def call() -> Any:
        extractor = net.create_extractor()
        extractor.input("x", image)
        return extractor.extract("y")[1]

    return call


@peer("onnxruntime", "onnx", "onnxruntime")
def onnxruntime(case: Case, x: Array, w: Array, threads: int) -> Call:
    return run_onnxruntime(onnx_conv(case, x, w), x, case.output, threads)


@peer("openvino", "onnx", "openvino")
def openvino(case: Case, x: Array, w: Array, threads: int) -> Call:
    return run_openvino(onnx_conv(case, x, w), x, threads)


@peer("ncnn", "ncnn")
def ncnn(case: Case, x: Array, w: Array, threads: int) -> Call:
    filters, _, kh, kw = w.shape
    rows, columns = case.pads
    settings = {0: filters, 1: kw, 11: kh, 2: case.dilation, 3: case.stride, 4: columns, 14: rows, 6: w.size}
    if case.groups > 1:
        settings[7] = case.groups
    return run_ncnn("Convolution" if case.groups == 1 else "ConvolutionDepthWise", settings, x, w, threads)


@peer("litert", "ai_edge_litert", "flatbuffers")
def litert(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    """LiteRT, whose convolutions XNNPACK computes: of images (N, H, W, C), and the result stays so."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=litert_model(case, x, w), num_threads=threads)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x.transpose(0, 2, 3, 1))
    result = interpreter.tensor(interpreter.get_output_details()[0]["index"])

    def call() -> Array:
        interpreter.invoke()
        maps: Array = np.moveaxis(result(), -1, 1)
        return maps

    return call


def litert_model(case: Case, x: Array, w: Array) -> bytes:
    """A model of a convolution with constant weights, behind a padding where there is one."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    buffers, tensors, operators, codes = [schema.BufferT()], [], [], []

    def tensor(shape: tuple[int, ...], values: Array | None = None, type: int = schema.TensorType.FLOAT32) -> int:
        made = schema.TensorT()
        made.shape, made.type, made.buffer = list(shape), type, 0
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            buffers.append(buffer)
            made.buffer = len(buffers) - 1
        tensors.append(made)
        return len(tensors) - 1

    def operator(name: str, inputs: list[int], output: int, options: Any) -> None:
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        codes.append(code)
        made.opcodeIndex, made.inputs, made.outputs = len(codes) - 1, inputs, [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        made.builtinOptions = options
        operators.append(made)

    n, channels, height, width = x.shape
    image, (rows, columns) = tensor((n, height, width, channels)), case.pads
    source = image
    if rows or columns:
        pads = np.array([[0, 0], [rows, rows], [columns, columns], [0, 0]], np.int32)
        source = tensor((n, height + 2 * rows, width + 2 * columns, channels))
        operator("PAD", [image, tensor((4, 2), pads, schema.TensorType.INT32)], source, schema.PadOptionsT())
    is_depthwise = 1 < case.groups == channels == len(w)
    options = schema.DepthwiseConv2DOptionsT() if is_depthwise else schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, case.stride, case.stride
    options.dilationHFactor = options.dilationWFactor = case.dilation
    bank = w.transpose(1, 2, 3, 0) if is_depthwise else w.transpose(0, 2, 3, 1)
    if is_depthwise:
        options.depthMultiplier = 1
    bias = tensor((len(w),), np.zeros(len(w), np.float32))
    maps = tensor((n, *case.output[2:], len(w)))
    name = "DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D"
    operator(name, [source, tensor(bank.shape, bank), bias], maps, options)

    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [image], [maps]
    model.version, model.buffers, model.operatorCodes, model.subgraphs = 3, buffers, codes, [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


# Image filters: one plane, one kernel


def plane(case: Case, x: Array, w: Array) -> tuple[Array, Array] | None:
    """Image (H, W) and kernel (kh, kw), where the case has no more than these."""
    return (x[0, 0], w[0, 0]) if case.input[:2] == (1, 1) and case.weight[0] == 1 else None


def inner(case: Case, out: Array) -> Array:
    """Crop a result of the image's size where the case asks for less padding."""
    rows, columns = (k // 2 - pad for k, pad in zip(case.weight[2:], case.pads, strict=True))
    return out[rows : len(out) - rows, columns : out.shape[1] - columns]


@peer("opencv", "cv2")
def opencv(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    import cv2

    if not (planes := plane(case, x, w)):
        return None
    image, kernel = planes
    cv2.setNumThreads(threads)
    return lambda: inner(case, cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_CONSTANT))


@peer("opencv sep", "cv2")
def opencv_separable(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    import cv2

    if not case.separable:
        return None
    image, g = x[0, 0], gaussian(case.weight[-1])
    cv2.setNumThreads(threads)
    return lambda: cv2.sepFilter2D(image, -1, g, g, borderType=cv2.BORDER_CONSTANT)


@peer("ipp")
def ipp(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    """Intel's IPP by its C interface: `ippiFilterBorder` of the library for AVX-512, or AVX2."""
    import ctypes as c
    import sys
    from pathlib import Path

    from fastconv import _core

    if (
        not (planes := plane(case, x, w))
        or threads > 1
        or max(planes[1].shape) > 15
        or inner(case, x[0, 0]).size < x.size
    ):
        return None
    image, kernel = planes
    folder = Path(sys.prefix, "lib")
    if not (folder / "libippcore.so.12").exists():
        return None
    c.CDLL(str(folder / "libippcore.so.12"), c.RTLD_GLOBAL)
    library = c.CDLL(str(folder / f"libippi{'k0' if _core.available_isas()[-1] == 'avx512' else 'l9'}.so.12"))

    class Size(c.Structure):
        _fields_ = (("width", c.c_int), ("height", c.c_int))

    single, constant_border = 13, 6  # ipp32f, ippBorderConst
    sizes = Size(*kernel.shape[::-1]), Size(*image.shape[::-1])
    spec_bytes, room_bytes, zero = c.c_int(), c.c_int(), (c.c_float * 1)(0)
    library.ippiFilterBorderGetSize(*sizes, single, single, 1, c.byref(spec_bytes), c.byref(room_bytes))
    spec, room = (np.zeros(size.value + 64, np.uint8) for size in (spec_bytes, room_bytes))
    out = np.empty_like(image)
    at = {id(array): c.c_void_p(array.ctypes.data) for array in (image, kernel, out, spec, room)}
    library.ippiFilterBorderInit_32f(at[id(kernel)], sizes[0], single, 1, 0, at[id(spec)])

    def call() -> Array:
        status = library.ippiFilterBorder_32f_C1R(
            at[id(image)], image.strides[0], at[id(out)], out.strides[0], sizes[1], constant_border, zero,
            at[id(spec)], at[id(room)],
        )  # fmt: skip
        if status:
            raise ValueError(f"IPP's status is {status}")
        return out

    return call


@peer("ndimage", "scipy")
def ndimage(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    """`scipy.ndimage.correlate`, or twice `correlate1d` for a separable kernel."""
    from scipy import ndimage

    if not (planes := plane(case, x, w)):
        return None
    image, kernel = planes
    if case.separable:
        g = gaussian(case.weight[-1])
        return lambda: ndimage.correlate1d(
            ndimage.correlate1d(image, g, axis=0, mode="constant"), g, axis=1, mode="constant"
        )
    return lambda: inner(case, ndimage.correlate(image, kernel, mode="constant"))


@peer("pyfftw", "pyfftw")
def pyfftw(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    """Overlap-save with FFTW's transforms of real blocks, of the size that is fastest."""
    if not (planes := plane(case, x, w)):
        return None
    image, kernel = padded(case, x)[0, 0], planes[1]
    sizes = [n for n in (64, 128, 256) if n >= kernel.shape[0] * 5 // 4]
    calls = [fftw_blocks(image, kernel, n, threads) for n in sizes]
    return min(calls, key=lambda call: min(timeit.repeat(call, number=1, repeat=3)), default=None)


def fftw_blocks(image: Array, kernel: Array, n: int, threads: int) -> Call:
    import pyfftw

    span, options = kernel.shape[0], {"axes": (0, 1), "threads": threads}
    rows, columns = (size - span + 1 for size in image.shape)
    pixels, sums = (pyfftw.empty_aligned((n, n), image.dtype) for _ in range(2))
    spectrum = pyfftw.empty_aligned((n, n // 2 + 1), np.result_type(image.dtype, np.complex64))
    forth = pyfftw.FFTW(pixels, spectrum, flags=("FFTW_MEASURE",), **options)
    flags = ("FFTW_MEASURE", "FFTW_DESTROY_INPUT")
    back = pyfftw.FFTW(spectrum, sums, direction="FFTW_BACKWARD", flags=flags, **options)
    pixels[:] = 0
    pixels[:span, :span] = kernel
    forth.execute()
    weight, out, step = spectrum.conj() / n**2, np.empty((rows, columns), image.dtype), n - span + 1

    def run() -> Array:
        for y in range(0, rows, step):
            for x in range(0, columns, step):
                block = image[y : y + n, x : x + n]
                if block.shape != pixels.shape:
                    pixels[:] = 0
                pixels[: block.shape[0], : block.shape[1]] = block
                forth.execute()
                np.multiply(spectrum, weight, out=spectrum)
                back.execute()
                part = out[y : y + step, x : x + step]
                part[:] = sums[: part.shape[0], : part.shape[1]]
        return out

    return run


def scipy_fft(case: Case, x: Array, w: Array, function: str) -> Call | None:
    from scipy import signal

    if not (planes := plane(case, x, w)):
        return None
    image, kernel = planes
    convolve = getattr(signal, function)
    return lambda: inner(case, convolve(image, kernel[::-1, ::-1], mode="same"))


@peer("fftconvolve", "scipy")
def fftconvolve(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    return scipy_fft(case, x, w, "fftconvolve")


@peer("oaconvolve", "scipy")
def oaconvolve(case: Case, x: Array, w: Array, threads: int) -> Call | None:
    return scipy_fft(case, x, w, "oaconvolve")
