"""What may be stored of the input of a tool call."""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

MAX_EXCERPT = 2_000  # bytes
MASK = "•••"

_NAME = (
    r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credential)[a-z0-9_-]{0,20}"
)
_SECRET_OPTION = re.compile(rf"(?i)--?[a-z0-9_-]{{0,40}}{_NAME}")
_SECRETS = (
    # `name=value`, `"name": "value"`, `--name value` with a name that says secret
    re.compile(
        rf"(?i)({_NAME}[\"']?(?:\s{{0,3}}[=:]\s{{0,3}}|\s{{1,3}})[\"']?)([^\s\"',;&|]{{4,4000}})"
    ),
    # `-u name:password`, but not `-u 1000:1000`
    re.compile(
        r"((?:^|\s)(?:-u|--user|--proxy-user)(?:=|\s{1,3})[\"']?[^\s:\"']{1,200}:)"
        r"(?!\d{1,9}(?:[\s\"']|\Z))([^\s\"']{1,400})"
    ),
    re.compile(r"(?i)(\b(?:bearer|basic|token)\s{1,3})([a-z0-9._~+/=-]{8,4000})"),
    re.compile(r"(://[^/\s:@]{0,200}:)([^/\s@]{1,400})(?=@)"),
    # prefixes of well-known services, and of our own tokens
    re.compile(
        r"(\b)((?:sk|pk|rk|ghp|gho|ghu|ghs|ghr|glpat|github_pat|xox[abprs]|mc_[a-z]{2,12}|npm|AKIA|ASIA"
        r"|AIza|ya29|eyJ)[A-Za-z0-9_.-]{14,4000})"
    ),
    re.compile(r"(-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)([\s\S]{1,20000}?)(?=-----END|\Z)"),
)


def mask_secrets(text: str) -> str:
    """Replace what looks like a password, a token or a private key."""
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{MASK}", text)
    return text


def mask_words(words: Iterable[str]) -> list[str]:
    """Mask the words of a command; the value of an option can be the next word."""
    masked = []
    for before, word in pairwise(("", *words)):
        start = "-u " if before in ("-u", "--user", "--proxy-user") else ""
        is_secret = _SECRET_OPTION.fullmatch(before) is not None
        masked.append(MASK if is_secret else mask_secrets(start + word).removeprefix(start))
    return masked


def build_excerpt(input: Mapping[str, Any]) -> str:
    """Return the beginning of an input with secrets masked, at most MAX_EXCERPT bytes."""
    text = mask_secrets(json.dumps(input, ensure_ascii=False)[: 2 * MAX_EXCERPT])
    return text.encode(errors="replace")[:MAX_EXCERPT].decode(errors="ignore")
