"""Jinja's environment without what it does for each include, call and page in vain.

Templates have no global variables of their own here, so all of them share those of the environment
as a plain dict. Jinja looks for them in a chain of mappings: for each include it lists the whole
chain, and for each import it compares it with that of the template that imports.
"""

from collections.abc import Hashable, MutableMapping
from functools import _lru_cache_wrapper
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from jinja2 import Environment
from jinja2.runtime import Context, Macro
from jinja2.utils import internalcode
from markupsafe import Markup

from web.ui.translation import reader_language

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
        options.pop("_block_vars", None)
        options.pop("_loop_vars", None)
        return function(*arguments, **options)


class TemplateEnvironment(Environment):
    """An environment whose templates share one dict of global variables."""

    context_class = TemplateContext

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._rendered: dict[Hashable, Markup] = {}

    def render_cached(self, template: str, **variables: Hashable) -> Markup:
        """Render a template once for each language and value of its variables.

        Its output must depend on nothing else. Menus, help and texts for scripts are rendered this
        way: they were a fifth of the work for a page.
        """
        key = (template, reader_language.get(), *sorted(variables.items()))
        part = self._rendered.get(key)
        if part is None:
            part = Markup(self.get_template(template).render(variables))  # noqa: S704 (escaped)
            assert 'method="post"' not in part, template  # a form belongs to one person
            self._rendered[key] = part
        return part

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return the global variables of a template."""
        return super().make_globals(d) if d else self.globals
