"""The tools of the clients, and what a call of each does. Pure functions."""

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

from core.canonical_json import hash_json
from core.text import remove_invisible
from models import CodingClient, ToolAction
from services.tool_facts.effects import MAX_PATHS, Effects
from services.tool_facts.facts import ToolFacts
from services.tool_facts.paths import may_match_secret
from services.tool_facts.programs import read_host
from services.tool_facts.shell import read_shell

MAX_TOOL_LENGTH = 200  # characters
MAX_PATTERN_LENGTH = 500  # characters; longer ones are not compared
MAX_CACHED_COMMAND = 2_000  # characters


class ToolKind(StrEnum):
    """What a tool of a client does."""

    SHELL = "shell"
    READ = "read"
    LIST = "list"  # names of files, or lines that match
    WRITE = "write"
    PATCH = "patch"
    FETCH = "fetch"
    SEARCH_WEB = "search_web"
    INTERNAL = "internal"  # nothing happens outside of the client, or its parts ask themselves
    UNKNOWN = "unknown"


_NAMES: Mapping[CodingClient, Mapping[ToolKind, str]] = {
    CodingClient.CLAUDE: {
        ToolKind.SHELL: "Bash",
        ToolKind.READ: "Read NotebookRead",
        ToolKind.LIST: "Glob Grep LS",
        ToolKind.WRITE: "Write Edit MultiEdit NotebookEdit",
        ToolKind.FETCH: "WebFetch",
        ToolKind.SEARCH_WEB: "WebSearch",
        ToolKind.INTERNAL: "TodoWrite TodoRead TaskCreate TaskGet TaskUpdate TaskList TaskOutput"
        " TaskStop BashOutput KillShell KillBash ExitPlanMode EnterPlanMode"
        " AskUserQuestion ToolSearch Skill Task Agent ListAgents ReportFindings",
    },
    CodingClient.CODEX: {
        ToolKind.SHELL: "Bash",
        ToolKind.PATCH: "apply_patch",
        ToolKind.READ: "view_image",
        ToolKind.SEARCH_WEB: "web_search",
        ToolKind.INTERNAL: "update_plan request_user_input get_goal create_goal update_goal"
        " wait_agent close_agent spawn_agent send_input resume_agent",
    },
    CodingClient.COPILOT: {
        ToolKind.SHELL: "bash Bash",
        ToolKind.READ: "view Read",
        ToolKind.LIST: "rg grep glob Grep Glob",
        ToolKind.WRITE: "create edit str_replace_editor Write Edit",
        ToolKind.PATCH: "apply_patch",
        ToolKind.FETCH: "web_fetch WebFetch",
        ToolKind.SEARCH_WEB: "web_search",
        ToolKind.INTERNAL: "report_intent update_todo ask_user read_bash stop_bash list_bash skill"
        " task read_agent list_agents fetch_copilot_cli_documentation",
    },
    CodingClient.OPENCODE: {
        ToolKind.SHELL: "bash",
        ToolKind.READ: "read",
        ToolKind.LIST: "glob grep list",
        ToolKind.WRITE: "write edit multiedit",
        ToolKind.PATCH: "patch apply_patch",
        ToolKind.FETCH: "webfetch",
        ToolKind.SEARCH_WEB: "websearch codesearch",
        ToolKind.INTERNAL: "todowrite todoread task skill question invalid plan_enter plan_exit",
    },
    CodingClient.GEMINI: {
        ToolKind.SHELL: "run_shell_command",
        ToolKind.READ: "read_file read_many_files",
        ToolKind.LIST: "list_directory glob grep_search search_file_content",
        ToolKind.WRITE: "write_file replace",
        ToolKind.FETCH: "web_fetch",
        ToolKind.SEARCH_WEB: "google_web_search",
        ToolKind.INTERNAL: "write_todos update_topic enter_plan_mode exit_plan_mode ask_user"
        " activate_skill invoke_agent list_background_processes"
        " read_background_output complete_task",
    },
}
TOOLS = {
    client: {name: kind for kind, names in kinds.items() for name in names.split()}
    for client, kinds in _NAMES.items()
}
"""The tools of the tested versions. All others are unknown, such as those of MCP servers."""

_ANY_CLIENT = {name: kind for kinds in TOOLS.values() for name, kind in kinds.items()}


def find_tool_kind(tool: str, client: CodingClient | None = None) -> ToolKind:
    """Return what a tool of a client does; without a client, what a tool of this name does."""
    return (TOOLS[client] if client else _ANY_CLIENT).get(tool, ToolKind.UNKNOWN)


_OWN_NAME = "[a-z]+(_[a-z]+)*"  # with `__` it can be that of another server
_OWN_TOOLS: Mapping[CodingClient, str] = {
    CodingClient.CLAUDE: rf"mcp__mission[-_]control__{_OWN_NAME}",
    CodingClient.CODEX: rf"mcp__mission[-_]control__{_OWN_NAME}",
    CodingClient.COPILOT: rf"mission-control[-/]{_OWN_NAME}",
    CodingClient.OPENCODE: rf"mission-control_{_OWN_NAME}",
    CodingClient.GEMINI: rf"mcp_mission-control_{_OWN_NAME}",
}

