"""Configuration of the documentation; ``sphinx-build -W docs docs/_build`` needs no network.

``RVSEMU_DOCS_ONLINE=1`` takes the full inventories of other projects from the network, in place of the small ones in
``_inventories``; ``RVSEMU_DOCS_RUN=0`` leaves the tutorials unexecuted.
"""

import os
import sys
from importlib.metadata import version as _version
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

import inventories  # noqa: E402

project = "rvsemu"
author = "The rvsemu developers"
project_copyright = "2026, rvsemu developers"
release = version = _version("rvsemu")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "documented_constants",
    "explorer_page",
    "fragments",
    "signatures",
]
exclude_patterns = ["_build", "_generated", "_ext", "_inventories", "tutorials"]  # included, or made into other pages
templates_path = ["_templates"]
default_role = "py:obj"  # docstrings name what they mean in single backquotes; not all of it has a page
nitpicky = False

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {name: f"numpy.typing.{name}" for name in ("ArrayLike", "DTypeLike")}  # not all they stand for
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # words that are no alias
numpydoc_xref_aliases = {
    "array_like": ":term:`numpy:array_like`",
    "bool": ":class:`python:bool`",
    "ndarray": "numpy.ndarray",
    "Quantity": "astropy.units.Quantity",
    "QTable": "astropy.table.QTable",
    "Table": "astropy.table.Table",
    "Generator": "numpy.random.Generator",
    "path": "os.PathLike",
    "path-like": "os.PathLike",
    "Path": "pathlib.Path",
    "Axes": "matplotlib.axes.Axes",
    "Figure": "matplotlib.figure.Figure",
    "Spectrum": "specutils.Spectrum",
    "Label": "rvsemu.emulator.labels.Label",
    "LabelSpace": "rvsemu.emulator.labels.LabelSpace",
    "DenseNetwork": "rvsemu.emulator.network.DenseNetwork",
    "ErrorModel": "rvsemu.emulator.ErrorModel",
    "Library": "rvsemu.library.Library",
    "NoiseModel": "rvsemu.observing.NoiseModel",
    "ModelError": "rvsemu.observing.ModelError",
    "Observation": "rvsemu.observing.Observation",
    **{name: name for name in ("specutils.Spectrum", "astropy.table.Table", "astropy.table.QTable", "numpy.ndarray")},
    **{name: f"rvsemu.{name}" for name in ("Emulator", "Inversion", "FitResult", "InversionResult", "Posterior")},
}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

extlinks = {
    "arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s"),
    "ascl": ("https://ascl.net/%s", "ascl:%s"),
    "doi": ("https://doi.org/%s", "doi:%s"),
}
intersphinx_mapping = inventories.mapping(HERE / "_inventories", online=os.environ.get("RVSEMU_DOCS_ONLINE") == "1")

_not_run = {"10_make_a_library"}  # takes gfortran, a network and hours
if find_spec("tensorflow") is None:
    _not_run.add("12_train_an_emulator")
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "gallery",
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("rvsemu",),
    "filename_pattern": rf"/(?!{'|'.join(sorted(_not_run))})\d\d_\w+\.py$",
    "plot_gallery": os.environ.get("RVSEMU_DOCS_RUN") != "0",
    "ignore_pattern": r"__init__\.py",
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib", "seaborn", "gallery.reset"),
    "capture_repr": ("_repr_html_",),
    "image_scrapers": ("matplotlib",),
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 0,
    "write_computation_times": False,
    "nested_sections": False,
    "thumbnail_size": (400, 280),
    "copyfile_regex": r".*\.csv",
}

_wide = {f"gallery/{path.stem}": [] for path in HERE.glob("tutorials/*.py")}  # code needs the room
html_theme = "pydata_sphinx_theme"
html_title = "rvsemu"
html_static_path = ["_static"]
html_css_files = ["rvsemu.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "secondary_sidebar_items": {"**": ["page-toc"], "gallery/index": [], "explorer": [], **_wide},
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "show_nav_level": 1,
    "navigation_depth": 4,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "explorer": []}
