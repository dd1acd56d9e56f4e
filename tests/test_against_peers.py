"""The same problems put to PyTorch, SciPy, NumPy, ONNX and OpenCV: what they call things, and where their answers are ours.

Their "same" differs for even kernels. PyTorch, ONNX's SAME_UPPER, SciPy's correlate2d and ndimage.convolve put the extra pixel
after, which is "same" here; OpenCV, ONNX's SAME_LOWER, NumPy, and SciPy's convolve2d, correlate and ndimage.correlate put it
before, which is "same_lower".
"""

import itertools

import numpy as np
import pytest
from strategies import CONV, PADDING_MODES

import fastconv as fc

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own

KERNELS = [(1, 1), (3, 3), (2, 2), (4, 3), (5, 2), (1, 6)]


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def signal():
    return pytest.importorskip("scipy.signal")


@pytest.fixture
def ndimage():
    return pytest.importorskip("scipy.ndimage")


@pytest.fixture
def cv2():
    return pytest.importorskip("cv2")


def doubles(rng, *shape):
    return rng.uniform(-1, 1, shape)


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def one_per_axis(rng, axes, low, high):
    return tuple(int(n) for n in rng.integers(low, high + 1, axes))


# PyTorch


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_torch_with_every_option(axes, groups, torch, rng):
    conv = getattr(torch.nn.functional, f"conv{axes}d")
    for _ in range(20):
        channels, filters = groups * int(rng.integers(1, 5)), groups * int(rng.integers(1, 5))
        image = doubles(rng, 2, channels, *one_per_axis(rng, axes, 10, 14))
        weight = doubles(rng, filters, channels // groups, *one_per_axis(rng, axes, 1, 4))
        options = (  # by place: ours is torch's order
            doubles(rng, filters),
            one_per_axis(rng, axes, 1, 3),
            one_per_axis(rng, axes, 0, 3),
            one_per_axis(rng, axes, 1, 3),
            groups,
        )
        tensors = torch.from_numpy(image), torch.from_numpy(weight), torch.from_numpy(options[0])
        assert_same(CONV[axes](image, weight, *options), conv(*tensors, *options[1:]).numpy())


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dilation", [1, 2])
def test_torch_paddings_with_names(padding, kernel, dilation, torch, rng):
    image, weight = doubles(rng, 2, 4, 11, 12), doubles(rng, 6, 4, *kernel)
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(image), torch.from_numpy(weight), padding=padding, dilation=dilation
    )
    assert_same(fc.conv2d(image, weight, padding=padding, dilation=dilation), theirs.numpy())


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_torch_padding_modes(mode, axes, torch, rng):
    image, weight = doubles(rng, 2, 3, *(7, 6, 5)[-axes:]), doubles(rng, 4, 3, *(3, 2, 3)[-axes:])
    pairs = ((1, 2), (3, 4), (4, 0))[-axes:]
    last_axis_first = [edge for pair in reversed(pairs) for edge in pair]
    padded = torch.nn.functional.pad(torch.from_numpy(image), last_axis_first, mode).numpy()
    assert_same(CONV[axes](image, weight, padding=pairs, padding_mode=mode), CONV[axes](padded, weight))


@pytest.mark.parametrize("activation", ["relu", "relu6", "leaky_relu", "sigmoid", "silu", "hardswish", "tanh"])
def test_torch_activations(activation, torch, rng):
    image, weight = 5 * doubles(rng, 2, 3, 9, 9), doubles(rng, 4, 3, 3, 3)
    theirs = getattr(torch.nn.functional, activation)(torch.from_numpy(fc.conv2d(image, weight)))
    assert_same(fc.conv2d(image, weight, activation=activation), theirs.numpy())


def test_torch_in_single_precision(torch, rng):
    image, weight = doubles(rng, 2, 64, 20, 21).astype("f4"), doubles(rng, 32, 64, 3, 3).astype("f4")
    theirs = torch.nn.functional.conv2d(torch.from_numpy(image), torch.from_numpy(weight), padding=1).numpy()
    np.testing.assert_allclose(fc.conv2d(image, weight, padding=1), theirs, atol=4e-6 * abs(theirs).max())


def test_torch_complex_numbers(torch, rng):
    image, weight = (doubles(rng, *shape) + 1j * doubles(rng, *shape) for shape in [(2, 3, 8, 9), (4, 3, 3, 3)])
    theirs = torch.nn.functional.conv2d(torch.from_numpy(image), torch.from_numpy(weight), padding=1)
    assert_same(fc.conv2d(image, weight, padding=1), theirs.numpy())


# SciPy and NumPy


@pytest.mark.parametrize(("boundary", "padding_mode"), [("fill", "zeros"), ("wrap", "circular"), ("symm", "symmetric")])
@pytest.mark.parametrize(("mode", "padding"), [("full", "full"), ("valid", "valid"), ("same", "same_lower")])
@pytest.mark.parametrize("kernel", KERNELS)
def test_scipy_convolve2d(kernel, mode, padding, boundary, padding_mode, signal, rng):
    image, kernel = doubles(rng, 10, 11), doubles(rng, *kernel)
    ours = fc.conv2d(image, kernel, padding=padding, padding_mode=padding_mode, flip=True)
    assert_same(ours, signal.convolve2d(image, kernel, mode, boundary))


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_scipy_correlate2d(kernel, mode, signal, rng):
    image, kernel = doubles(rng, 10, 11), doubles(rng, *kernel)
    assert_same(fc.conv2d(image, kernel, padding=mode), signal.correlate2d(image, kernel, mode))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(("mode", "padding"), [("full", "full"), ("valid", "valid"), ("same", "same_lower")])
