"""Understanding what a model says, however it wraps it: JSON in words, options as texts. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic_core

FENCED = re.compile(r"```\w*[ \t]*\n(.*?)```", re.DOTALL)
TELLING = ("question", "status", "board_type")  # what an object has that is meant for us
LABELS = ("label", "text", "value", "title", "name")  # what models call the words of an option
QUESTIONS = ("question", "text", "message", "content", "prompt")
TYPED = re.compile(
    r"\b(i['\u2019]ll type|i will type|type it|type my|other|custom|free[ -]?text)\b", re.IGNORECASE
)


def understood(sent: object) -> object:
    """Return what a model sent as a question or a draft, as far as it can be taken for one."""
    said = unwrapped(sent) if isinstance(sent, str) else sent
    if isinstance(said, str):
        return {"question": said}
    if not isinstance(said, Mapping) or is_draft(said):
        return said
    words = question(said)
    kept = {name: value for name, value in said.items() if not (words and name == "status")}
    given = options(said.get("options"))
    choices = [option(one) for one in given] if isinstance(given, list) else given
    return {**kept, "question": words, "options": choices}


def unwrapped(text: str) -> Mapping[str, Any] | str:
    """Return the object that a text holds: alone, in a fenced block, or between other words.

    What holds none is returned as it is, but for the quotes around a text that is JSON itself.
    """
    whole = _read(text)
    if isinstance(whole, dict):
        return whole
    if isinstance(whole, str):
        text = whole
    found = (_read(part) for part in _parts(text))
    return next((one for one in found if isinstance(one, dict) and _is_meant(one)), text)


def question(said: Mapping[str, Any] | str) -> str:
    """Return the words of a question, whatever a model calls them; "" where there are none."""
    if isinstance(said, str):
        return said.strip()
    asked = said.get("question")
    if isinstance(asked, Mapping):
        return question(asked)
    words = (said.get(name) for name in QUESTIONS)
    return next((one.strip() for one in words if isinstance(one, str) and one.strip()), "")


def options(value: object) -> object:
    """Return options as a list: they may come as one text, or as an object of texts."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, Mapping):
        return [{"id": str(id), "label": label} for id, label in value.items()]
    return value


def option(value: object) -> object:
    """Return an option with `id` and `label`, where it is only text, or calls these otherwise."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return {"id": str(value), "label": str(value)}
    if isinstance(value, Mapping):
        label = next((value[name] for name in LABELS if value.get(name)), None)
        return {**value, "label": label, "id": str(value.get("id") or label or "")}
    return value


def label(value: object) -> str:
    """Return the words of an option, "" where it has none."""
    read = option(value)
    words = read.get("label") if isinstance(read, Mapping) else None
    return words.strip() if isinstance(words, str) else ""


def is_typed(words: str) -> bool:
    """Say whether an option asks for words of one's own (contract, agents 10.3)."""
    return bool(TYPED.search(words))


def is_draft(said: Mapping[str, Any] | str) -> bool:
    """Say whether this is a draft, and no question."""
    return not isinstance(said, str) and said.get("status") == "complete"


def _parts(text: str) -> Iterator[str]:
    """Yield what may be JSON within a text."""
    yield from FENCED.findall(text)
    first, last = text.find("{"), text.rfind("}")
    if first < last:
        yield text[first : last + 1]


def _read(text: str) -> object:
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False)
    except ValueError:
        return None


def _is_meant(found: Mapping[str, Any]) -> bool:
    return any(name in found for name in TELLING)
