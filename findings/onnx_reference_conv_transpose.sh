#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator, which runtimes are tested against, gets ConvTranspose with groups and a bias wrong.
#
# Expected: group g of the maps has its own entries of the bias; two pixels of 1 in two channels, each its own group, with
# kernels of one tap, 1, and the bias 10, 20 give 11 and 21. onnxruntime agrees.
# Seen: 11 and 11, without an error: every group takes the first entries. Groups of several maps fail
# ("could not broadcast"), and so do those of as many channels as give other numbers of maps ("cannot reshape").
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


def outputs(channels, maps):
    arrays = {
        "x": np.ones((1, channels, 1, 1), np.float32),
        "w": np.ones((channels, maps // 2, 1, 1), np.float32),
        "b": 10 * np.arange(1, maps + 1, dtype=np.float32),
    }
    node = helper.make_node("ConvTranspose", [*arrays], ["y"], group=2)
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, a.shape) for name, a in arrays.items()]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, maps, 1, 1))
    graph = helper.make_graph([node], "g", tensors, [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, arrays)[0].ravel().tolist()
    try:
        seen = ReferenceEvaluator(model).run(None, arrays)[0].ravel().tolist()
    except ValueError as error:
        seen = str(error)
    print(f"{channels} channels, {maps} maps, 2 groups: onnxruntime {expected}, the reference {seen}")
    return expected, seen


assert outputs(2, 2) == ([11, 21], [11, 11]), "this has changed"
expected, seen = outputs(4, 4)
assert expected == [12, 22, 32, 42], "this has changed"
assert seen.startswith("could not broadcast"), "this has changed"
expected, seen = outputs(4, 2)
assert expected == [12, 22], "this has changed"
assert seen.startswith("cannot reshape"), "this has changed"
END
