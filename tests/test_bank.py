"""FilterBank and Sequential: filters kept ready to be called, described, compared, copied and chained."""

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest
from strategies import CONV, values

import fastconv as fc
from fastconv._bank import PLAN_CACHE_BYTES, WEIGHT_CACHE_BYTES

OPTIONS = {"stride": (2, 1), "padding": "same", "dilation": 2, "groups": 2, "padding_mode": "reflect", "flip": True}


@pytest.fixture
def weight(rng):
    return values(rng, (6, 2, 3, 3), "f4")


@pytest.fixture
def bias(rng):
    return values(rng, 6, "f4")


@pytest.fixture
def bank(weight, bias):
    return fc.FilterBank(weight, bias, activation="relu", **OPTIONS)


# Calling


@pytest.mark.parametrize("lead", [(), (5,), (2, 3), (0,)])
def test_a_bank_does_what_conv2d_does(lead, bank, weight, bias, rng):
    images = values(rng, (*lead, 4, 11, 12), "f4")
    expected = fc.conv2d(images, weight, bias, activation="relu", **OPTIONS)
    assert np.array_equal(bank(images), expected)
    assert np.array_equal(bank(images), expected)  # and again, with all that it keeps


def test_a_bank_of_one_channel_takes_an_image(rng):
    image, weight = values(rng, (11, 12), "f4"), values(rng, (6, 1, 3, 3), "f4")
    assert np.array_equal(fc.FilterBank(weight)(image), fc.conv2d(image, weight))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_rank_of_the_weight_tells_the_axes(axes, rng):
    image, weight = values(rng, (2, 4, *(7,) * axes), "f4"), values(rng, (6, 4, *(3,) * axes), "f4")
    bank = fc.FilterBank(weight, padding=1)
    assert np.array_equal(bank(image), CONV[axes](image, weight, padding=1))
    assert bank.receptive_field == (3,) * axes


@pytest.mark.parametrize("shape", [(3,), (3, 3), (1, 2, 3, 3, 3, 3), ()])
def test_a_weight_of_another_rank_is_no_bank(shape):
    with pytest.raises(ValueError, match=r"^weight.*" + str(shape).replace("(", r"\(").replace(")", r"\)")):
        fc.FilterBank(np.ones(shape))


def test_every_dtype_of_image_is_welcome(rng):
    weight = values(rng, (6, 2, 3, 3), "f4")
    bank = fc.FilterBank(weight)
    for dtype in ("u1", "f2", "f4", "f8", "c8", ">f4"):
        image = values(rng, (2, 9, 9), dtype)
        result = bank(image)
        assert np.array_equal(result, fc.conv2d(image, weight))
        assert result.dtype == fc.conv2d(image, weight).dtype


def test_a_bank_of_integers_may_have_a_curved_activation_for_images_of_floats(rng):
    image, weight = values(rng, (9, 9), "f4"), np.array([[[[1, 0, -1], [2, 0, -2], [1, 0, -1]]]])
    bank = fc.FilterBank(weight, activation="tanh")
    assert np.array_equal(bank(image), fc.conv2d(image, weight, activation="tanh"))
    assert bank.output_shape((9, 9)) == (1, 7, 7)
    with pytest.raises((TypeError, ValueError), match=r"^activation"):
        bank(np.ones((9, 9), int))


def test_a_bank_of_another_dtype_is_refused():
    with pytest.raises(TypeError, match=r"^weight.*object"):
        fc.FilterBank(np.ones((1, 1, 3, 3), object))
    with pytest.raises(TypeError, match=r"^bias.*<U1"):
        fc.FilterBank(np.ones((1, 1, 3, 3)), np.array(["1"]))


def test_a_bank_of_integers_is_exact(rng):
    image, weight = values(rng, (2, 9, 9), "u1"), values(rng, (6, 2, 3, 3), "i1")
    result = fc.FilterBank(weight)(image)
    assert result.dtype == np.int32
    assert np.array_equal(result, fc.conv2d(image, weight))


