"""The convolution layers of whole networks, in the order in which they run at the published size of image.

A network is a function that yields its layers; `NETWORKS` counts how often each one occurs. Squeezing layers see maps
of 1x1. Left out: fully-connected layers at the end, and transposed convolutions.
"""

from collections import Counter
from collections.abc import Iterator

from cases import Case, layer

Layers = Iterator[Case]


def lenet5() -> Layers:
    yield layer(5, 1, 6, 32, padding=0)
    yield layer(5, 6, 16, 14, padding=0)
    yield layer(5, 16, 120, 5, padding=0)


def alexnet() -> Layers:
    """With the two groups of the paper."""
    yield layer(11, 3, 96, 227, stride=4, padding=0)
    yield layer(5, 96, 256, 27, groups=2)
    yield layer(3, 256, 384, 13)
    yield layer(3, 384, 384, 13, groups=2)
    yield layer(3, 384, 256, 13, groups=2)


def vgg16() -> Layers:
    channels, size = 3, 224
    for filters, depth in (64, 2), (128, 2), (256, 3), (512, 3), (512, 3):
        for _ in range(depth):
            yield layer(3, channels, filters, size)
            channels = filters
        size //= 2


def resnet18() -> Layers:
    yield layer(7, 3, 64, 224, stride=2)
    channels, size = 64, 56
    for filters, stride in (64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1):
        yield layer(3, channels, filters, size, stride=stride)
        if channels != filters:
            yield layer(1, channels, filters, size, stride=stride)
        channels, size = filters, size // stride
        yield layer(3, filters, filters, size)


