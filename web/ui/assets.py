"""Static files with versioned addresses, the scripts of pages, and icons from a shared sprite.

The scripts are one file, so that a browser sends one request and not forty. They are joined when
the first page is shown; there is no build step. A script that fails while it starts does not
prevent the others from starting. What scripts share are properties of `window`.

Versioned files are read and compressed once, because the first paint waits for them.

The sprite is a separate file, so that a part of a page that is loaded later can use any icon, and
a browser loads the icons once. After adding an icon, build the sprite again:
`python -m web.ui.assets`.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import parse_qs

from markupsafe import Markup
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from core.http.compression import choose_encoding, compress_once

STATIC = Path(__file__).parent.parent.parent / "static"
BUNDLE = "app.js"  # its path in /static; there is no such file

SCRIPTS = (
    "texts.js",
    "ime_keys.js",
    "vendor/htmx-4.0.1.min.js",
    "vendor/Sortable-1.15.7.min.js",
    "live.js",
    "live_hub.js",
    "live_connection.js",
    "relative_time.js",
    "board.js",
    "board_drag.js",
    "pinned_boards.js",
    "card_menu.js",
    "calendar.js",
    "save_on_change.js",
    "busy_button.js",
    "copy.js",
    "cut_texts.js",
    "decision_guard.js",
    "dialogs.js",
    "form_reset.js",
    "drafts.js",
    "drawer.js",
    "page_history.js",
    "inline_editors.js",
    "highlight_changes.js",
    "focus_invalid.js",
    "inbox_rows.js",
    "master_detail.js",
    "shortcuts.js",
    "submit_keys.js",
    "listbox.js",
    "command_palette.js",
    "suggestions.js",
    "picker.js",
    "parts.js",
    "print.js",
    "known_cards.js",
    "long_lists.js",
    "one_time_link.js",
    "password_reveal.js",
    "file_text.js",
    "form_rows.js",
    "bulk_select.js",
    "restored_form.js",
    "toasts.js",
    "unsaved_changes.js",
    "detect_time_zone.js",
    "tag_form.js",
    "push_subscription.js",
)
"""In the order in which they run."""


_LINKED_FILE = re.compile(rb'url\("([^"]+)"\)')


@cache
def build_bundle() -> bytes:
    """Return the text of all scripts."""
    return "".join(map(_read_script, SCRIPTS)).encode()


def _read_script(path: str) -> str:
    text = (STATIC / path).read_text().rstrip()
    return f"// {path}\ntry {{\n{text}\n}} catch (error) {{ reportError(error); }}\n\n"


@cache
def _list_paths() -> frozenset[str]:
    files = (file for file in STATIC.rglob("*") if file.is_file())
    return frozenset({BUNDLE, *(file.relative_to(STATIC).as_posix() for file in files)})


@cache
def _read_asset(path: str) -> bytes:
    if path == BUNDLE:
        return build_bundle()
    content = (STATIC / path).read_bytes()
    return _LINKED_FILE.sub(_add_version, content) if path.endswith(".css") else content


def _add_version(link: re.Match[bytes]) -> bytes:
    return f'url("{link[1].decode()}?v={_hash_asset(link[1].decode())}")'.encode()


@cache
def _hash_asset(path: str) -> str:
    return hashlib.sha256(_read_asset(path)).hexdigest()[:10]


def asset_url(path: str) -> str:
    """Return the versioned address of a file in static/. It changes with the content."""
    return f"/static/{path}?v={_hash_asset(path)}"


@cache
def _encode_asset(path: str, encoding: str) -> tuple[bytes, Mapping[str, str]]:
    """Return the content of a file and its headers, compressed if that makes it smaller."""
    content, version = _read_asset(path), _hash_asset(path)
    headers = {"Vary": "Accept-Encoding", "ETag": f'"{version}"'}
    if encoding and len(compressed := compress_once(content, encoding)) < len(content):
        return compressed, headers | {
            "Content-Encoding": encoding,
            "ETag": f'"{version}-{encoding}"',
        }
    return content, headers


class CachedStaticFiles(StaticFiles):
    """Serves static/ and the scripts. Versioned addresses can be cached for a year."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Serve a file with its cache lifetime."""
        [version, *_] = parse_qs(scope["query_string"].decode("latin-1")).get("v", [""])
        is_read = scope["method"] in ("GET", "HEAD")
        encoding = choose_encoding(scope)
        if is_read and (path == BUNDLE or (version and path in _list_paths())):
            content, headers = _encode_asset(path, encoding)
            media_type = guess_type(path)[0] or "application/octet-stream"
            response = Response(content, headers=headers, media_type=media_type)
            if self.is_not_modified(response.headers, Headers(scope=scope)):
                response = NotModifiedResponse(response.headers)
        else:
            response = await super().get_response(path, scope)
            if not encoding:  # else it is added with the compression
                response.headers["Vary"] = "Accept-Encoding"
        if response.status_code in (200, 304):
            response.headers["Cache-Control"] = _choose_lifetime(path, version)
        return response