def test_one_bank_serves_images_of_every_size(bank, weight, bias, rng):
    for size in [(9, 9), (30, 7), (9, 9), (1, 50)]:
        image = values(rng, (4, *size), "f4")
        assert np.array_equal(bank(image), fc.conv2d(image, weight, bias, activation="relu", **OPTIONS))


def test_bad_options_are_refused_when_a_bank_is_built():
    weight = np.ones((6, 2, 3, 3))
    for name, value in {
        "stride": 0,
        "padding": -1,
        "groups": 4,
        "activation": "no",
        "padding_mode": "no",
        "bias": [1.0],
    }.items():
        with pytest.raises(ValueError, match=f"^{name}"):
            fc.FilterBank(weight, **{name: value})


def test_a_bank_takes_whatever_options_suit_some_image(rng):
    """Winograd's way is not open to the smallest image, which sees little but padding, or is so only there."""
    for weight, options, shape in [
        ((16, 16, 3, 3), {"padding": 20}, (16, 64, 64)),
        ((16, 16, 3, 3), {"padding": 4}, (16, 64, 64)),
        ((4, 4, 1, 7), {"stride": 2, "padding": 1}, (4, 64, 64)),
        ((1, 1, 9), {"stride": 3, "dilation": 3, "padding": "same"}, (1, 3)),
        ((1, 1, 3), {"stride": 3}, (1, 4)),
    ]:
        image, weight = values(rng, shape, "f4"), values(rng, weight, "f4")
        bank = fc.FilterBank(weight, algorithm="winograd", **options)
        expected = CONV[weight.ndim - 2](image, weight, algorithm="winograd", **options)
        assert np.allclose(bank(image), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("weight", "options", "name"),
    [
        ((2, 2, 1, 1), {"algorithm": "winograd"}, "algorithm"),
        ((2, 2, 3, 3, 3), {"algorithm": "winograd", "padding": 5}, "algorithm"),
        ((2, 2, 3, 3), {"dilation": 2**62}, "(input|weight|dilation)"),
    ],
)
def test_options_that_suit_no_image_are_refused_when_a_bank_is_built(weight, options, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        fc.FilterBank(np.ones(weight, np.float32), **options)


def test_a_bank_of_bfloat16_may_have_a_bias_of_integers(rng):
    weight, bias = values(rng, (4, 2, 3, 3), ml_dtypes.bfloat16), np.arange(4, dtype=np.int32)
    bank = fc.FilterBank(weight, bias)
    for dtype in (np.float64, np.float32, ml_dtypes.bfloat16, np.uint8):
        image = values(rng, (2, 9, 9), dtype)
        result = bank(image)
        assert result.dtype == fc.conv2d(image, weight, bias).dtype
        assert np.array_equal(result, fc.conv2d(image, weight, bias))


def test_arguments_of_a_bank_are_checked_in_order():
    wrong = {
        "weight": np.ones((1, 1, 3, 3), object),
        "bias": np.array(["1"]),
        "stride": 0,
        "padding": -1,
        "dilation": 0,
        "groups": 0,
        "padding_mode": "no",
        "flip": 1,
        "activation": "no",
        "algorithm": "no",
        "precision": "no",
    }
    for first, name in enumerate(wrong):
        with pytest.raises((ValueError, TypeError), match=f"^{name}"):
            fc.FilterBank(**({"weight": np.ones((1, 1, 3, 3))} | dict([*wrong.items()][first:])))


def test_a_bad_image_is_refused_as_conv2d_does(bank):
    with pytest.raises(ValueError, match=r"^input has 5 channels"):
        bank(np.ones((5, 9, 9)))


# from_kernels


def test_from_kernels_repeats_each_kernel_over_the_channels(rng):
    kernels = [values(rng, (3, 3), "f4") for _ in range(4)]
    bank = fc.FilterBank.from_kernels(kernels, channels=3, padding=1, activation="relu")
    assert bank.weight.shape == (4, 3, 3, 3)
    for filter, kernel in zip(bank.weight, kernels, strict=True):
        for plane in filter:
            assert np.array_equal(plane, kernel)
    image = values(rng, (3, 9, 9), "f4")
    assert np.array_equal(bank(image), fc.conv2d(image, bank.weight, padding=1, activation="relu"))


def test_from_kernels_of_one_channel_by_default_or_by_asking(rng):
    kernels = [values(rng, (3, 3), "f4") for _ in range(4)]
    bank = fc.FilterBank.from_kernels(kernels, channels=1, bias=[1.0, 2.0, 3.0, 4.0])
    assert bank.weight.shape == (4, 1, 3, 3)
    assert bank.bias.tolist() == [1, 2, 3, 4]
    assert bank(values(rng, (9, 9), "f4")).shape == (4, 7, 7)


@pytest.mark.parametrize("bias", [None, [0.5, -1.0]])
def test_from_kernels_per_channel_convolves_each_channel_by_each_kernel(rng, bias):
    kernels, image = values(rng, (2, 3, 3), "f4"), values(rng, (2, 4, 7, 8), "f4")
    bank = fc.FilterBank.from_kernels(kernels, channels=4, bias=bias, per_channel=True, padding="same")
    assert (bank.weight.shape, bank.groups, bank.out_channels) == ((8, 1, 3, 3), 4, 8)
    maps = bank(image)
    for channel in range(4):
        for k, kernel in enumerate(kernels):
            offset = 0 if bias is None else bias[k]
            expected = fc.conv2d(image[:, channel], kernel, offset, padding="same")
            np.testing.assert_allclose(maps[:, 2 * channel + k], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"per_channel": 1}, TypeError, r"^per_channel must be True or False; got 1"),
        (
            {"per_channel": True, "groups": 2},
            TypeError,
            r"^groups must be left out with per_channel=True: it is 2; got 2",
        ),
        ({"per_channel": True, "bias": [1.0, 2.0]}, ValueError, r"^bias must have shape \(1,\), one per kernel; got"),
    ],
)
def test_from_kernels_per_channel_refuses_what_does_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        fc.FilterBank.from_kernels([np.ones((3, 3))], channels=2, **options)


