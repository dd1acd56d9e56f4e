#!/usr/bin/env bash
# onnx 1.23.2, onnxruntime 1.32.0: they round halves in QLinearConv to different integers if the zero point of y is odd.
#
# Expected: one result. The operator's text says that it is quantized as by QuantizeLinear, which rounds x / scale to the
# nearest integer, to even where there are two, and then adds the zero point: 0.5 with the zero point 3 is 0 + 3.
# Seen: onnxruntime gives 3; the reference evaluator adds the zero point first and rounds 3.5 to 4. Even zero points agree.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
"$scratch/venv/bin/python" - << 'END'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def outputs(zero):
    arrays = {
        "x": np.arange(6, dtype=np.uint8).reshape(1, 1, 1, 6),
        "x_scale": np.array(0.5, np.float32),
        "x_zero": np.array(0, np.uint8),
        "w": np.ones((1, 1, 1, 1), np.uint8),
        "w_scale": np.array(1, np.float32),
        "w_zero": np.array(0, np.uint8),
        "y_scale": np.array(1, np.float32),
        "y_zero": np.array(zero, np.uint8),
    }
    node = helper.make_node("QLinearConv", [*arrays], ["y"])
    tensors = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in arrays.items()]
    y = helper.make_tensor_value_info("y", TensorProto.UINT8, (1, 1, 1, 6))
    graph = helper.make_graph([node], "g", tensors, [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    theirs = session.run(None, arrays)[0].ravel().tolist()
    reference = ReferenceEvaluator(model).run(None, arrays)[0].ravel().tolist()
    print(f"halves from 0 to 2.5, zero point {zero}: onnxruntime {theirs}, the reference {reference}")
    return theirs, reference


assert outputs(4) == ([4, 4, 5, 6, 6, 6],) * 2, "this has changed"
assert outputs(3) == ([3, 3, 4, 5, 5, 5], [3, 4, 4, 4, 5, 6]), "this has changed"
END
