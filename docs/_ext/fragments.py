"""A directive with the changes that are not released yet: the fragments that towncrier will put together."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

KINDS = {"feature": "New", "bugfix": "Mended", "doc": "Documentation", "removal": "Removed", "misc": "Other"}


class Fragments(SphinxDirective):
    """Fragments of a folder, by kind, the newest issues first."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        source, _ = self.get_source_info()
        folder = (Path(source).parent / self.arguments[0]).resolve()
        out: list[nodes.Node] = []
        for kind, title in KINDS.items():
            paths = sorted(folder.glob(f"*.{kind}.rst"), key=lambda path: (-int(path.name.split(".")[0]), path.name))
            if not paths:
                continue
            out.append(nodes.rubric(title, title))
            items = nodes.bullet_list()
            for path in paths:
                self.env.note_dependency(str(path))
                items += nodes.list_item("", *self.parse_text_to_nodes(path.read_text(encoding="utf-8")))
            out.append(items)
        return out


def setup(app):
    """Make the directive known to Sphinx."""
    app.add_directive("fragments", Fragments)
    return {"parallel_read_safe": True, "version": "1"}