def test_from_kernels_centres_smaller_kernels():
    bank = fc.FilterBank.from_kernels([np.ones((3, 5)), np.full((1, 3), 2.0)])
    assert bank.weight[1, 0].tolist() == [[0, 0, 0, 0, 0], [0, 2, 2, 2, 0], [0, 0, 0, 0, 0]]


def test_from_kernels_without_a_common_centre_is_refused():
    with pytest.raises(ValueError, match=r"^kernels.*\(3, 3\).*\(4, 4\)"):
        fc.FilterBank.from_kernels([np.ones((3, 3)), np.ones((4, 4))])
    with pytest.raises(ValueError, match=r"^kernels.*\(3, 3\).*\(3,\)"):
        fc.FilterBank.from_kernels([np.ones((3, 3)), np.ones(3)])


def test_kernels_of_mixed_dtypes_promote():
    kernels = [np.ones((3, 3), dtype) for dtype in (ml_dtypes.bfloat16, np.float16, np.int8)]
    assert fc.FilterBank.from_kernels(kernels).weight.dtype == np.float32
    assert fc.FilterBank.from_kernels(kernels[::2]).weight.dtype == ml_dtypes.bfloat16
    assert fc.FilterBank.from_kernels(kernels[2:]).weight.dtype == np.int8


def test_kernels_may_come_from_any_iterable(rng):
    kernels = values(rng, (4, 3, 3), "f4")
    for same in (kernels, [*kernels], tuple(kernels), iter(kernels), (kernel.tolist() for kernel in kernels)):
        assert np.array_equal(fc.FilterBank.from_kernels(same).weight[:, 0], kernels)


@pytest.mark.parametrize("kernels", [5, None, np.ones(()), [5], ["abc"], "abc", [None], [np.ones((3, 3), object)]])
def test_what_is_no_kernel_is_refused(kernels):
    with pytest.raises((TypeError, ValueError), match=r"^kernels must"):
        fc.FilterBank.from_kernels(kernels)


def test_kernels_of_another_rank_are_refused():
    with pytest.raises(ValueError, match=r"^kernels must be .*\(1, 3, 3, 3\)"):
        fc.FilterBank.from_kernels([np.ones((1, 3, 3, 3))])


