"""Recognize the payloads of code hosts by their headers."""

from collections.abc import Mapping
from enum import StrEnum

from services.forges.github import read_github_payload
from services.forges.gitlab import read_gitlab_payload
from services.forges.payloads import ForgeReport, UnusedPayload

GITHUB_EVENT = "x-github-event"
GITLAB_EVENT = "x-gitlab-event"


class Forge(StrEnum):
    """The code hosts whose payloads are recognized.

    Gitea and Forgejo send the header and the fields of GitHub too.
    """

    GITHUB = "github"
    GITLAB = "gitlab"


def find_forge(headers: Mapping[str, str]) -> Forge | None:
    """Return the code host that has sent a payload. The names of headers are in lower case."""
    if GITHUB_EVENT in headers:
        return Forge.GITHUB
    return Forge.GITLAB if GITLAB_EVENT in headers else None


def read_payload(headers: Mapping[str, str], payload: object) -> ForgeReport:
    """Return what a payload of a code host is about. Raises UnusedPayload."""
    forge = find_forge(headers)
    if forge is Forge.GITHUB:
        return read_github_payload(headers[GITHUB_EVENT], payload)
    if forge is Forge.GITLAB:
        return read_gitlab_payload(payload)
    raise UnusedPayload("forge_unknown")


def name_event(headers: Mapping[str, str]) -> str:
    """Return the name of the event that a code host has sent, or ""."""
    return headers.get(GITHUB_EVENT) or headers.get(GITLAB_EVENT) or ""
