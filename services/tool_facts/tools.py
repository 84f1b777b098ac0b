"""The tools of the clients, and what a call of each does. Pure functions."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from models import CodingClient, ToolAction
from services.tool_facts.facts import ToolFacts
from services.tool_facts.paths import find_project, read_path
from services.tool_facts.shell import read_command

OWN_SERVERS = r"mission[-_]control"
OWN_TOOLS = re.compile(
    rf"mcp__{OWN_SERVERS}__[a-z_]+|mcp_{OWN_SERVERS}_[a-z_]+|{OWN_SERVERS}[-_/][a-z_]+"
)


class ToolKind(StrEnum):
    """What a tool of a client does."""

    SHELL = "shell"
    READ = "read"
    LIST = "list"  # names of files, or lines that match
    WRITE = "write"
    PATCH = "patch"
    FETCH = "fetch"
    SEARCH_WEB = "search_web"
    NOTES = "notes"  # of the client itself: nothing happens outside of it
    UNKNOWN = "unknown"


TOOLS: Mapping[str, ToolKind] = {
    name: kind
    for kind, names in {
        ToolKind.SHELL: "bash run_shell_command shell exec_command local_shell",
        ToolKind.READ: "read read_file read_many_files view notebookread view_image",
        ToolKind.LIST: "glob grep ls list list_directory search_file_content grep_search rg find",
        ToolKind.WRITE: "write edit multiedit notebookedit write_file replace create"
        " str_replace_editor",
        ToolKind.PATCH: "apply_patch patch",
        ToolKind.FETCH: "webfetch web_fetch fetch",
        ToolKind.SEARCH_WEB: "websearch web_search google_web_search codesearch",
        ToolKind.NOTES: "todowrite todoread write_todos update_plan update_todo report_intent"
        " exitplanmode enterplanmode askuserquestion ask_user question toolsearch",
    }.items()
    for name in names.split()
}
PATH_KEYS = frozenset(
    [
        "path",
        "paths",
        "file_path",
        "filepath",
        "notebook_path",
        "absolute_path",
        "dir_path",
        "directory",
        "include",
        "filename",
    ]
)
URL = re.compile(r"https?://[^\s<>\"']{1,2000}", re.IGNORECASE)
PATCHED = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.*)$|^\*\*\* (Move) to: (.*)$", re.M)


def read_facts(
    client: CodingClient, tool: str, input: Mapping[str, Any], cwd: str | None
) -> ToolFacts:
    """Return what a call does. The input and the folder are the words of the client."""
    if OWN_TOOLS.fullmatch(tool):
        return ToolFacts(client=client, tool=tool, actions=frozenset({ToolAction.OWN_TOOL}))
    kind = TOOLS.get(tool.lower(), ToolKind.UNKNOWN)
    if kind is ToolKind.NOTES:
        return ToolFacts(client=client, tool=tool)
    if kind is ToolKind.UNKNOWN:
        action = ToolAction.OTHER_TOOL
        return ToolFacts(client=client, tool=tool, actions=frozenset({action}))
    if kind is ToolKind.SHELL:
        command = input.get("command") or input.get("cmd")
        commands, doubt = read_command(command) if isinstance(command, str) else ((), "input")
        return ToolFacts(
            client=client,
            tool=tool,
            actions=frozenset().union(*(one.actions for one in commands)),
            commands=commands,
            is_understood=doubt is None,
            doubt=doubt,
        )
    if kind in (ToolKind.FETCH, ToolKind.SEARCH_WEB):
        urls = [match[0] for text in _list_texts(input.values()) for match in URL.finditer(text)]
        hosts = [host for url in urls if (host := _read_host(url))]
        is_understood = kind is ToolKind.SEARCH_WEB or (bool(hosts) and len(hosts) == len(urls))
        return ToolFacts(
            client=client,
            tool=tool,
            actions=frozenset({ToolAction.NETWORK}),
            hosts=tuple(dict.fromkeys(hosts)),
            is_understood=is_understood,
            doubt=None if is_understood else "host",
        )
    return _read_file_tool(client, tool, kind, input, cwd)


def _read_file_tool(
    client: CodingClient, tool: str, kind: ToolKind, input: Mapping[str, Any], cwd: str | None
) -> ToolFacts:
    actions, doubt = set(), None
    if kind is ToolKind.PATCH:
        text = "\n".join(_list_texts(input.values()))
        found = list(PATCHED.finditer(text))
        paths = [match[2] or match[4] for match in found]
        if any(match[1] == "Delete" or match[3] for match in found):
            actions.add(ToolAction.DELETE)
    else:
        named = [value for key, value in input.items() if key.lower() in PATH_KEYS]
        paths = list(_list_texts(named)) or (["."] if kind is ToolKind.LIST else [])
    if not paths:
        doubt = "path"
    project = find_project(cwd)
    read = [read_path(path, cwd, project) for path in paths]
    for one in read:
        if kind in (ToolKind.READ, ToolKind.LIST):
            actions.add(ToolAction.READ if one.is_inside else ToolAction.READ_OUTSIDE)
            if one.is_secret:
                actions.add(ToolAction.READ_SECRET)
        else:
            actions.add(ToolAction.WRITE_INSIDE if one.is_inside else ToolAction.WRITE_OUTSIDE)
            if one.is_client_config:
                actions.add(ToolAction.WRITE_CLIENT_CONFIG)
            if one.is_git:
                actions.add(ToolAction.WRITE_GIT)
    return ToolFacts(
        client=client,
        tool=tool,
        actions=frozenset(actions),
        paths=tuple(dict.fromkeys(one.text for one in read)),
        is_understood=doubt is None,
        doubt=doubt,
    )


def _list_texts(values: Iterable[object]) -> list[str]:
    """Return the texts in values and in their lists."""
    texts = []
    for value in values:
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list):
            texts += [one for one in value if isinstance(one, str)]
    return texts


def _read_host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
