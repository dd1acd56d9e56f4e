"""Formulas as drawings: LaTeX set by matplotlib's mathtext when the site is built, as SVG in the colour of the text.

A page so needs neither a script nor fonts of another host, and the build no LaTeX.
"""

from html import escape
from typing import Any

from docutils import nodes
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from sphinx.application import Sphinx

EM = 10.0  # units of the drawings that make an em of the page
COMMANDS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}


def drawing(latex: str) -> str:
    """Return a formula as an SVG element that stands on the line of the text."""
    path = TextPath((0, 0), f"${' '.join(latex.split())}$", size=EM)
    box = path.get_extents()
    left, top, width, height = box.x0 - 0.5, -box.y1 - 0.5, box.width + 1, box.height + 1
    commands = " ".join(
        "Z" if code == Path.CLOSEPOLY else COMMANDS[code] + " ".join(_coordinates(points))
        for points, code in path.iter_segments(simplify=False)
    )
    return (
        f'<svg class="formula" role="img" aria-label="{escape(latex, quote=True)}"'
        f' viewBox="{left:.2f} {top:.2f} {width:.2f} {height:.2f}"'
        f' style="width: {width / EM:.3f}em; height: {height / EM:.3f}em; vertical-align: {(box.y0 - 0.5) / EM:.3f}em">'
        f'<path fill="currentColor" d="{commands}"/></svg>'
    )


def _coordinates(points: Any) -> list[str]:
    return [f"{-value if index % 2 else value:.2f}" for index, value in enumerate(points)]


def visit_inline(self: Any, node: nodes.math) -> None:
    self.body.append(drawing(node.astext()))
    raise nodes.SkipNode


def visit_block(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="formula-block">{drawing(node.astext())}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("mathtext", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
