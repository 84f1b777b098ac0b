"""Texts that scripts show: the layout contains them, and static/texts.js reads them."""

from collections.abc import Mapping
from functools import cache

from web.ui.time_format import AGE_TEXTS
from web.ui.translation import N_, load_translations, reader_language

SCRIPT_TEXTS = {
    **AGE_TEXTS,
    # Translators: the theme of the pages, as in "Theme: automatic"
    "theme_automatic": N_("automatic"),
    "theme_light": N_("light"),
    "theme_dark": N_("dark"),
    # Translators: the state of the live connection
    "live": N_("Live"),
    "catching-up": N_("Updating"),
    "lost": N_("Connection lost"),
    "connected": N_("Connected. Last update at %(time)s."),
    "outdated": N_("Showing data from %(time)s."),
    "reconnecting": N_(
        "The live connection was lost and is being restored. Nothing on this page is lost, and your"
        " drafts are kept."
    ),
    "not_shared": N_("You no longer have access to this page."),
    "reload": N_("Reload it to see what you have access to."),
    "waiting": N_("New items that need you: %(count)d"),
    "places": N_("%(first)d to %(last)d of %(total)d"),
    "copied": N_("Copied"),
    "too_early": N_("Ignored: this has only just appeared."),
    "still_loading": N_("Ignored: the request is still loading."),
    "other_open": N_("Ignored: another request is open. Press Enter to open this one first."),
    "not_sent": N_("Not sent. Try again."),
    "not_loaded": N_("Not loaded. Try again."),
    "no_results": N_("No results."),
    "search_offline": N_("No connection: only pages and commands are shown."),
    "search_signed_out": N_("You were signed out. Sign in again to search."),
    "search_failed": N_("The search failed. Try again."),
    "suggestions_label": N_("Suggestions"),
    "suggestions": N_("Suggestions: %(count)d. Select one with the arrow keys."),
}
"""Texts by the names that scripts use. Their values are put in by static/texts.js."""


def get_script_texts() -> Mapping[str, str]:
    """Return the texts of the scripts in the reader's language."""
    return _translate_all(reader_language.get())


@cache
def _translate_all(language: str) -> Mapping[str, str]:
    translations = load_translations(language)
    return {name: translations.gettext(text) for name, text in SCRIPT_TEXTS.items()}
