#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93): cv2.dnn takes an ONNX ConvTranspose with auto_pad and computes something else.
#
# Expected, by ONNX: SAME_UPPER and SAME_LOWER make the output stride times as large as the input. 4 pixels, 3 taps and
# stride 2 give 8 outputs; 4 pixels, 2 taps and stride 1 give 4, of which SAME_LOWER has left out the first of 5.
# Seen: 7 outputs instead of 8, both ends cut off; and with stride 1 SAME_LOWER has the values of SAME_UPPER. No error, no
# warning; auto_pad=VALID and explicit pads are right.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 opencv-python-headless==5.0.0.93
"$scratch/venv/bin/python" - << 'END'
import cv2
import numpy as np
from onnx import TensorProto, helper, numpy_helper

x = np.array([[[[1, 10, 100, 1000]]]], np.float32)


def outputs(expected, taps, stride, **attributes):
    w = np.arange(1, taps + 1, dtype=np.float32).reshape(1, 1, 1, taps)
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], kernel_shape=[1, taps], strides=[1, stride], **attributes
    )
    x_info = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    y_info = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1, 1, len(expected)))
    graph = helper.make_graph([node], "g", [x_info], [y_info], [numpy_helper.from_array(w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    net.setInput(x)
    found = net.forward().ravel().tolist()
    print(f"{taps} taps, stride {stride}, {attributes}:\n  expected {expected}\n  seen     {found}")
    return found == expected


whole = [1, 12, 120, 1200, 2000]  # 2 taps, stride 1
assert outputs(whole, 2, 1, auto_pad="VALID"), "this has changed"
assert outputs(whole[1:], 2, 1, pads=[0, 1, 0, 0]), "this has changed"
assert outputs(whole[:4], 2, 1, auto_pad="SAME_UPPER"), "this has changed"
assert not outputs(whole[1:], 2, 1, auto_pad="SAME_LOWER"), "this has changed"
whole = [1, 2, 13, 20, 130, 200, 1300, 2000, 3000]  # 3 taps, stride 2
assert outputs(whole[:8], 3, 2, pads=[0, 0, 0, 1]), "this has changed"
assert not outputs(whole[:8], 3, 2, auto_pad="SAME_UPPER"), "this has changed"
assert not outputs(whole[1:], 3, 2, auto_pad="SAME_LOWER"), "this has changed"
END
