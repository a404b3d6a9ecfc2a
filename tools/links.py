"""Links between the pages of the documentation that lead nowhere.

    python tools/links.py HTML

`HTML` is the folder that sphinx-build has made. The exit status is 1 if there are such links, and they are printed.
"""

from __future__ import annotations

import argparse
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

_ELSEWHERE = re.compile(r"[a-z]+:|//|{{")  # another site, data within the page, or a template of the theme


@cache
def anchors(page: Path) -> set[str]:
    """Names of places in a page."""
    return set(re.findall(r'\bid="([^"]+)"', page.read_text(encoding="utf-8")))


def broken(folder: Path) -> list[str]:
    """Each page with the links in it that lead nowhere."""
    out = []
    for page in sorted(folder.rglob("*.html")):
        for link in set(re.findall(r'\b(?:href|src)="([^"]*)"', page.read_text(encoding="utf-8"))):
            if _ELSEWHERE.match(link):
                continue
            path, _, place = link.partition("#")
            target = page.parent / unquote(path.partition("?")[0]) if path else page
            if not target.exists() or (place and target.suffix == ".html" and unquote(place) not in anchors(target)):
                out.append(f"{page.relative_to(folder)}: {link}")
    return out


def main() -> int:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("html", type=Path, help="folder with the pages")
    found = broken(parser.parse_args().html)
    print("\n".join(found) or "all links between pages lead somewhere")
    return bool(found)


if __name__ == "__main__":
    raise SystemExit(main())
