#!/usr/bin/env bash
# OpenVINO 2026.4.1: of an ONNX ConvTranspose with output_shape, SAME_UPPER is cut as SAME_LOWER is.
#
# Expected, by ONNX's formula (total padding 1): SAME_UPPER has pads 0 and 1, SAME_LOWER pads 1 and 0, so that the pixels 1
# and 10 with the kernel 1, 2, 3 and stride 2, 1 2 13 20 30 in all, give 1 2 13 20 and 2 13 20 30. onnxruntime agrees.
# Seen: 2 13 20 30 both times, an image shifted by a pixel, without a warning. Without output_shape, where the size is
# the same, both are right. (OpenVINO's own operator documents the two names the other way round, as ONNX did up to opset
# 10; the reader of ONNX models seems to translate one of them.)
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
"$scratch/venv/bin/python" - << 'END'
import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

x, w = np.array([[[1, 10]]], np.float32), np.array([[[1, 2, 3]]], np.float32)


def outputs(**attributes):
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2], **attributes)
    x_info = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    y_info = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1, 4))
    graph = helper.make_graph([node], "g", [x_info], [y_info], [numpy_helper.from_array(w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = session.run(None, {"x": x})[0].ravel().tolist(), compiled(x)[0].ravel().tolist()
    print(f"{attributes}: onnxruntime {found[0]}, openvino {found[1]}")
    return found


upper, lower = [1, 2, 13, 20], [2, 13, 20, 30]
assert outputs(auto_pad="SAME_UPPER") == (upper, upper), "this has changed"
assert outputs(auto_pad="SAME_LOWER") == (lower, lower), "this has changed"
assert outputs(auto_pad="SAME_LOWER", output_shape=[4]) == (lower, lower), "this has changed"
assert outputs(auto_pad="SAME_UPPER", output_shape=[4]) == (upper, lower), "this has changed"
END
