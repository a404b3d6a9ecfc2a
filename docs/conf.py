"""Configuration of the documentation; ``sphinx-build -W docs docs/_build`` needs no network."""

from importlib.metadata import version as _version

project = "rvsemu"
author = "The rvsemu developers"
project_copyright = "2026, rvsemu developers"
release = version = _version("rvsemu")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_generated"]  # the latter are included by pages
templates_path = ["_templates"]
default_role = "py:obj"  # docstrings name what they mean in single backquotes; not all of it has a page
nitpicky = False

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections have the types
numpydoc_show_class_members = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "rvsemu"
html_static_path = ["_static"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
}
html_sidebars = {"**": []}
