"""The files of a skill: their digest, how they are stored, and what a reviewer sees of them."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from core.text import is_storable

MAX_SKILL_LINES = 20_000  # of all files of a skill, which are reviewed on one page


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
    """Return what pages show of a stored file; None if it is no text.

    A program can be executed although some of its bytes are no UTF-8, so these bytes are escaped.
    Only a file with NUL characters is not shown.
    """
    if "text" in file:
        return str(file["text"])
    content = base64.b64decode(file["base64"])
    return None if b"\0" in content else content.decode(errors="backslashreplace")


def list_hidden_files(files: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paths of the files that pages do not show to a reviewer."""
    return [file["path"] for file in files if decode_shown_text(file) is None]
