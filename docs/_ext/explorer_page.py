"""A directive for the Explorer, and its scripts on pages that have it; weights are those of the installed package."""

from __future__ import annotations

import sys
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import explorer

import rvsemu

_FOLDER = "explorer"


class Explorer(SphinxDirective):
    """The page's own part of HTML."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(explorer.TEMPLATE))
        self.env.metadata[self.env.docname]["explorer"] = "yes"
        return [nodes.raw("", explorer.TEMPLATE.read_text(encoding="utf-8"), format="html")]


def write_weights(app):
    """The emulator, before static files are copied."""
    if app.builder.format == "html":
        explorer.write_weights(Path(app.outdir) / "_static" / _FOLDER / explorer.WEIGHTS, rvsemu.shipped())


def add_files(app, pagename, templatename, context, doctree):
    """Scripts and style sheet, where the directive is."""
    if "explorer" in (app.env.metadata.get(pagename) or {}):
        app.add_css_file(f"{_FOLDER}/{explorer.STYLE}")
        for name in (explorer.WEIGHTS, *explorer.SCRIPTS):
            app.add_js_file(f"{_FOLDER}/{name}", loading_method="defer")


def setup(app):
    """Make the directive known to Sphinx."""
    app.add_directive("explorer", Explorer)
    app.connect("builder-inited", write_weights)
    app.connect("html-page-context", add_files)
    return {"parallel_read_safe": True, "version": "1"}
