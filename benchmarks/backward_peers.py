"""The competitors of `--suite backward`, under the same names as those of `peers.py` and made alike.

Gradients and training steps meet torch alone; runtimes of inference meet transposed convolutions, their weights packed.
"""

from functools import partial
from typing import Any

import numpy as np
from backward_cases import BackwardCase, Net
from cases import Array
from peers import Call, Peer, onnx_model, run_ncnn, run_onnxruntime, run_openvino


def torch_call(layout: str, case: Any, x: Array, w: Any, threads: int) -> Call | None:
    import torch

    torch.set_num_threads(threads)
    if isinstance(case, Net):
        return torch_step(case, x, w, getattr(torch, layout))
    if case.axes == 1 and layout == "channels_last":
        return None
    memory_format = getattr(torch, layout + "_3d" * (case.axes == 3 and layout == "channels_last"))
    first, second = (torch.from_numpy(array).contiguous(memory_format=memory_format) for array in (x, w))
    if case.computes == "transposed":
        return partial(getattr(torch.nn.functional, f"conv_transpose{case.axes}d"), first, second, **case.options)
    unused = torch.empty(case.input if case.computes == "input" else case.weight).contiguous(
        memory_format=memory_format
    )
    grad_output, image, weight = (first, unused, second) if case.computes == "input" else (second, first, unused)
    stride, padding, dilation, nothing = ([n] * case.axes for n in (case.stride, case.padding, case.dilation, 0))
    geometry = (None, stride, padding, dilation, False, nothing, case.groups)
    wanted = [case.computes == "input", case.computes == "weight", False]

    def call() -> Any:
        gradients = torch.ops.aten.convolution_backward(grad_output, image, weight, *geometry, wanted)
        return gradients[wanted.index(True)]

    return call


def torch_step(case: Net, x: Array, w: list[Array], memory_format: Any) -> Call:
    """The gradient of the images is computed as well, as fastconv does."""
    import torch

    gradient, *weights = (torch.from_numpy(array).contiguous(memory_format=memory_format) for array in w)
    images = torch.from_numpy(x).contiguous(memory_format=memory_format).requires_grad_()
    parameters = [weight.requires_grad_() for weight in weights]

    def call() -> Any:
        maps = images
        for weight, (_, options) in zip(parameters, case.layers, strict=True):
            maps = torch.conv2d(maps, weight, None, options.get("stride", 1), options.get("padding", 0))
            maps = torch.relu(maps) if "activation" in options else maps
        _, *found = torch.autograd.grad(maps, [images, *parameters], gradient)
        return torch.cat([one.reshape(-1) for one in found])

    return call


def onnx_conv_transpose(case: BackwardCase, x: Array, w: Array) -> bytes:
    strides, pads, dilations, extra = (
        [n] * case.axes for n in (case.stride, case.padding, case.dilation, case.output_padding)
    )
    attributes = {"strides": strides, "pads": pads * 2, "dilations": dilations, "output_padding": extra}
    return onnx_model("ConvTranspose", attributes | {"group": case.groups}, case, x, w)


def onnxruntime(case: Any, x: Array, w: Array, threads: int) -> Call | None:
    if case.kind != "transposed":
        return None
    return run_onnxruntime(onnx_conv_transpose(case, x, w), x, case.output, threads)


def openvino(case: Any, x: Array, w: Array, threads: int) -> Call | None:
    return run_openvino(onnx_conv_transpose(case, x, w), x, threads) if case.kind == "transposed" else None


def ncnn(case: Any, x: Array, w: Array, threads: int) -> Call | None:
    """Signals are images of one row; weights are (groups, K/groups, C/groups, kh, kw)."""
    if case.kind != "transposed" or case.axes == 3:
        return None
    rows = case.axes == 2
    settings = {0: w.shape[1] * case.groups, 1: w.shape[-1], 11: w.shape[2] if rows else 1, 6: w.size}
    for key, value in ((2, case.dilation), (3, case.stride), (4, case.padding), (18, case.output_padding)):
        settings[key] = value
        settings[key + (1 if key == 18 else 10)] = value if rows else int(key in (2, 3))
    if case.groups > 1:
        settings[7] = case.groups
    layer = "Deconvolution" if case.groups == 1 else "DeconvolutionDepthWise"
    banks = w.reshape(case.groups, -1, *w.shape[1:]).swapaxes(1, 2)
    return run_ncnn(layer, settings, x if rows else x[:, :, np.newaxis], np.ascontiguousarray(banks), threads)


BACKWARD_PEERS = {
    peer.name: peer
    for peer in [
        Peer("torch", ("torch",), partial(torch_call, "contiguous_format")),
        Peer("torch nhwc", ("torch",), partial(torch_call, "channels_last")),
        Peer("onnxruntime", ("onnx", "onnxruntime"), onnxruntime),
        Peer("openvino", ("onnx", "openvino"), openvino),
        Peer("ncnn", ("ncnn",), ncnn),
    ]
}