_PATH_KEYS = frozenset(
    (
        "path",
        "paths",
        "file_path",
        "filePath",
        "notebook_path",
        "absolute_path",
        "dir_path",
        "include",
    )
)
_LISTS_NAMES = frozenset(("Glob", "LS", "glob", "list", "list_directory"))
_GLOB_KEYS = frozenset(("glob", "pattern", "include_pattern", "include"))
_FOLDER_KEYS = frozenset(("workdir", "dir_path", "cwd", "directory"))
_TEXT_KEYS: Mapping[ToolKind, frozenset[str]] = {
    ToolKind.SHELL: frozenset(("command", "description", "shellId", "mode")),
    ToolKind.READ: frozenset(("pages",)),
    ToolKind.LIST: frozenset(
        (
            *("pattern", "glob", "include", "include_pattern", "exclude_pattern", "output_mode"),
            *("type", "ignore", "file_filtering_options"),
        )
    ),
    ToolKind.WRITE: frozenset(
        (
            *("content", "old_string", "new_string", "oldString", "newString", "edits"),
            *("new_source", "cell_id", "cell_type", "edit_mode", "instruction", "file_text"),
            *("old_str", "new_str", "command", "insert_text"),
        )
    ),
}
_URL = re.compile(r"(?i)[a-z][a-z0-9+.-]{0,20}://[^\s<>\"'`)\]}]{1,2000}")
_PATCH_KEYS = frozenset(("command", "input", "patch", "patchText"))
_FETCH_KEYS = frozenset(("url", "prompt", "format"))
_PATCH_MARKS = ("*** Begin Patch", "*** End Patch", "*** End of File")
_PATCH_LINE = re.compile(r"^\*\*\* (?!Begin Patch$|End Patch$|End of File$)([A-Za-z ]+): (.*)$")


def read_facts(
    client: CodingClient, tool: str, input: Mapping[str, Any], cwd: str | None
) -> ToolFacts:
    """Return what a call does. The input and the folder are the words of the client."""
    if len(tool) > MAX_TOOL_LENGTH or not tool.isascii() or not tool.isprintable():
        return ToolFacts(client=client, tool=tool, doubt="tool")
    if re.fullmatch(_OWN_TOOLS[client], tool):
        return ToolFacts(client=client, tool=tool, actions=frozenset({ToolAction.OWN_TOOL}))
    kind = TOOLS[client].get(tool, ToolKind.UNKNOWN)
    if kind is ToolKind.SHELL:
        return _read_shell_tool(client, tool, input, cwd)
    effects = Effects(cwd)
    if kind is ToolKind.INTERNAL:
        if input.get("isolation") not in (None, "", "worktree"):  # its calls would ask nobody
            effects.act(ToolAction.OTHER_TOOL)
    elif kind is ToolKind.UNKNOWN:
        effects.act(ToolAction.OTHER_TOOL)
    elif kind is ToolKind.FETCH:
        _read_urls(input, effects)
    elif kind is ToolKind.SEARCH_WEB:
        effects.connect()
    elif kind is ToolKind.PATCH:
        _read_patch(input, effects)
    else:
        _read_files(kind, tool, input, effects)
    return effects.build_facts(client, tool)


def _read_shell_tool(
    client: CodingClient, tool: str, input: Mapping[str, Any], cwd: str | None
) -> ToolFacts:
    command = input.get("command")
    folders = [input[key] for key in _FOLDER_KEYS if input.get(key) not in (None, "", cwd)]
    if isinstance(command, str) and len(command) <= MAX_CACHED_COMMAND and not folders:
        facts = _read_cached_command(client, tool, command, cwd)
    else:
        effects = Effects(cwd)
        for folder in folders:
            if isinstance(folder, str):
                effects.change_folder(folder)
            else:
                effects.doubt("input")
        if isinstance(command, str):
            read_shell(command, effects)
        else:
            effects.doubt("input")
        facts = effects.build_facts(client, tool)
    known = _TEXT_KEYS[ToolKind.SHELL] | _FOLDER_KEYS
    is_known = not any(key not in known and _has_text(value) for key, value in input.items())
    if is_known or not facts.is_understood:
        return facts
    return replace(facts, doubt="input")


@lru_cache(1_000)
def _read_cached_command(
    client: CodingClient, tool: str, command: str, cwd: str | None
) -> ToolFacts:
    effects = Effects(cwd)
    read_shell(command, effects)
    return effects.build_facts(client, tool)