@pytest.mark.parametrize("channels", [2**44, 2**62, 2**70])
def test_more_channels_than_memory_holds_are_refused(channels):
    with pytest.raises(MemoryError, match=rf"^channels.*{channels}"):
        fc.FilterBank.from_kernels([np.ones((3, 3))], channels=channels)


@pytest.mark.parametrize("channels", [1.0, "3", None, True])
def test_channels_are_an_int(channels):
    with pytest.raises(TypeError, match=r"^channels"):
        fc.FilterBank.from_kernels([np.ones((3, 3))], channels=channels)


def test_from_no_kernels_is_refused():
    with pytest.raises(ValueError, match=r"^kernels"):
        fc.FilterBank.from_kernels([])


@pytest.mark.parametrize("channels", [0, -1])
def test_from_kernels_needs_a_channel(channels):
    with pytest.raises(ValueError, match=rf"^channels.*{channels}"):
        fc.FilterBank.from_kernels([np.ones((3, 3))], channels=channels)


# What a bank says of itself


def test_a_bank_counts_its_channels_and_parameters(bank):
    assert (bank.in_channels, bank.out_channels) == (4, 6)
    assert bank.num_parameters == 6 * 2 * 3 * 3 + 6
    assert fc.FilterBank(np.ones((8, 3, 5, 5))).num_parameters == 8 * 3 * 25


def test_the_receptive_field_counts_the_dilation():
    assert fc.FilterBank(np.ones((1, 1, 3, 5))).receptive_field == (3, 5)
    assert fc.FilterBank(np.ones((1, 1, 3, 5)), dilation=(2, 3), stride=7, padding=9).receptive_field == (5, 13)


@pytest.mark.parametrize("shape", [(4, 11, 12), (2, 4, 11, 12), (2, 3, 4, 5, 6)])
def test_output_shape_is_the_shape_of_the_output(shape, bank):
    assert bank.output_shape(shape) == bank(np.zeros(shape, np.float32)).shape


def test_output_shape_of_an_image():
    assert fc.FilterBank(np.ones((6, 1, 3, 3))).output_shape((8, 9)) == (6, 6, 7)


def test_output_shape_needs_no_memory():
    assert fc.FilterBank(np.ones((6, 1, 3, 3)), padding=1).output_shape((10**6, 1, 10**5, 10**5)) == (
        10**6,
        6,
        10**5,
        10**5,
    )


@pytest.mark.parametrize(
    "shape", [5, None, "abc", (4, "a", 9), (4, 9.0, 9), (4, True, 9), (-4, 4, 9, 9), (4, -9, 9), [4, {9}, 9]]
)
def test_what_is_no_shape_is_refused(shape, bank):
    for chain in (bank, fc.Sequential(bank)):
        with pytest.raises((ValueError, TypeError), match=r"^shape must be"):
            chain.output_shape(shape)


def test_shapes_may_be_lists_and_arrays(bank):
    expected = bank.output_shape((4, 11, 12))
    assert bank.output_shape([4, 11, 12]) == bank.output_shape(np.array([4, 11, 12])) == expected
    assert fc.Sequential(bank).output_shape([np.int64(4), 11, 12]) == expected


def test_output_shape_refuses_what_the_call_would_refuse(bank):
    with pytest.raises(ValueError, match=r"^input has 5 channels"):
        bank.output_shape((5, 9, 9))


def test_repr_shows_the_shape_and_the_options(bank):
    text = repr(bank)
    assert text.startswith("FilterBank(")
    for part in ("6", "3", "stride", "same", "dilation", "groups=2", "reflect", "flip=True", "relu"):
        assert part in text
    plain = repr(fc.FilterBank(np.ones((6, 2, 3, 3))))
    assert "stride" not in plain  # what is as usual goes unsaid
    assert "activation" not in plain


# Weight and bias are the bank's own


def test_a_bank_is_unmoved_by_later_changes_to_the_callers_arrays(weight, bias, rng):
    bank = fc.FilterBank(weight, bias)
    image = values(rng, (2, 9, 9), "f4")
    before, kept = bank(image), weight.copy()
    weight[...] = 0
    bias[...] = 99
    assert np.array_equal(bank(image), before)
    assert np.array_equal(bank.weight, kept)


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_weight_and_bias_are_read_only(name, bank):
    array = getattr(bank, name)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    with pytest.raises(AttributeError):
        setattr(bank, name, array)