def resnet50(groups: int = 1, width: int = 64) -> Layers:
    """Version 1.5, which strides in the 3x3 layers; with 32 groups and a width of 128 ResNeXt-50 32x4d."""
    yield layer(7, 3, 64, 224, stride=2)
    channels, size = 64, 56
    for stage, depth in enumerate((3, 4, 6, 3)):
        inner, filters = width << stage, 256 << stage
        for block in range(depth):
            stride = 2 if stage and not block else 1
            yield layer(1, channels, inner, size)
            yield layer(3, inner, inner, size, stride=stride, groups=groups)
            yield layer(1, inner, filters, size // stride)
            if not block:
                yield layer(1, channels, filters, size, stride=stride)
            channels, size = filters, size // stride


def inverted(k: int, channels: int, hidden: int, filters: int, size: int, stride: int, squeezed: int = 0) -> Layers:
    """MobileNet's block: widen, filter by channel, weigh the channels (where `squeezed`), narrow."""
    if hidden != channels:
        yield layer(1, channels, hidden, size)
    yield layer(k, hidden, hidden, size, stride=stride, groups=hidden)
    if squeezed:
        yield layer(1, hidden, squeezed, 1)
        yield layer(1, squeezed, hidden, 1)
    yield layer(1, hidden, filters, size // stride)


def mobilenet_v2() -> Layers:
    yield layer(3, 3, 32, 224, stride=2)
    channels, size = 32, 112
    stages = (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    for widen, filters, depth, stride in stages:
        for block in range(depth):
            step = 1 if block else stride
            yield from inverted(3, channels, widen * channels, filters, size, step)
            channels, size = filters, size // step
    yield layer(1, 320, 1280, 7)


def mobilenet_v3_large() -> Layers:
    yield layer(3, 3, 16, 224, stride=2)
    channels, size = 16, 112
    for k, hidden, filters, squeezed, stride in (
        (3, 16, 16, 0, 1),
        (3, 64, 24, 0, 2),
        (3, 72, 24, 0, 1),
        (5, 72, 40, 24, 2),
        (5, 120, 40, 32, 1),
        (5, 120, 40, 32, 1),
        (3, 240, 80, 0, 2),
        (3, 200, 80, 0, 1),
        (3, 184, 80, 0, 1),
        (3, 184, 80, 0, 1),
        (3, 480, 112, 120, 1),
        (3, 672, 112, 168, 1),
        (5, 672, 160, 168, 2),
        (5, 960, 160, 240, 1),
        (5, 960, 160, 240, 1),
    ):
        yield from inverted(k, channels, hidden, filters, size, stride, squeezed)
        channels, size = filters, size // stride
    yield layer(1, 160, 960, 7)


def efficientnet_b0() -> Layers:
    yield layer(3, 3, 32, 224, stride=2)
    channels, size = 32, 112
    for k, widen, filters, depth, stride in (
        (3, 1, 16, 1, 1),
        (3, 6, 24, 2, 2),
        (5, 6, 40, 2, 2),
        (3, 6, 80, 3, 2),
        (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2),
        (3, 6, 320, 1, 1),
    ):
        for block in range(depth):
            step = 1 if block else stride
            yield from inverted(k, channels, widen * channels, filters, size, step, squeezed=channels // 4)
            channels, size = filters, size // step
    yield layer(1, 320, 1280, 7)


def convnext_tiny() -> Layers:
    yield layer(4, 3, 96, 224, stride=4, padding=0)
    size = 56
    for channels, depth in (96, 3), (192, 3), (384, 9), (768, 3):
        for _ in range(depth):
            yield layer(7, channels, channels, size, groups=channels)
            yield layer(1, channels, 4 * channels, size)
            yield layer(1, 4 * channels, channels, size)
        if channels < 768:
            yield layer(2, channels, 2 * channels, size, stride=2, padding=0)
            size //= 2


def branch(size: int, channels: int, *steps: tuple[int | tuple[int, int], int]) -> Layers:
    """Layers one after another, each given by its kernel and its number of filters."""
    for k, filters in steps:
        yield layer(k, channels, filters, size)
        channels = filters


def inception_v3() -> Layers:
    yield layer(3, 3, 32, 299, stride=2, padding=0)
    yield layer(3, 32, 32, 149, padding=0)
    yield layer(3, 32, 64, 147)
    yield layer(1, 64, 80, 73)
    yield layer(3, 80, 192, 73, padding=0)
    for channels, pooled in (192, 32), (256, 64), (288, 64):
        yield from branch(35, channels, (1, 64))
        yield from branch(35, channels, (1, 48), (5, 64))
        yield from branch(35, channels, (1, 64), (3, 96), (3, 96))
        yield from branch(35, channels, (1, pooled))
    yield layer(3, 288, 384, 35, stride=2, padding=0)
    yield from branch(35, 288, (1, 64), (3, 96))
    yield layer(3, 96, 96, 35, stride=2, padding=0)
    row, column = (1, 7), (7, 1)
    for n in 128, 160, 160, 192:
        yield from branch(17, 768, (1, 192))
        yield from branch(17, 768, (1, n), (row, n), (column, 192))
        yield from branch(17, 768, (1, n), (column, n), (row, n), (column, n), (row, 192))
        yield from branch(17, 768, (1, 192))
    yield from branch(17, 768, (1, 192))
    yield layer(3, 192, 320, 17, stride=2, padding=0)
    yield from branch(17, 768, (1, 192), (row, 192), (column, 192))
    yield layer(3, 192, 192, 17, stride=2, padding=0)
    for channels in 1280, 2048:
        yield from branch(8, channels, (1, 320))
        yield from branch(8, channels, (1, 384), ((1, 3), 384))
        yield from branch(8, channels, (1, 448), (3, 384), ((1, 3), 384))
        yield from 2 * [layer((3, 1), 384, 384, 8)]
        yield from branch(8, channels, (1, 192))


def densenet121() -> Layers:
    yield layer(7, 3, 64, 224, stride=2)
    channels, size = 64, 56
    for depth in 6, 12, 24, 16:
        for _ in range(depth):
            yield from branch(size, channels, (1, 128), (3, 32))
            channels += 32
        if size > 7:
            yield layer(1, channels, channels // 2, size)
            channels, size = channels // 2, size // 2


def squeezenet() -> Layers:
    """Version 1.1."""
    yield layer(3, 3, 64, 224, stride=2, padding=0)
    channels = 64
    for size, squeezed, filters in (
        *2 * [(55, 16, 64)],
        *2 * [(27, 32, 128)],
        *2 * [(13, 48, 192)],
        *2 * [(13, 64, 256)],
    ):
        yield layer(1, channels, squeezed, size)
        yield layer(1, squeezed, filters, size)
        yield layer(3, squeezed, filters, size)
        channels = 2 * filters
    yield layer(1, 512, 1000, 13)


def unet() -> Layers:
    """As published: no padding, so that maps lose two pixels at every layer."""
    for channels, filters, size in (
        *((1, 64, 572), (64, 128, 284), (128, 256, 140), (256, 512, 68), (512, 1024, 32)),
        *((1024, 512, 56), (512, 256, 104), (256, 128, 200), (128, 64, 392)),
    ):
        yield layer(3, channels, filters, size, padding=0)
        yield layer(3, filters, filters, size - 2, padding=0)
    yield layer(1, 64, 2, 388)


def c3(channels: int, filters: int, depth: int, size: int) -> Layers:
    """YOLO's block: bottlenecks on one half of the filters, which meets the other half in the last layer."""
    half = filters // 2
    yield from 2 * [layer(1, channels, half, size)]
    for _ in range(depth):
        yield from branch(size, half, (1, half), (3, half))
    yield layer(1, filters, filters, size)


def yolov5s() -> Layers:
    yield layer(6, 3, 32, 640, stride=2, padding=2)
    channels, size = 32, 320
    for depth in 1, 2, 3, 1:
        yield layer(3, channels, 2 * channels, size, stride=2)
        channels, size = 2 * channels, size // 2
        yield from c3(channels, channels, depth, size)
    yield layer(1, 512, 256, 20)
    yield layer(1, 1024, 512, 20)
    # up to the finest maps
    yield layer(1, 512, 256, 20)
    yield from c3(512, 256, 1, 40)
    yield layer(1, 256, 128, 40)
    yield from c3(256, 128, 1, 80)
    # and down again
    for channels, size in (128, 80), (256, 40):
        yield layer(3, channels, channels, size, stride=2)
        yield from c3(2 * channels, 2 * channels, 1, size // 2)
    for channels, size in (128, 80), (256, 40), (512, 20):
        yield layer(1, channels, 255, size)


def deeplab_head() -> Layers:
    """DeepLabv3's pyramid of dilated layers, on the maps of a ResNet at a sixteenth of 513x513."""
    yield layer(1, 2048, 256, 33)
    for dilation in 6, 12, 18:
        yield layer(3, 2048, 256, 33, dilation=dilation)
    yield layer(1, 2048, 256, 1)
    yield layer(1, 1280, 256, 33)


def wav2vec2() -> Layers:
    """The features of a second of sound at 16 kHz, and the positions of its transformer (base)."""
    channels, length = 1, 16000
    for k, stride in (10, 5), *4 * [(3, 2)], *2 * [(2, 2)]:
        yield layer((1, k), channels, 512, (1, length), stride=stride, padding=0)
        channels, length = 512, (length - k) // stride + 1
    yield layer((1, 128), 768, 768, (1, length), groups=16)


def conv_tasnet() -> Layers:
    """Four seconds of sound at 8 kHz."""
    length = 3999
    yield layer((1, 16), 1, 512, (1, 32000), stride=8, padding=0)
    yield layer(1, 512, 128, (1, length))
    for _ in range(3):
        for power in range(8):
            yield layer(1, 128, 512, (1, length))
            yield layer((1, 3), 512, 512, (1, length), dilation=2**power, groups=512)
            yield from 2 * [layer(1, 512, 128, (1, length))]
    yield layer(1, 128, 1024, (1, length))


NETWORKS = {
    name: Counter(layers)
    for name, layers in {
        "LeNet-5": lenet5(),
        "AlexNet": alexnet(),
        "VGG-16": vgg16(),
        "ResNet-18": resnet18(),
        "ResNet-50": resnet50(),
        "ResNeXt-50": resnet50(groups=32, width=128),
        "MobileNetV2": mobilenet_v2(),
        "MobileNetV3": mobilenet_v3_large(),
        "EfficientNet-B0": efficientnet_b0(),
        "ConvNeXt-T": convnext_tiny(),
        "Inception-v3": inception_v3(),
        "DenseNet-121": densenet121(),
        "SqueezeNet": squeezenet(),
        "U-Net": unet(),
        "YOLOv5s": yolov5s(),
        "DeepLabv3": deeplab_head(),
        "wav2vec2": wav2vec2(),
        "Conv-TasNet": conv_tasnet(),
    }.items()
}
