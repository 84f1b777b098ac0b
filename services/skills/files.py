"""The files of a skill: their digest, how they are stored and shown, and what SKILL.md says.

The front matter of SKILL.md is YAML. Only what describes a skill is read: scalars at the top level.
No YAML library is used, because aliases and nesting can need much time and memory.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.text import LINE_BREAKS, is_storable, replace_unstorable, to_one_line

MAX_SKILL_LINES = 20_000  # of all files of a skill, which are reviewed on one page
MAX_HEAD_LENGTH = 20_000  # characters of a file that are looked at
MAX_VALUE_LENGTH = 2_000  # characters of a value
MARK = "---"
KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,40}):(?:[ \t]+(.*))?")
BLOCK_SCALAR = re.compile(r"[|>][+-]?[1-9]?[+-]?")
ESCAPES = {"n": " ", "t": " ", "r": " "}  # values are one line


def digest_files(files: Mapping[str, bytes]) -> str:
    """Return the digest of the files of a skill.

    It is the SHA-256 of the lines that `sha256sum` prints for the files, sorted by the bytes of
    their paths.
    """
    lines = [
        f"{hashlib.sha256(content).hexdigest()}  {path}\n"
        for path, content in sorted(files.items(), key=lambda item: item[0].encode())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def encode_file(path: str, content: bytes) -> dict[str, Any]:
    """Return a file as it is stored: its text, or base64 if it is none."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if is_storable(text):
        return {"path": path, "size": len(content), "text": text}
    return {"path": path, "size": len(content), "base64": base64.b64encode(content).decode()}


def count_line_breaks(content: bytes) -> int:
    """Return the number of line breaks. Pages begin a new line at a carriage return, too."""
    return content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")


def decode_shown_text(file: Mapping[str, Any]) -> str | None:
    """Return what pages show of a stored file; None if it is not text.

    A program can be executed although some of its bytes are not UTF-8, so these bytes are escaped.
    Only a file with NUL characters is not shown.
    """
    if "text" in file:
        return str(file["text"])
    content = base64.b64decode(file["base64"])
    return None if b"\0" in content else content.decode(errors="backslashreplace")


def list_hidden_files(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paths of the files that pages do not show to a reviewer."""
    return [file["path"] for file in files if decode_shown_text(file) is None]


def parse_skill_text(content: str) -> tuple[Mapping[str, str], str, str]:
    """Return the values of the front matter, the first heading, and the first line of text."""
    lines = LINE_BREAKS.sub("\n", content[:MAX_HEAD_LENGTH].removeprefix("\ufeff")).split("\n")
    ends = (at for at, line in enumerate(lines) if at and line.rstrip() == MARK)
    end = next(ends, 0) if lines[0].rstrip() == MARK else 0  # of the front matter
    values, body = _parse_values(lines[1:end]), [line.strip() for line in lines[end:]]
    headings = (line.lstrip("#") for line in body if line.startswith("#"))
    texts = (line for line in body if line and not line.startswith("#") and line != MARK)
    return values, clean_value(next(headings, "")), clean_value(next(texts, ""))


def _parse_values(lines: Sequence[str]) -> Mapping[str, str]:
    """Return the scalars at the top level; the first one of a name counts."""
    values: dict[str, str] = {}
    name, parts = "", list[str]()
    for line in [*lines, "end:"]:
        if line[:1] in (" ", "\t") or not line.strip():
            parts.append(line.strip())
            continue
        if name:
            values.setdefault(name, _parse_scalar(parts))
        found = KEY.fullmatch(line.rstrip())
        name, parts = (found[1].lower(), [found[2] or ""]) if found else ("", [])
    return values


def _parse_scalar(parts: Sequence[str]) -> str:
    first = parts[0].strip()
    if BLOCK_SCALAR.fullmatch(first):
        return clean_value(" ".join(parts[1:]))
    text = " ".join(parts).strip()
    if text.startswith('"'):
        return clean_value(_unescape(text[1:]))
    if text.startswith("'"):
        quoted, _end, _rest = text[1:].replace("''", "\0").partition("'")
        return clean_value(quoted.replace("\0", "'"))
    return clean_value(re.split(r"(?:^|\s)#", text, maxsplit=1)[0])


def _unescape(text: str) -> str:
    """Return a text up to the closing quotation mark, with its escaped characters."""
    result: list[str] = []
    is_escaped = False
    for character in text:
        if is_escaped:
            result.append(ESCAPES.get(character, character))
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == '"':
            break
        else:
            result.append(character)
    return "".join(result)


def clean_value(value: object) -> str:
    """Return a value of others as one short line that can be stored, or "" if it is not text."""
    if not isinstance(value, str):
        return ""
    return to_one_line(replace_unstorable(value[: 4 * MAX_VALUE_LENGTH]))[:MAX_VALUE_LENGTH]
