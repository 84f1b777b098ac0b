"""Jinja's environment, and the functions with which templates translate texts.

The environment leaves out what Jinja does for each include, call and page in vain. Templates have
no global variables of their own here, so all of them share those of the environment as a plain
dict. Jinja looks for them in a chain of mappings: for each include it lists the whole chain, and
for each import it compares it with that of the template that imports.

The functions that translate are those of `web/ui/translation.py`, except that texts are markup and
values are escaped. The functions of Jinja's own extension do the same at five times the cost.
"""

from collections.abc import Hashable, Iterable, Mapping, MutableMapping
from functools import _lru_cache_wrapper, cache, lru_cache
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from jinja2 import Environment, Template
from jinja2.runtime import Context, Macro
from jinja2.utils import internalcode
from markupsafe import Markup, escape

from web.ui import translation
from web.ui.time_format import AGE_TEXTS
from web.ui.translation import N_, load_translations, reader_language

CALLED_DIRECTLY = {FunctionType, MethodType, BuiltinFunctionType, _lru_cache_wrapper}


class TemplateContext(Context):
    """Calls macros and plain functions without asking several times what they are."""

    @internalcode
    def call(self, function: Any, /, *arguments: Any, **options: Any) -> Any:
        """Call what a template calls."""
        kind = type(function)
        if kind is Macro:
            arguments = (self.eval_ctx, *arguments)
        elif kind not in CALLED_DIRECTLY or hasattr(function, "jinja_pass_arg"):
            return super().call(function, *arguments, **options)
        if options:
            options.pop("_block_vars", None)
            options.pop("_loop_vars", None)
        return function(*arguments, **options)


def escape_value(value: Any) -> Any:
    """Escape a value that a template shows. Most are markup, of which `escape` makes a copy."""
    return value if type(value) is Markup else escape(value)


class CompiledTemplate(Template):
    """A template that passes markup on as it is."""

    @classmethod
    def _from_namespace(
        cls, environment: Environment, namespace: MutableMapping[str, Any], globals: Any
    ) -> Template:
        namespace["escape"] = escape_value
        return super()._from_namespace(environment, namespace, globals)


class TemplateEnvironment(Environment):
    """An environment whose templates share one dict of global variables."""

    context_class = TemplateContext
    template_class = CompiledTemplate

    def render_cached(self, template: str, **variables: Hashable) -> Markup:
        """Render a template once for each language and value of its variables.

        Its output must depend on nothing else. Menus, help and texts for scripts are rendered this
        way: they were a fifth of the work for a page.
        """
        return _render_part(self, reader_language.get(), template, tuple(sorted(variables.items())))

    def render_macro(self, template: str, name: str, *arguments: Hashable) -> Markup:
        """Render a macro once for each language and value of its arguments, as `render_cached`."""
        return _render_macro(self, reader_language.get(), template, name, arguments)

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return the global variables of a template."""
        return super().make_globals(d) if d else self.globals


MAX_TEXTS = 8_000  # about 3 MB
MAX_MACROS = 4_000  # about 4 MB, with hostile names of boards up to 100
MAX_PARTS = 500  # about 3 MB


@lru_cache(MAX_PARTS)
def _render_part(
    environment: Environment, language: str, template: str, variables: Iterable[tuple[str, Any]]
) -> Markup:
    part = Markup(environment.get_template(template).render(variables))  # noqa: S704 (escaped)
    assert 'method="post"' not in part, template  # a form belongs to one person
    return part


@lru_cache(MAX_MACROS)  # also by the language of the texts
def _render_macro(
    environment: Environment,
    language: str,
    template: str,
    name: str,
    arguments: tuple[Hashable, ...],
) -> Markup:
    return getattr(environment.get_template(template).module, name)(*arguments)


def translate_markup(message: str, /, **values: Any) -> Markup:
    """Return a text in the reader's language."""
    text = _load_text(reader_language.get(), message)
    return _insert(text, values) if values else text


def translate_markup_plural(singular: str, plural: str, num: int, /, **values: Any) -> Markup:
    """Return the form of a text for a number, which is the value `num`."""
    text = translation.translate_plural(singular, plural, num)
    return _insert(text, {"num": num, **values})


def translate_markup_in_context(context: str, message: str, /, **values: Any) -> Markup:
    """Return a text in a context."""
    text = _load_text_in_context(reader_language.get(), context, message)
    return _insert(text, values) if values else text


TEMPLATE_TEXTS: dict[str, Any] = {
    "_": translate_markup,
    "ngettext": translate_markup_plural,
    "pgettext": translate_markup_in_context,
}
"""The functions by the names that templates and the extraction use."""


@lru_cache(MAX_TEXTS)
def _load_text(language: str, message: str) -> Markup:
    """Return a text; without values it is complete."""
    text = translation.load_translations(language).gettext(message) if message else ""
    return Markup(text if "%(" in text else text % {})  # noqa: S704 (catalogues are trusted)


@lru_cache(MAX_TEXTS)
def _load_text_in_context(language: str, context: str, message: str) -> Markup:
    """Return a text in a context; without values it is complete."""
    text = translation.load_translations(language).pgettext(context, message)
    return Markup(text if "%(" in text else text % {})  # noqa: S704 (catalogues are trusted)


def _insert(text: str, values: dict[str, Any]) -> Markup:
    escaped = {
        name: value if isinstance(value, int | float) else escape(value)
        for name, value in values.items()
    }
    return Markup(str.__mod__(str(text), escaped))  # noqa: S704 (the values are escaped)


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
    "waiting": N_("New items that need you: %(count)d"),
    "places": N_("%(first)d to %(last)d of %(total)d"),
    "copied": N_("Copied"),
    "press_to_copy": N_("Not copied. Copy the selected text."),
    "too_early": N_("Ignored: this has only just appeared."),
    "still_loading": N_("Ignored: the request is still loading."),
    "other_open": N_("Ignored: another request is open. Press Enter to open this one first."),
    "not_sent": N_("Not sent: the server does not answer. Your text is kept."),
    "not_loaded": N_("Not loaded. Try again."),
    "no_results": N_("No results."),
    "search": N_("Search"),
    "remove": N_("Remove %(name)s"),
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
