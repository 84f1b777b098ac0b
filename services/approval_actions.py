"""The action that an approval allows: its kind, its content, and their hashes. Pure functions.

Kinds are compared independently of their spelling. docs/approvals.md describes the canonical form
of an action, so that anybody can compute the hashes.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from confusable_homoglyphs.confusables import confusables_data

from core.canonical_json import format_canonical_json, hash_json
from core.text import INVISIBLE_RANGES, remove_invisible

COMPLETION_KIND = "task.complete"  # the usual spelling

COMPLETION_KINDS = (
    *("complete", "complete_task", COMPLETION_KIND, "task.completion"),
    *("mark_complete", "mark_task_complete", "task.mark_complete"),
    *("done", "task.done", "mark_done", "mark_as_done", "mark_task_done", "task.mark_done"),
    *("move_to_done", "move_task_to_done", "task.move_to_done"),
    *("finish", "finish_task", "task.finish"),
    *("close_task", "task.close"),
)
"""The kinds of approvals that allow tasks to be moved to done, in any of their spellings."""

COMPLETION_WORDS = ("task", "complete")

MAX_NAMED_CHARACTERS = 10

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATORS = re.compile(r"[\W_]+")
_INVISIBLE = "".join(f"{chr(first)}-{chr(last)}" for first, last in INVISIBLE_RANGES)
_NOT_COMPARED = re.compile(rf"[\W_{_INVISIBLE}]+")  # separators, and letters that are not drawn


@lru_cache(1_000)
def is_completion_kind(kind: str) -> bool:
    """Return whether an approval of this kind allows its tasks to be moved to done.

    Case and separators do not matter: `Task.Done`, `task_done` and `taskDone` are the same.
    """
    return _join(kind) in _JOINED_COMPLETION_KINDS


def allows_completion(kind: str, chosen: bool | None) -> bool:
    """Return whether an approval allows its tasks to be moved to done: as chosen, or by kind."""
    return is_completion_kind(kind) if chosen is None else chosen


def normalize_kind(kind: str) -> tuple[str, ...]:
    """Return the words of a kind in lower case; the same words for all that complete tasks.

    `deploy.site`, `deploy_site` and `deploySite` are the same. Characters that are not drawn are
    left out, and forms of a letter, such as a wide one, are that letter.
    """
    if is_completion_kind(kind):
        return COMPLETION_WORDS
    text = _WORD_START.sub(" ", remove_invisible(unicodedata.normalize("NFKC", kind)))
    return tuple(filter(None, _SEPARATORS.split(_to_lower(text))))


def join_words(kind: str) -> str:
    """Return the words of `normalize_kind` without separators, in a fraction of its time."""
    joined = _join(kind)
    return "".join(COMPLETION_WORDS) if joined in _JOINED_COMPLETION_KINDS else joined


def read_kind(kind: str) -> tuple[tuple[str, ...], str]:
    """Return the words of a kind, and its skeleton."""
    return normalize_kind(kind), build_confusable_skeleton(kind)


@lru_cache(10_000)  # of requests and of rules
def build_confusable_skeleton(kind: str) -> str:
    """Return the letters of a kind with one letter for all that look like it (Unicode TS 39).

    Separators, case and accents do not matter. A capital I looks like an l, so i and l are one
    letter too.
    """
    text = unicodedata.normalize("NFKD", _replace_lookalikes(kind)).lower()
    return _NOT_COMPARED.sub("", _replace_lookalikes(text).replace("i", "l")).replace("rn", "m")


def list_unusual_characters(kind: str) -> list[str]:
    """Return the letters outside ASCII that look like letters of it, each once, at most ten.

    There are none in a kind that only another script can write, such as `оплата`.
    """
    unusual = [one for one in kind if not one.isascii() and _looks_like_ascii(one)]
    others = [one for one in kind if one.isalnum() and one not in unusual]
    is_mixed = not others or any(one.isascii() for one in others)
    return list(dict.fromkeys(unusual))[:MAX_NAMED_CHARACTERS] if is_mixed else []


def _looks_like_ascii(character: str) -> bool:
    text = unicodedata.normalize("NFKC", _replace_lookalikes(character))
    return text.isascii() and text.isalnum()


def _replace_lookalikes(text: str) -> str:
    return text.translate(_PROTOTYPES)


def _read_prototypes() -> dict[int, str]:
    """Return the letters that stand for each one that looks like them.

    The data has all letters of a class at its prototype, and the prototype at each of the others.
    In a class of two, the letter with the smaller number stands for both.
    """
    mark = "\u200e"  # around letters that are written from right to left
    classes = {
        text.strip(mark): [other["c"].strip(mark) for other in others]
        for text, others in confusables_data.items()
    }
    prototypes = {
        ord(text): unicodedata.normalize("NFKC", others[0]).lower()
        for text, others in classes.items()
        if len(text) == len(others) == 1
        and (len(classes[others[0]]) > 1 or others[0] < text or len(others[0]) > 1)
    }
    del prototypes[ord("m")]  # all letters that look like rn become m instead
    return prototypes


def _join(kind: str) -> str:
    return _NOT_COMPARED.sub("", _to_lower(unicodedata.normalize("NFKC", kind)))


def _to_lower(text: str) -> str:
    """Return a text in lower case, in which a sigma has one form: it has another after a word."""
    return text.lower().replace("\u03c2", "\u03c3")


_PROTOTYPES = _read_prototypes()
_JOINED_COMPLETION_KINDS = frozenset(map(_join, COMPLETION_KINDS))


FIELD_PREFIX = "fields."  # before the key of a custom field in a list of changed fields

TaskContent = Mapping[str, Any]
"""The reviewed content of a task: its title, description, and custom fields that have a value."""


class ActionObject(NamedTuple):
    """A task of an action, with the hash of its content."""

    task_id: UUID
    content_hash: str


class ContentChange(NamedTuple):
    """A field of a task that differs from what was reviewed. The values are JSON."""

    name: str  # `title`, `description`, or `fields.<key>`
    old: Any
    new: Any


def build_task_content(
    title: str, description: str | None, fields: Mapping[str, Any]
) -> TaskContent:
    """Return what is reviewed of a task: what defines its work, not what changes on the way."""
    set_fields = {key: value for key, value in fields.items() if value is not None}
    return {"title": title, "description": description, "fields": set_fields}


def hash_content(content: TaskContent) -> str:
    """Return the hash of the content of a task."""
    return hash_json(content)


def hash_action(
    board_id: UUID,
    kind: str,
    objects: Iterable[ActionObject],
    parameters: Mapping[str, Any] | None,
) -> str:
    """Return the hash of an action. The parameters are the whole payload of the request."""
    tasks = [
        {"task_id": str(one.task_id), "content_hash": one.content_hash} for one in sorted(objects)
    ]
    return hash_json(
        {"board_id": str(board_id), "kind": kind, "objects": tasks, "parameters": parameters}
    )


def list_changed_fields(reviewed: TaskContent, current: TaskContent) -> list[str]:
    """Return the names of the fields that differ: `title`, `description`, `fields.<key>`."""
    return sorted(change.name for change in list_changes(reviewed, current))


def list_changes(reviewed: TaskContent, current: TaskContent) -> list[ContentChange]:
    """Return the fields that differ with both values: the title, the description, other fields."""
    old, new = _flatten(reviewed), _flatten(current)
    return [
        ContentChange(name, old.get(name), new.get(name))
        for name in old | new
        if not _are_equal(old.get(name), new.get(name))
    ]


def _are_equal(old: Any, new: Any) -> bool:
    """Return whether two values have the same hash. Texts are long, and need no formatting."""
    if type(old) is str and type(new) is str:
        return old == new
    return format_canonical_json(old) == format_canonical_json(new)


def _flatten(content: TaskContent) -> dict[str, Any]:
    fields = {f"{FIELD_PREFIX}{key}": value for key, value in content["fields"].items()}
    return {"title": content["title"], "description": content["description"], **fields}
