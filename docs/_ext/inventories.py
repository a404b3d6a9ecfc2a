"""Links to the documentation of other projects, with and without a network."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path


def mapping(folder: Path, online: bool) -> dict[str, tuple[str, str | None]]:
    """Projects, the addresses of their documentation, and where their inventories are.

    Each file in `folder` is the inventory of a project as text: its address in the first line, then one name a line in
    the columns of Sphinx's inventories, ``$`` in its place being the name. Sphinx reads these compressed, so that they
    are packed into a temporary folder.
    """
    out: dict[str, tuple[str, str | None]] = {}
    packed = Path(tempfile.mkdtemp(prefix="rvsemu-docs-"))
    for path in sorted(folder.glob("*.txt")):
        address, *names = path.read_text(encoding="utf-8").splitlines()
        out[path.stem] = (address, None if online else str(pack(path.stem, names, packed)))
    return out


def pack(project: str, names: list[str], folder: Path) -> Path:
    """Write an inventory in version 2 of Sphinx's format."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    path = folder / f"{project}.inv"
    whole = [line.replace("$", line.split()[0]) for line in names]  # Sphinx replaces one at the end alone
    path.write_bytes(head.encode() + zlib.compress(("\n".join(whole) + "\n").encode()))
    return path