def test_a_bank_without_bias_has_none(weight):
    assert fc.FilterBank(weight).bias is None


def test_lists_are_banks():
    bank = fc.FilterBank([[[[1, 2], [3, 4]]]])
    assert bank.weight.shape == (1, 1, 2, 2)
    assert bank(np.ones((2, 2), int)).tolist() == [[[10]]]


# Copies and comparison


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        *(lambda b, p=p: pickle.loads(pickle.dumps(b, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)),
    ],
)
def test_copies_are_equal_and_work(duplicate, bank, rng):
    image = values(rng, (4, 9, 9), "f4")
    for original in (bank, fc.Sequential(bank, fc.FilterBank(np.ones((2, 6, 1, 1))))):
        original(image)  # with whatever it has packed by now
        twin = duplicate(original)
        assert twin == original
        assert type(twin) is type(original)
        assert np.array_equal(twin(image), original(image))
    assert not duplicate(bank).weight.flags.writeable


def test_banks_are_equal_when_weight_bias_and_options_are(weight, bias):
    assert fc.FilterBank(weight, bias, **OPTIONS) == fc.FilterBank(weight.copy(), bias.copy(), **OPTIONS)
    assert fc.FilterBank(weight, stride=2) == fc.FilterBank(weight, stride=(2, 2))
    assert fc.FilterBank(weight, padding=1) == fc.FilterBank(weight, padding=((1, 1), (1, 1)))


def test_banks_differ_when_anything_does(weight, bias):
    bank = fc.FilterBank(weight, bias)
    others = [
        fc.FilterBank(weight),
        fc.FilterBank(weight, bias + 1),
        fc.FilterBank(weight + 1, bias),
        fc.FilterBank(weight.astype("f8"), bias),
        fc.FilterBank(weight[:3], bias[:3]),
        *(fc.FilterBank(weight, bias, **{name: value}) for name, value in OPTIONS.items()),
        fc.FilterBank(weight, bias, activation="relu"),
        fc.FilterBank(weight, bias, precision="highest"),
        fc.Sequential(bank),
        None,
        "bank",
    ]
    for other in others:
        assert bank != other
        assert not bank == other  # noqa: SIM201 - both operators are ours


def test_hash_agrees_with_equality_or_there_is_none(weight):
    """Equal banks must not have different hashes; having no hash is fine."""
    one, two = fc.FilterBank(weight), fc.FilterBank(weight.copy())
    try:
        hashes = hash(one), hash(two)
    except TypeError:
        return
    assert hashes[0] == hashes[1]


# Sequential


@pytest.fixture
def network(rng):
    return fc.Sequential(
        fc.FilterBank(values(rng, (8, 3, 3, 3), "f4"), padding="same", activation="relu"),
        fc.FilterBank(values(rng, (8, 1, 3, 5), "f4"), stride=2, padding="same", groups=8),
        fc.FilterBank(values(rng, (4, 8, 1, 1), "f4"), values(rng, 4, "f4"), dilation=3),
    )


@pytest.mark.parametrize("lead", [(), (2,), (2, 1), (0,)])
def test_a_sequence_hands_maps_from_bank_to_bank(lead, network, rng):
    image = values(rng, (*lead, 3, 20, 21), "f4")
    expected = image
    for bank in network:
        expected = bank(expected)
    assert np.array_equal(network(image), expected)
    assert network.output_shape(image.shape) == expected.shape


def test_a_sequence_is_a_sequence(network):
    assert len(network) == 3
    assert list(network) == [network[0], network[1], network[2]]
    assert network[-1] is network[2]
    with pytest.raises(IndexError):
        network[3]


def test_sequences_nest(network):
    tail = fc.FilterBank(np.ones((2, 4, 3, 3)), stride=2)
    nested, flat = fc.Sequential(network, tail), fc.Sequential(*network, tail)
    assert nested.receptive_field == flat.receptive_field
    assert nested.num_parameters == flat.num_parameters
    image = np.ones((3, 20, 21), np.float32)
    assert np.array_equal(nested(image), flat(image))


