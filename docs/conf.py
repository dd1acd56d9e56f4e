"""Sphinx's configuration of the site: `python -m sphinx -W --keep-going docs build/site`.

Nothing on a page is loaded from another host: formulas are drawn when the site is built (_extensions/mathtext.py), and the
theme brings its own fonts and scripts.
"""

import sys
import warnings
from pathlib import Path

from sphinx.application import Sphinx

import fastconv

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE / "figures")]

project = "fastconv"
author = "fastconv contributors"
version = release = fastconv.__version__
language = "en"

extensions = [
    "mathtext",
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["gallery", "figures"]
suppress_warnings = ["config.cache"]  # the gallery's configuration holds functions
highlight_language = "python"
default_role = "py:obj"

# Markdown
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Reference
autosummary_generate = True
autosummary_ignore_module_all = False  # members are those of __all__
autodoc_typehints = "none"  # numpydoc's sections have them
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
html_math_renderer = "mathtext"

# Figures of the pages
plot_formats = [("svg", 100)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = False
plot_working_directory = str(HERE / "figures")
plot_rcparams = {
    "figure.figsize": (5.4, 3.0),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "svg.fonttype": "path",
}
plot_apply_rcparams = True

# Gallery
warnings.filterwarnings("ignore", message="Unknown section Differences", category=UserWarning)  # see keep_own_sections
warnings.filterwarnings("ignore", message=".*is non-interactive, and thus cannot be shown", category=UserWarning)
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"plot_",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "capture_repr": (),
    "write_computation_times": False,
    "plot_gallery": "True",
    "abort_on_example_error": False,
    "remove_config_comments": True,
    "image_srcset": ["2x"],
    "doc_module": ("fastconv",),
    "backreferences_dir": None,
    "within_subsection_order": "FileNameSortKey",
}

# Pages
html_theme = "pydata_sphinx_theme"
html_title = "fastconv"
html_static_path = ["_static"]
html_js_files = ["porting-finder.js"]  # does nothing on pages without its place
html_css_files = ["site.css"]
html_show_sourcelink = False
html_domain_indices = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "fastconv"},
    "github_url": "https://github.com/fastconv/fastconv",
    "show_prev_next": True,
    "header_links_before_dropdown": 5,
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_context = {"default_mode": "auto"}
html_sidebars = {
    name: []
    for name in ("index", "start", "porting", "pictures", "slider", "fast", "internals", "changelog", "contributing")
}
copyright = "fastconv contributors"


def keep_own_sections(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """numpydoc drops sections that it does not know; they become a paragraph of the section before."""
    for title in ("Differences from SciPy",):
        if title in lines:
            place = lines.index(title)
            lines[place : place + 2] = [f"**{title}**", ""]


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", keep_own_sections, priority=400)  # before numpydoc
