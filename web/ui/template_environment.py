"""Jinja's environment without what it does for each include and call in vain.

Templates have no global variables of their own here, so all of them share those of the environment
as a plain dict. Jinja looks for them in a chain of mappings: for each include it lists the whole
chain, and for each import it compares it with that of the template that imports.
"""

from collections.abc import MutableMapping
from functools import _lru_cache_wrapper
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from jinja2 import Environment
from jinja2.runtime import Context, Macro
from jinja2.utils import internalcode

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

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return the global variables of a template."""
        return super().make_globals(d) if d else self.globals