def test_a_sequence_counts_its_channels_and_parameters(network):
    assert (network.in_channels, network.out_channels) == (3, 4)
    assert network.num_parameters == 8 * 3 * 9 + 8 * 15 + 4 * 8 + 4


def test_receptive_fields_grow_with_the_strides_before_them(rng):
    def bank(kernel, **options):
        return fc.FilterBank(np.ones((1, 1, *kernel)), **options)

    assert fc.Sequential(bank((3, 3)), bank((3, 3))).receptive_field == (5, 5)
    assert fc.Sequential(bank((3, 3), stride=2), bank((3, 3))).receptive_field == (7, 7)
    assert fc.Sequential(
        bank((7, 3), stride=(2, 3)), bank((3, 3), dilation=2, stride=2), bank((2, 1))
    ).receptive_field == (
        7 + 4 * 2 + 1 * 4,
        3 + 4 * 3,
    )


def test_one_output_sees_its_receptive_field_and_no_more():
    network = fc.Sequential(
        fc.FilterBank(np.ones((1, 1, 3, 2)), stride=2),
        fc.FilterBank(np.ones((1, 1, 2, 3)), dilation=(3, 2), stride=3),
        fc.FilterBank(np.ones((1, 1, 2, 2))),
    )
    field = network.receptive_field
    assert network.output_shape(field) == (1, 1, 1)
    impulses = np.eye(field[0] * field[1]).reshape(-1, 1, *field)
    seen = network(impulses).reshape(field) != 0
    assert seen.any(1)[[0, -1]].all()
    assert seen.any(0)[[0, -1]].all()


def test_banks_that_do_not_fit_are_refused_when_stacked():
    with pytest.raises(ValueError, match=r"(?s)8.*4"):
        fc.Sequential(fc.FilterBank(np.ones((8, 3, 3, 3))), fc.FilterBank(np.ones((2, 4, 3, 3))))


def test_banks_of_different_axes_are_refused_when_stacked():
    with pytest.raises(ValueError, match=r"[12]-?D|ax[ei]s"):
        fc.Sequential(fc.FilterBank(np.ones((8, 3, 3, 3))), fc.FilterBank(np.ones((2, 8, 3))))


def test_only_banks_are_stacked():
    with pytest.raises(TypeError, match=r"function|lambda"):
        fc.Sequential(fc.FilterBank(np.ones((8, 3, 3, 3))), lambda maps: maps)
    with pytest.raises((TypeError, ValueError)):
        fc.Sequential()


def test_sequences_are_equal_when_their_banks_are(network):
    assert fc.Sequential(*network) == network
    assert fc.Sequential(network[0], network[1]) != network
    assert network != network[0]


def test_repr_of_a_sequence_shows_its_banks(network):
    text = repr(network)
    assert text.startswith("Sequential(")
    assert text.count("FilterBank(") == 3


def test_a_bank_forgets_shapes_that_it_has_not_seen_for_long(rng):
    bank = fc.FilterBank(values(rng, (2, 1, 21, 21), "f4"))  # transformed for images of most sizes
    for n in range(30, 430):
        bank(np.ones((30, n), np.float32))
    assert bank._plans.nbytes <= PLAN_CACHE_BYTES
    assert bank._packed.nbytes <= WEIGHT_CACHE_BYTES
    assert len(bank._plans) < 400
    image = values(rng, (30, 31), "f4")
    np.testing.assert_array_equal(bank(image), fc.FilterBank(bank.weight)(image))


def test_kernels_that_the_cheapest_layout_refuses_have_a_ready_call() -> None:
    bank = fc.FilterBank(np.random.default_rng(0).standard_normal((1, 1, 9, 9)).astype(np.float32))
    bank(np.zeros((1, 256, 512), np.float32))
    ((plan, (index, _)),) = bank._plans.values()
    assert plan.layouts[0].name == "separable"
    assert index > 0
    assert plan.calls[index] is not None
