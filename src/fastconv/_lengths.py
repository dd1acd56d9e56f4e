"""Shapes and options -> Plan; long rows of similar lengths, such as audio recordings, share one plan.

It is made for the length rounded up, then adapted to each actual length: the same layouts serve both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import _check, _exact, _fold, _plan, _weights
from fastconv._check import Options
from fastconv._problem import Problem

LONG_ROW = 2**12  # columns: lengths from here on are rounded up
KEPT_BITS = 4  # leading bits of a length that rounding keeps, so that it grows by less than an eighth


def rounded(input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape to plan for: the last axis rounded up if it is long."""
    if not input_shape or input_shape[-1] < LONG_ROW:
        return input_shape
    step = 1 << (input_shape[-1].bit_length() - KEPT_BITS)
    return (*input_shape[:-1], -(-input_shape[-1] // step) * step)


def plan_for(
    axes: int,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    dtypes: tuple[np.dtype[Any], ...],
    options: Options,
    sums: _exact.Sums | None = None,
) -> _plan.Plan:
    """Return the plan for arrays of these shapes and dtypes; raise ValueError or TypeError if they do not fit together.

    `options`: as returned by `_check.options`; `sums`: how those of integers may be computed.
    """

    def problem_of(shape: tuple[int, ...]) -> Problem:
        return _exact.summed(_check.problem(axes, shape, weight_shape, bias_shape, dtypes, options), sums)

    problem = problem_of(input_shape)
    row_padding = _row_padding(problem, options.padding)
    with _weights.naming_weight(weight_shape):
        if row_padding is not None and _fold.fold(problem) is None:
            plan = _plan.make(problem_of(rounded(input_shape)), dtypes)
            if plan.fold is None:
                return plan.resized(problem)._replace(row_padding=row_padding)
        return _plan.make(problem, dtypes)


def _row_padding(problem: Problem, padding: Any) -> int | str | None:
    """Return a row's total padding, or its name; None if rows are too short to share, or kernel or padding too long."""
    if problem.border is not None or problem.size[2] < LONG_ROW or problem.span(2) > LONG_ROW // 2:
        return None
    last = padding if isinstance(padding, str) else padding[-1]
    if isinstance(last, str):
        return last
    total = sum(last)
    return total if total <= LONG_ROW // 2 else None


def adapt(plan: _plan.Plan, input_shape: tuple[int, ...]) -> _plan.Plan | None:
    """Return a plan adapted to rows of another length that rounds to the same; None if it serves one length only."""
    if plan.row_padding is None:
        return None
    problem, columns = plan.problem, input_shape[-1]
    span, stride = problem.span(2), problem.stride[2]
    if isinstance(plan.row_padding, str):
        kernel, dilation = problem.kernel[2:], problem.dilation[2:]
        ((before, after),) = _check.resolve_padding(plan.row_padding, 1, (columns,), kernel, (stride,), dilation)
        outputs = (columns + before + after - span) // stride + 1
    else:
        before, outputs = problem.pad[2], (columns + plan.row_padding - span) // stride + 1
    return plan.resized(
        problem._replace(
            output_shape=(*problem.output_shape[:-1], outputs),
            size=(*problem.size[:2], columns),
            output_size=(*problem.output_size[:2], outputs),
            pad=(*problem.pad[:2], before),
        )
    )
