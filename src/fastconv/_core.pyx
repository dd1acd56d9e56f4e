# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# cython: freethreading_compatible=True, auto_pickle=False
"""The Cython core: slide kernels over the channels of a padded image and add up.

    maps[n, k, o] = activation(bias[k] + sum over channels c and taps t of
                               weight[k, c, t] * images[n, c, o * stride + t * dilation - pad])

over three axes, depth, rows and columns: 1-D and 2-D problems have axes of size one in front.
The padded image does not exist as a whole: `image_index` tells where a padded position lies in the image.
Python chooses a layout and calls an entry; units of it, on threads, call micro-kernels in C (kernels/).
"""

import math
import os

import numpy as np

cimport cython
from libc.math cimport INFINITY, cos, fabs, isfinite, rintf, sin
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset

from fastconv.core.buffers cimport *
from fastconv.core.kernels cimport *
from fastconv.core.geometry cimport *

cdef extern from *:
    """
    #if defined(__GNUC__) /* for functions that serve Python: setup.py marks them */
    #  define FC_SMALL __attribute__((cold))
    #else
    #  define FC_SMALL
    #endif
    #if defined(__GNUC__) && !defined(__clang__) /* vectorise loops as -O3 does; the rest would only become larger */
    #  pragma GCC optimize("vect-cost-model=dynamic")
    #endif
    /* Returns NULL, so that Cython propagates the exception that is set. */
    static PyObject *raise_pending(void) { return NULL; }
    """
    int PyErr_CheckSignals() noexcept
    object raise_pending()


# What an image a b c d looks like from beyond its borders:
PADDING_MODES = {
    "zeros": ZEROS,          # 0 0 | a b c d | 0 0
    "reflect": REFLECT,      # c b | a b c d | c b
    "replicate": REPLICATE,  # a a | a b c d | d d
    "circular": CIRCULAR,    # c d | a b c d | a b
    "symmetric": SYMMETRIC,  # b a | a b c d | d c
}

# What each activation is, and its parameters, of which the last ones have a default: (kind, low or slope, high)
ACTIVATIONS = {
    None: (FC_CLIP, -INFINITY, INFINITY),
    "relu": (FC_CLIP, 0.0, INFINITY),
    "relu6": (FC_CLIP, 0.0, 6.0),
    "clip": (FC_CLIP,),
    "leaky_relu": (FC_LEAKY_RELU, 0.01, 0.0),
    "prelu": (FC_PRELU, 0.0, 0.0),
    "hardsigmoid": (FC_HARDSIGMOID, 0.0, 0.0),
    "hardswish": (FC_HARDSWISH, 0.0, 0.0),
    "sigmoid": (FC_SIGMOID, 0.0, 0.0),
    "silu": (FC_SILU, 0.0, 0.0),
    "tanh": (FC_TANH, 0.0, 0.0),
    "elu": (FC_ELU, 1.0, 0.0),
    "softplus": (FC_SOFTPLUS, 0.0, 0.0),
    "mish": (FC_MISH, 0.0, 0.0),
    "gelu": (FC_GELU, 0.0, 0.0),
    "gelu_tanh": (FC_GELU_TANH, 0.0, 0.0),
}

STACKS = {(taps, stride) for taps in (3, 5, 7) for stride in (1, 2)}  # across the columns, that stacks are made for

cdef const fc_isa *isa = NULL
cdef const fc_kernels *byte_kernels = NULL  # of the same

include "core/job.pxi"
include "core/memory.pxi"
include "core/epilogue.pxi"
include "core/rows.pxi"
include "core/filters.pxi"
include "core/bank.pxi"
include "core/layout.pxi"
include "core/fused.pxi"
include "core/direct.pxi"
include "core/tile_job.pxi"
include "core/strips.pxi"
include "core/tiles.pxi"
include "core/by_position.pxi"
include "core/tile_layout.pxi"
include "core/transposed_job.pxi"
include "core/transposed.pxi"
include "core/transposed_layout.pxi"
include "core/interleaved_job.pxi"
include "core/interleaved.pxi"
include "core/interleaved_layout.pxi"
include "core/sweep_job.pxi"
include "core/sweep_tables.pxi"
include "core/sweep.pxi"
include "core/sweep_layout.pxi"
include "core/stack.pxi"
include "core/separable.pxi"
include "core/border.pxi"
include "core/entry.pxi"
include "core/blank.pxi"
include "core/fft_job.pxi"
include "core/fft_input.pxi"
include "core/fft.pxi"
include "core/fft_layout.pxi"
include "core/winograd_job.pxi"
include "core/winograd_repair.pxi"
include "core/winograd_filters.pxi"
include "core/winograd.pxi"
include "core/winograd_few.pxi"
include "core/winograd_layout.pxi"
include "core/weight_gradient_job.pxi"
include "core/weight_direct.pxi"
include "core/weight_dot.pxi"
include "core/weight_stack.pxi"
include "core/weight_gradient_layout.pxi"
include "core/weight_winograd.pxi"
include "core/weight_winograd_layout.pxi"
include "core/convert.pxi"
include "core/passes.pxi"
include "core/sweep_blocks.pxi"
include "core/ready.pxi"
include "core/missing.pxi"
include "core/bytes.pxi"


def padded_indices(Py_ssize_t start, Py_ssize_t stop, Py_ssize_t size, int mode):
    """Return `image_index` of every position from start to stop."""
    cdef Py_ssize_t position
    return [image_index(position, size, mode) for position in range(start, stop)]


def inside_fraction(Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t dilation, Py_ssize_t pad, Py_ssize_t size,
                    Py_ssize_t outputs):
    """Return which fraction of the pairs of an output and a tap, along an axis, read a pixel of the image."""
    cdef Axis axis = make_axis(taps, stride, dilation)
    cdef Range inside
    cdef Py_ssize_t tap
    cdef double total = 0
    axis.pad = pad
    for tap in range(taps):
        inside = outputs_inside(&axis, tap, size, Range(0, outputs))
        total += inside.last - inside.first
    return total / (<double>taps * outputs)


def use_isa(name=None):
    """Choose the instruction set of this name, or the best one; layouts made before keep theirs."""
    global isa, byte_kernels
    cdef bytes wanted = b"" if name is None else name.encode()
    cdef const fc_isa *found = fc_find_isa(wanted)
    if found == NULL:
        raise ValueError(f"FASTCONV_ISA must be one of {', '.join(available_isas())} on this machine; got {name!r}")
    isa, byte_kernels = found, fc_find_bytes(found)


def available_isas():
    """Return the names of the instruction sets that this machine can run, the best one first."""
    return [name.decode() for name in (b"avx512", b"avx2", b"neon", b"baseline") if fc_find_isa(name) != NULL]


def multiply_adds(Py_ssize_t rounds):
    """Multiply and add float32 as fast as this machine can on one thread; return how many times. For benchmarks."""
    with nogil:
        isa.f32.peak(rounds)
    return rounds * PEAK_SUMS * isa.f32.lanes


def current_isa():
    """Return the name of the instruction set in use, and the lanes of its float32 vectors."""
    return isa.name.decode(), isa.f32.lanes


fc_poisons = os.environ.get("FASTCONV_POISON", "0") not in ("", "0")
use_isa(os.environ.get("FASTCONV_ISA") or None)
