"""What payloads of code hosts are about, in terms that do not depend on the code host.

Payloads are of strangers: each value is read with its type and a limit, and a URL only if it is on
the host of the repository.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from core.text import replace_unstorable, to_one_line

MAX_URL_LENGTH = 1_000  # characters
MAX_NAME_LENGTH = 200  # characters of titles, branches and names
MAX_BODY_LENGTH = 20_000  # characters
MAX_REFERENCES = 20  # to tasks or issues in one text

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class CheckStatus(StrEnum):
    """The state of a check, or of all checks of a commit."""

    RUNNING = "running"
    PASSING = "passing"
    FAILING = "failing"


class ChangeState(StrEnum):
    """The state of a pull request or merge request."""

    OPEN = "open"
    DRAFT = "draft"
    MERGED = "merged"
    CLOSED = "closed"


class IssueAction(StrEnum):
    """What happened to an issue."""

    OPENED = "opened"
    CLOSED = "closed"
    REOPENED = "reopened"
    UPDATED = "updated"


@dataclass(frozen=True)
class Repository:
    """The repository, or project, that a payload is about."""

    name: str
    url: str


@dataclass(frozen=True)
class IssueReport:
    """Something happened to an issue."""

    repository: Repository
    action: IssueAction
    url: str
    number: int
    title: str
    body: str


@dataclass(frozen=True)
class CheckReport:
    """A check of a commit has a new state."""

    repository: Repository
    name: str
    state: CheckStatus
    branch: str
    commit: str  # its hash
    url: str
    change_url: str = ""  # of the merge request, if the payload names it


@dataclass(frozen=True)
class ChangeReport:
    """A pull request or merge request has a new state."""

    repository: Repository
    state: ChangeState
    url: str
    number: int
    title: str
    branch: str
    commit: str  # the hash of its last commit
    task_ids: Sequence[UUID]  # that its texts name
    closed_issue_urls: Sequence[str]


ForgeReport: TypeAlias = IssueReport | CheckReport | ChangeReport


class UnusedPayload(Exception):
    """The payload is not used, for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PayloadReader:
    """Reads the fields of an object in a payload."""

    def __init__(self, value: object) -> None:
        self._values: Mapping[str, Any] = value if isinstance(value, Mapping) else {}

    def read(self, name: str) -> "PayloadReader":
        """Return the reader of an object."""
        return PayloadReader(self._values.get(name))

    def read_all(self, name: str, limit: int) -> "list[PayloadReader]":
        """Return the readers of the first objects of a list."""
        values = self._values.get(name)
        return [PayloadReader(one) for one in values[:limit]] if isinstance(values, list) else []

    def text(self, name: str, max_length: int = MAX_NAME_LENGTH) -> str:
        """Return a text as one line, or "" if there is none."""
        return to_one_line(replace_unstorable(self._cut(name, max_length)))

    def body(self, name: str) -> str:
        """Return a text with its lines."""
        return self._cut(name, MAX_BODY_LENGTH)

    def _cut(self, name: str, max_length: int) -> str:
        value = self._values.get(name)
        return value[:max_length] if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        """Return a whole number above 0. Raises UnusedPayload if there is none."""
        value = self._values.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53:
            return value
        raise UnusedPayload("malformed")

    def flag(self, name: str) -> bool:
        """Return whether a field is true."""
        return self._values.get(name) is True

    def url(self, name: str, host_url: str) -> str:
        """Return a URL on the host of another one. Raises UnusedPayload if it is not."""
        value = self._values.get(name)
        if isinstance(value, str) and (url := check_url(value, host_url)):
            return url
        raise UnusedPayload("foreign_url")


def check_url(url: str, host_url: str) -> str:
    """Return a URL that browsers read as we do and that is on the same host, else ""."""
    own, host = _read_origin(url), _read_origin(host_url)
    return url if own is not None and own == host else ""


def _read_origin(url: str) -> tuple[str, str, int | None] | None:
    is_plain = url.isascii() and url.isprintable() and not set(url) & set(' \\"<>()[]*`@|')
    if not is_plain or len(url) > MAX_URL_LENGTH:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return None
    return parts.scheme, host, port


def require(text: str) -> str:
    """Return a text that must not be empty. Raises UnusedPayload."""
    if not text:
        raise UnusedPayload("malformed")
    return text


def find_task_ids(*texts: str) -> list[UUID]:
    """Return the ids in texts, as they are in addresses of tasks, each once."""
    found = (match for text in texts for match in _UUID.findall(text))
    return [UUID(one) for one in list(dict.fromkeys(map(str.lower, found)))[:MAX_REFERENCES]]


def find_closed_issues(
    text: str, repository: Repository, *, issue_path: str, keywords: str
) -> list[str]:
    """Return the URLs of the issues that a text closes: `#7`, `group/name#7` or their URL.

    `issue_path` is what is between the URL of a repository and the number.
    """
    root = repository.url[: len(repository.url) - len(repository.name)]
    names = r"[\w.-]{1,100}(?:/[\w.-]{1,100}){1,4}"
    pattern = re.compile(
        rf"\b(?:{keywords}):?\s{{1,3}}"
        rf"(?:(?P<name>{names})?#|{re.escape(root)}(?P<path>{names}?){re.escape(issue_path)})"
        r"(?P<number>\d{1,9})\b",
        re.IGNORECASE | re.ASCII,
    )
    urls = [
        f"{root}{match['name'] or match['path'] or repository.name}{issue_path}{match['number']}"
        for match in pattern.finditer(text)
    ]
    return list(dict.fromkeys(urls))[:MAX_REFERENCES]
