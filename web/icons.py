"""Icons: one sprite that every page shares, drawn from the files in static/icons.

The sprite is a file of its own and not part of each page, so a part of a page that comes later
may use any icon, and a browser loads them all once. After adding an icon, write the sprite again:
`python -m web.icons`.
"""

import re
from pathlib import Path

from markupsafe import Markup

from web.assets import STATIC, asset

ICONS = STATIC / "icons"
OWN = ICONS / "own"  # our own glyphs: the mark, task statuses, priorities, agents' states
SPRITE = STATIC / "sprite.svg"

HIDDEN = Markup('aria-hidden="true"')

_NAMES = frozenset(file.stem for folder in (ICONS, OWN) for file in folder.glob("*.svg"))
_OWN_NAMES = frozenset(file.stem for file in OWN.glob("*.svg"))


def icon(name: str, css: str = "i", label: str = "", **attributes: str) -> Markup:
    """Draw an icon. Without a label it is decoration, and screen readers pass it by."""
    if name not in _NAMES:
        raise LookupError(f"There is no icon {name} in {ICONS}.")
    symbol = name if name in _OWN_NAMES else f"i-{name}"
    said = Markup('role="img" aria-label="{}"').format(label) if label else HIDDEN
    more = Markup().join(
        Markup(' {}="{}"').format(key.replace("_", "-"), value) for key, value in attributes.items()
    )
    drawing = Markup('<svg class="{}"{} {}><use href="{}#{}"/></svg>')
    return drawing.format(css, more, said, asset("sprite.svg"), symbol)


def sprite() -> str:
    """Draw the sprite: every icon as a symbol."""
    symbols = [_symbol(file, f"i-{file.stem}") for file in sorted(ICONS.glob("*.svg"))]
    symbols += [_symbol(file, file.stem) for file in sorted(OWN.glob("*.svg"))]
    return "\n".join(['<svg xmlns="http://www.w3.org/2000/svg">', *symbols, "</svg>\n"])


def _symbol(file: Path, id: str) -> str:
    drawing = re.search(r"<svg([^>]*)>(.*)</svg>", file.read_text(), re.DOTALL)
    assert drawing, f"{file} is not a drawing"
    box = re.search(r'viewBox="([^"]*)"', drawing[1])
    assert box, f"{file} has no viewBox"
    lucide = ""
    if file.parent == ICONS:
        lucide = ' fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round"'
    shapes = re.sub(r"\s*\n\s*", "", drawing[2]).strip()
    return f'<symbol id="{id}" viewBox="{box[1]}"{lucide}>{shapes}</symbol>'


if __name__ == "__main__":
    SPRITE.write_text(sprite())
