"""Options and shapes -> Plan; and one plan for long rows of similar lengths, such as clips and recordings.

A plan for rows of a rounded length, somewhat longer than those at hand, is fitted to these: its layouts serve them as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import _check, _fold, _plan, _weights
from fastconv._check import Options
from fastconv._problem import Problem

LONG_ROW = 2**12  # columns, from which on lengths are rounded
ROUNDED_BITS = 4  # of a length that are kept: it grows by an eighth at most


def rounded(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape to plan for."""
    if not input_shape or input_shape[-1] < LONG_ROW:
        return input_shape
    step = 1 << (input_shape[-1].bit_length() - ROUNDED_BITS)
    return (*input_shape[:-1], -(-input_shape[-1] // step) * step)


def plan_for(
    axes: int,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    dtypes: tuple[np.dtype[Any], ...],
    options: Options,
    reuse: bool,
) -> _plan.Plan:
    """Return the plan for arrays of these shapes and dtypes; raise ValueError or TypeError if there can be none.

    options are checked ones; reuse tells that packed weights serve many calls.
    """
    problem = _check.problem(axes, input_shape, weight_shape, bias_shape, dtypes, options)
    margin = _margin(problem, options.padding)
    with _weights.in_memory(weight_shape):
        if margin is not None and _fold.fold(problem) is None:
            longer = _check.problem(axes, rounded(input_shape), weight_shape, bias_shape, dtypes, options)
            plan = _plan.make(longer, dtypes, reuse)
            if plan.fold is None:
                return plan.resized(problem)._replace(margin=margin)
        return _plan.make(problem, dtypes, reuse)


def _margin(problem: Problem, padding: Any) -> int | str | None:
    """Return how much padding lies around a long row, or the rule for it; None if rows are short, or kernel or padding long."""
    if problem.size[2] < LONG_ROW or problem.span(2) > LONG_ROW // 2:
        return None
    if isinstance(padding, str):
        return padding
    around = sum(padding[-1])
    return around if around <= LONG_ROW // 2 else None


def fit(plan: _plan.Plan, input_shape: tuple[int, ...]) -> _plan.Plan | None:
    """Return a plan for rows of another length, made from one for a similar length; None if that one is for no other."""
    if plan.margin is None:
        return None
    problem, columns = plan.problem, input_shape[-1]
    span, stride = problem.span(2), problem.stride[2]
    if isinstance(plan.margin, str):
        kernel, dilation = problem.kernel[2:], problem.dilation[2:]
        ((pad, after),) = _check.padding_of(plan.margin, 1, (columns,), kernel, (stride,), dilation)
        outputs = (columns + pad + after - span) // stride + 1
    else:
        pad, outputs = problem.pad[2], (columns + plan.margin - span) // stride + 1
    return plan.resized(
        problem._replace(
            output_shape=(*problem.output_shape[:-1], outputs),
            size=(*problem.size[:2], columns),
            output_size=(*problem.output_size[:2], outputs),
            pad=(*problem.pad[:2], pad),
        )
    )
