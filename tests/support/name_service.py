"""The name service of this machine, with other answers."""

import socket
from collections.abc import Sequence
from typing import Any

import pytest

from core.http import address_policy


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> list[str]:
    """Make the name service give other answers with each question; return the questions."""
    asked: list[str] = []

    def ask(name: str, port: int) -> Any:
        ips = answers[min(len(asked), len(answers) - 1)]
        asked.append(name)
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, None, None, "", (ip, port))
            for ip in ips
        ]

    monkeypatch.setattr(address_policy, "_ask_name_service", ask)
    return asked
