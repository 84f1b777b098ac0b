"""The scripts of pages: one file, so that a browser sends one request and not forty.

They are joined when the first page is shown; there is no build step. A script that fails while it
starts does not prevent the others from starting. What scripts share are properties of `window`.
"""

from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent.parent.parent / "static"
BUNDLE = "app.js"  # its path in /static; there is no such file

SCRIPTS = (
    "texts.js",
    "vendor/htmx-4.0.1.min.js",
    "vendor/Sortable-1.15.7.min.js",
    "live.js",
    "live_hub.js",
    "live_connection.js",
    "relative_time.js",
    "board.js",
    "board_drag.js",
    "card_menu.js",
    "busy_button.js",
    "copy.js",
    "decision_guard.js",
    "dialogs.js",
    "drafts.js",
    "drawer.js",
    "page_history.js",
    "inline_editors.js",
    "highlight_changes.js",
    "focus_invalid.js",
    "inbox_rows.js",
    "master_detail.js",
    "shortcuts.js",
    "listbox.js",
    "command_palette.js",
    "suggestions.js",
    "parts.js",
    "print.js",
    "known_cards.js",
    "one_time_link.js",
    "password_reveal.js",
    "file_text.js",
    "form_rows.js",
    "filter_list.js",
    "bulk_select.js",
    "restored_form.js",
    "toasts.js",
    "unsaved_changes.js",
    "detect_time_zone.js",
    "tag_form.js",
    "push_subscription.js",
)
"""In the order in which they run."""


@cache
def build_bundle() -> bytes:
    """Return the text of all scripts."""
    return "".join(map(_read_script, SCRIPTS)).encode()


def _read_script(path: str) -> str:
    text = (STATIC / path).read_text().rstrip()
    return f"// {path}\ntry {{\n{text}\n}} catch (error) {{ reportError(error); }}\n\n"