def _read_files(kind: ToolKind, tool: str, input: Mapping[str, Any], effects: Effects) -> None:
    given = [input[key] for key in input if key in _PATH_KEYS]
    paths = [one for value in given for one in _list_texts(value)]
    _check_keys(input, _PATH_KEYS | _TEXT_KEYS[kind], effects)
    if any(_has_text(value) and not _list_texts(value) for value in given):
        effects.doubt("input")
    if any(_has_hidden_characters(one) for one in paths):
        effects.doubt("characters")
    if effects.project is not None and any(_has_other_form(one) for one in paths):
        effects.doubt("characters")
    if kind is ToolKind.LIST:
        _list_files(tool, paths, input, effects)
        return
    if not paths:
        effects.doubt("input")
    if len(paths) > MAX_PATHS:
        effects.doubt("too_complex")
    for one in paths[:MAX_PATHS]:
        if kind is ToolKind.READ:
            effects.read(one)
            if re.search(r"[*?\[{]", one):
                _read_pattern(one, effects, lists_names=False)
        else:
            effects.write(one)


def _list_files(tool: str, paths: list[str], input: Mapping[str, Any], effects: Effects) -> None:
    """Read a tool that lists names of files, or lines in them that match."""
    lists_names = tool in _LISTS_NAMES
    for one in paths or ["."]:
        effects.read(one, is_listed=lists_names)
    for key in _GLOB_KEYS if lists_names else _GLOB_KEYS - {"pattern"}:
        for one in _list_texts(input.get(key)):
            _read_pattern(one, effects, lists_names=lists_names)


def _read_patch(input: Mapping[str, Any], effects: Effects) -> None:
    """Read the files that a patch of Codex names. A line that names none is a doubt."""
    text = "\n".join(value for value in input.values() if isinstance(value, str))
    _check_keys(input, _PATCH_KEYS, effects)
    if not text.lstrip().startswith("*** Begin Patch") or len(input) > 1:
        effects.doubt("input")  # such as a script that changes the folder first
    found = False
    for line in map(str.strip, text.split("\n")):  # as the clients do
        header = _PATCH_LINE.match(line)
        if header is None:
            if line.startswith("***") and line not in _PATCH_MARKS:
                effects.doubt("input")
            continue
        verb, path = header[1], header[2].strip()
        found = True
        if verb == "Delete File":
            effects.delete(path)
        elif verb in ("Add File", "Update File", "Move to"):
            effects.write(path)
        else:
            effects.doubt("input")
        if _has_hidden_characters(path):
            effects.doubt("characters")
    if not found:
        effects.doubt("input")


def _read_urls(input: Mapping[str, Any], effects: Effects) -> None:
    urls = [text.strip() for text in _list_texts(input.get("url"))]
    _check_keys(input, _FETCH_KEYS, effects)
    for text in _list_texts(input.get("prompt")):
        urls += [found[0].rstrip(".,;:!?") for found in _URL.finditer(text)]
    for url in urls:
        host = read_host(url) if "://" in url else None
        if host is None:
            effects.doubt("host")
        effects.connect(host)
    if not urls:
        effects.connect()


def _read_pattern(pattern: str, effects: Effects, *, lists_names: bool) -> None:
    """Read a pattern of files, which can lead outside, or name files with secrets."""
    if re.search(r"[{,](/|~|\.\.)", pattern) or len(pattern) > MAX_PATTERN_LENGTH:
        effects.doubt("pattern")
    if pattern.startswith(("/", "~")) or ".." in pattern:
        effects.read(re.split(r"[*?\[{]", pattern)[0] or "/", is_listed=lists_names)
    if lists_names or len(pattern) > MAX_PATTERN_LENGTH:
        return
    # a text can have several patterns; a pattern also finds hidden and ignored files
    for one in re.split(r"[\s,]+(?![^{]*\})", pattern):
        name = one.rstrip("/").rpartition("/")[2].lower()
        if name and not one.startswith("!") and may_match_secret(name, finds_hidden=True):
            effects.act(ToolAction.READ_SECRET)


def _check_keys(input: Mapping[str, Any], known: frozenset[str], effects: Effects) -> None:
    """Doubt an input that has more than what is known of its tool."""
    if any(_has_text(value) for key, value in input.items() if key not in known):
        effects.doubt("input")


def _list_texts(value: object) -> list[str]:
    """Return a text, or the texts in a list."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _has_text(value: object) -> bool:
    """Return whether a value can name a file or a command."""
    return isinstance(value, str | list | dict) and bool(value)


def _has_other_form(path: str) -> bool:
    """Return whether a client may take a text for another path: of Windows, or an address."""
    return not path.strip() or "\\" in path or re.match(r"(?i)[a-z][a-z0-9+.-]*:", path) is not None


def _has_hidden_characters(text: str) -> bool:
    return remove_invisible(text) != text or "\n" in text


def hash_request(tool: str, input: Mapping[str, Any], cwd: str | None) -> str:
    """Return the hash of a call: equal for calls that do the same in the same folder.

    The description of a command is left out: it has no effect, and changes with each call. Other
    tools, such as one that creates an issue, can have a description that matters.
    """
    effective = dict(input)
    if any(names.get(tool) is ToolKind.SHELL for names in TOOLS.values()):
        effective.pop("description", None)
    return hash_json({"tool": tool, "input": effective, "cwd": cwd})