def _choose_lifetime(path: str, version: str) -> str:
    """Return how long a file is cached. One of another version is asked for again each time."""
    if not version:
        return "public, max-age=3600"
    if path in _list_paths() and asset_url(path) == f"/static/{path}?v={version}":
        return "public, max-age=31536000, immutable"
    return "no-cache"


CLIENT_FILES = {"/client.py": "text/x-python", "/clients/opencode.js": "text/javascript"}
"""Programs that run beside coding agents, by their addresses, which stay the same."""


def _find_client_file(path: str) -> Path:
    return STATIC / "clients" / Path(path).name


@cache
def hash_client_file(path: str) -> str:
    """Return the SHA-256 of a program for coding agents, by its address."""
    return hashlib.sha256(_find_client_file(path).read_bytes()).hexdigest()


def serve_client_file(request: Request) -> Response:
    """Serve a program for coding agents; caches ask for a newer one each time."""
    path = request.url.path
    headers = {"Cache-Control": "no-cache", "ETag": f'"{hash_client_file(path)}"'}
    return FileResponse(_find_client_file(path), headers=headers, media_type=CLIENT_FILES[path])


CLIENT_FILE_ROUTES = [Route(path, serve_client_file) for path in CLIENT_FILES]

ICONS = STATIC / "icons"
OWN = ICONS / "own"  # our own glyphs: the mark, task statuses, priorities, agents' states
SPRITE = STATIC / "sprite.svg"

HIDDEN = Markup('aria-hidden="true"')

_NAMES = frozenset(file.stem for folder in (ICONS, OWN) for file in folder.glob("*.svg"))
_OWN_NAMES = frozenset(file.stem for file in OWN.glob("*.svg"))


@lru_cache(1_024)  # a page of a board has a thousand of them, of about fifty kinds
def render_icon(name: str, css: str = "i", label: str = "", **attributes: str) -> Markup:
    """Render an icon. Without a label it is decorative, and hidden from screen readers."""
    if name not in _NAMES:
        raise LookupError(f"There is no icon {name} in {ICONS}.")
    symbol = name if name in _OWN_NAMES else f"i-{name}"
    aria_attribute = Markup('role="img" aria-label="{}"').format(label) if label else HIDDEN
    others = Markup().join(
        Markup(' {}="{}"').format(key.replace("_", "-"), value) for key, value in attributes.items()
    )
    drawing = Markup('<svg class="{}"{} {}><use href="{}#{}"/></svg>')
    return drawing.format(css, others, aria_attribute, asset_url("sprite.svg"), symbol)


def build_sprite() -> str:
    """Build the sprite with every icon as a symbol."""
    symbols = [_build_symbol(file, f"i-{file.stem}") for file in sorted(ICONS.glob("*.svg"))]
    symbols += [_build_symbol(file, file.stem) for file in sorted(OWN.glob("*.svg"))]
    return "\n".join(['<svg xmlns="http://www.w3.org/2000/svg">', *symbols, "</svg>\n"])


def _build_symbol(file: Path, id: str) -> str:
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
    SPRITE.write_text(build_sprite())
