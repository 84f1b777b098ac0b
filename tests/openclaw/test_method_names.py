"""Gateway methods are called through openclaw.api, so their names stay inside openclaw."""

import ast
from pathlib import Path

from openclaw import METHODS, api, request_api

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("api", "cli", "core", "models", "services", "web", "worker")
NAMES = frozenset(name for name in METHODS if "." in name)
"""Names without a dot, like `health`, are ordinary words elsewhere."""


def strings_in(file: Path) -> set[str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    constants = (node.value for node in nodes if isinstance(node, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def test_no_gateway_method_name_is_a_string_outside_openclaw() -> None:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).glob("**/*.py")):
            assert not strings_in(file) & NAMES, file.relative_to(ROOT)


def test_the_typed_calls_use_only_methods_that_gateways_offer() -> None:
    modules = (api, request_api)
    texts = {text for module in modules for text in strings_in(Path(module.__file__))}
    called = {text for text in texts if "." in text and " " not in text}
    called -= {api.HEARTBEAT_FILE, api.COMMAND.pattern}
    assert called
    assert called <= NAMES