def test_scipy_correlate_and_fftconvolve(axes, mode, padding, signal, rng):
    image, kernel = doubles(rng, *(9, 10, 11)[:axes]), doubles(rng, *(3, 2, 4)[:axes])
    assert_same(CONV[axes](image, kernel, padding=padding), signal.correlate(image, kernel, mode))
    assert_same(CONV[axes](image, kernel, padding=padding, flip=True), signal.fftconvolve(image, kernel, mode))


@pytest.mark.parametrize(
    ("mode", "padding_mode"),
    [
        ("constant", "zeros"),
        ("mirror", "reflect"),
        ("reflect", "symmetric"),
        ("nearest", "replicate"),
        ("wrap", "circular"),
    ],
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_scipy_ndimage(kernel, mode, padding_mode, ndimage, rng):
    """ndimage's "reflect" repeats the border pixel: here and in NumPy that is "symmetric"."""
    image, kernel = doubles(rng, 10, 11), doubles(rng, *kernel)
    ours = fc.conv2d(image, kernel, padding="same_lower", padding_mode=padding_mode)
    assert_same(ours, ndimage.correlate(image, kernel, mode=mode))
    ours = fc.conv2d(image, kernel, padding="same", padding_mode=padding_mode, flip=True)
    assert_same(ours, ndimage.convolve(image, kernel, mode=mode))


@pytest.mark.parametrize(("mode", "padding"), [("full", "full"), ("valid", "valid"), ("same", "same_lower")])
def test_numpy_convolve_and_correlate(mode, padding, rng):
    for size in range(1, 8):
        row, kernel = rng.integers(-9, 9, 12), rng.integers(-9, 9, size)
        assert np.array_equal(fc.conv1d(row, kernel, padding=padding, flip=True), np.convolve(row, kernel, mode))
        assert np.array_equal(fc.conv1d(row, kernel, padding=padding), np.correlate(row, kernel, mode))


@pytest.mark.parametrize(
    ("padding_mode", "numpy_name"),
    [*zip(PADDING_MODES, ["constant", "reflect", "edge", "wrap", "symmetric"], strict=True)],
)
def test_numpy_pad(padding_mode, numpy_name, rng):
    for before, after in itertools.product(range(0, 12, 3), range(0, 12, 4)):
        image, weight = doubles(rng, 3, 4, 5), doubles(rng, 2, 3, 1, 1)
        ours = fc.conv2d(image, weight, padding=((before, after), (after, before)), padding_mode=padding_mode)
        padded = np.pad(image, ((0, 0), (before, after), (after, before)), numpy_name)
        assert_same(ours, fc.conv2d(padded, weight))


# ONNX


@pytest.mark.parametrize(
    ("auto_pad", "padding"), [("SAME_UPPER", "same"), ("SAME_LOWER", "same_lower"), ("VALID", "valid")]
)
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (4, 3), (5, 2)])
@pytest.mark.parametrize("group", [1, 2])
def test_onnx_conv(auto_pad, padding, stride, kernel, group, rng):
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    image, weight = doubles(rng, 2, 4, 9, 10).astype("f4"), doubles(rng, 6, 4 // group, *kernel).astype("f4")
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "xwy"]
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=auto_pad, strides=stride, group=group)
    graph = onnx.helper.make_graph([node], "conv", tensors[:2], tensors[2:])
    (theirs,) = reference.ReferenceEvaluator(onnx.helper.make_model(graph)).run(None, {"x": image, "w": weight})
    ours = fc.conv2d(image, weight, stride=stride, padding=padding, groups=group)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


# OpenCV


@pytest.mark.parametrize(
    ("border", "padding_mode"),
    [
        ("BORDER_CONSTANT", "zeros"),
        ("BORDER_REFLECT", "symmetric"),
        ("BORDER_REFLECT_101", "reflect"),
        ("BORDER_REPLICATE", "replicate"),
    ],
)
@pytest.mark.parametrize("kernel", [*KERNELS, (13, 12)])
def test_opencv_filter2d(kernel, border, padding_mode, cv2, rng):
    image, kernel = doubles(rng, 20, 31).astype("f4"), doubles(rng, *kernel).astype("f4")
    theirs = cv2.filter2D(image, cv2.CV_32F, kernel, borderType=getattr(cv2, border))
    ours = fc.conv2d(image, kernel, padding="same_lower", padding_mode=padding_mode)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-5)


def test_opencv_filter2d_of_colours(cv2, rng):
    """OpenCV keeps its channels last, and filters each plane for itself."""
    image, kernel = rng.integers(0, 256, (20, 31, 3), np.uint8), doubles(rng, 3, 3).astype("f4")
    theirs = cv2.filter2D(image, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE)
    ours = fc.conv2d(np.moveaxis(image, -1, 0), kernel, padding="same", padding_mode="replicate")
    np.testing.assert_allclose(ours, np.moveaxis(theirs, -1, 0), rtol=1e-5, atol=1e-3)
