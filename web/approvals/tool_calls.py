"""Tool calls of coding agents, as the pages of their approvals show them, and edits of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from core.db.reads import Source
from core.errors import Invalid
from models import CodingClient, Member, PolicyRule
from services import tool_calls
from services.approvals import EDITED_INPUT, ApprovalDetail
from services.coding_sessions import CLIENT_NAMES
from services.policies import ReferenceNames
from services.tool_calls import CallExcerpt, GrantScope, RequestedCall, WaitState
from services.tool_facts import ToolKind, find_tool_kind
from web.approvals.payload import PayloadRow
from web.approvals.sentences import describe_arrival
from web.policies import build_rule_rows
from web.ui.forms import Form
from web.ui.text_comparison import list_changes
from web.ui.text_display import format_value
from web.ui.translation import N_, _
from web.ui.unified_diff import DiffLine

COMMAND_KEY = "command"  # of an input: the text that a shell executes
WORDS_OF_THE_AGENT = "description"  # the key in an input of what has no effect
FILE_KEYS = ("file_path", "filePath", "notebook_path", "path")  # of an input: which file
REPLACEMENT_KEYS = ("old_string", "new_string")  # of an input that changes a file
MAX_EXCERPT = 200  # characters of an input in a row
DELETED_EXCERPT = "excerpt"  # the key in a payload whose input was deleted

ASKING_REASONS = {
    "client_config": N_("It can change the settings of a client, which always needs a person."),
    "no_rule": N_("No rule of the approval policy applies to it, so one person decides."),
    "not_understood": N_("What it does is not known, so a person must decide."),
    "connection_test": N_(
        "It tests the connection, and is held for a little more than a minute even if you decide"
        " earlier."
    ),
}
"""Why people are asked, if no rule says so."""


def find_command_key(payload: Mapping[str, Any]) -> str | None:
    """Return the key of the text that a shell executes, if the call is that of a shell."""
    client, values = payload.get("client"), payload.get("input")
    if client not in list(CodingClient) or not isinstance(values, Mapping):
        return None
    kind = find_tool_kind(str(payload.get("tool")), CodingClient(client))
    is_command = kind is ToolKind.SHELL and isinstance(values.get(COMMAND_KEY), str)
    return COMMAND_KEY if is_command else None


def build_excerpt(payload: Mapping[str, Any]) -> str:
    """Return the beginning of what a tool call is about, for a row: a command, or its input."""
    key, values = find_command_key(payload), payload.get("input")
    if key is not None and isinstance(values, Mapping):
        text = str(values[key])
    elif isinstance(values, Mapping):
        shown = [one for name, one in _list_values(values) if name != WORDS_OF_THE_AGENT]
        text = ", ".join(format_value(one)[:MAX_EXCERPT] for one in shown)
    else:
        text = str(payload.get(DELETED_EXCERPT) or "")
    return text if len(text) <= MAX_EXCERPT else f"{text[:MAX_EXCERPT]}…"


async def load_excerpts(
    source: Source, details: Iterable[ApprovalDetail | None]
) -> Mapping[UUID, str]:
    """Load the excerpts of the tool calls of approvals that were loaded without their content."""
    approvals = (one.approval for one in details if one)
    found = await tool_calls.list_excerpts(
        source, [one.id for one in approvals if one.is_tool_call]
    )
    return {one.approval_id: build_excerpt(_read_payload(one)) for one in found}


def _read_payload(excerpt: CallExcerpt) -> Mapping[str, Any]:
    try:
        values = json.loads(excerpt.text)
    except (ValueError, RecursionError):  # it was cut
        return {DELETED_EXCERPT: excerpt.text}
    return {"client": excerpt.client, "tool": excerpt.tool, "input": values}


def _list_values(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the values of an input by name, which file it is about first."""
    return sorted(values.items(), key=lambda item: item[0] not in FILE_KEYS)


@dataclass(frozen=True)
class InputEdit:
    """An input that a user has edited, before it is allowed: how it differs from the request."""

    lines: Sequence[DiffLine]
    text: str  # as it is submitted again


@dataclass(frozen=True)
class ToolCallView:
    """The tool call of an approval. All of it is what the client reports.

    `rule` is the one that a member may add who can change the policy.
    """

    detail: ApprovalDetail
    found: RequestedCall | None  # None once it was deleted
    wait: WaitState
    rule: PolicyRule | None = None

    @property
    def payload(self) -> Mapping[str, Any]:
        """Return what the client sent."""
        return self.detail.approval.payload or {}

    @property
    def client_name(self) -> str:
        """Return the name of the client."""
        name = str(self.payload.get("client", ""))
        return CLIENT_NAMES[CodingClient(name)] if name in list(CodingClient) else name

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Return the labels and values of where the call comes from."""
        values = [
            (_("Client"), self.client_name),
            (_("Tool"), self.payload.get("tool")),
            (_("Folder"), self.payload.get("cwd")),
            (_("Session"), self.payload.get("session")),
        ]
        return [(label, str(value)) for label, value in values if value]

    @property
    def input(self) -> Mapping[str, Any] | None:
        """Return the input; None once it was deleted."""
        values = self.payload.get("input")
        return values if isinstance(values, Mapping) else None

    @property
    def excerpt(self) -> str:
        """Return what is left of an input that was deleted."""
        return str(self.payload.get(DELETED_EXCERPT) or "")

    @property
    def command(self) -> str:
        """Return the text that a shell executes, or ""."""
        key = find_command_key(self.payload)
        return str(self.input[key]) if key and self.input is not None else ""

    @property
    def words(self) -> str:
        """Return what the agent says about the call; it has no effect."""
        value = (self.input or {}).get(WORDS_OF_THE_AGENT)
        return value if isinstance(value, str) else ""

    @cached_property
    def replaced_lines(self) -> Sequence[DiffLine]:
        """Return the lines in which a text in a file is replaced by another one."""
        old, new = ((self.input or {}).get(key) for key in REPLACEMENT_KEYS)
        return list_changes(old, new) if isinstance(old, str) and isinstance(new, str) else ()

    @property
    def rows(self) -> list[PayloadRow]:
        """Return the other values of the input."""
        hidden = {find_command_key(self.payload), WORDS_OF_THE_AGENT if self.words else None}
        hidden |= set(REPLACEMENT_KEYS) if self.replaced_lines else set()
        return [
            PayloadRow(name, format_value(value))
            for name, value in _list_values(self.input or {})
            if name not in hidden
        ]

    @cached_property
    def input_json(self) -> str:
        """Return the exact input as JSON, or "" if the command is all of it."""
        if self.input is None or set(self.input) <= {find_command_key(self.payload)}:
            return ""
        return json.dumps(self.input, indent=2, ensure_ascii=False)

    @property
    def edited_lines(self) -> Sequence[DiffLine]:
        """Return how the input that was allowed differs from that of the request."""
        edited = self.payload.get(EDITED_INPUT)
        return compare_inputs(self.payload, edited) if isinstance(edited, Mapping) else ()

    @property
    def texts(self) -> list[str]:
        """Return the exact texts that the page shows."""
        rows = [text for row in self.rows for text in (row.name, row.value)]
        return [self.command, self.words, self.input_json, self.excerpt, *rows]

    @property
    def asking_reason(self) -> str:
        """Return why people are asked, if no rule says so."""
        code = self.found.call.reason if self.found else ""
        return _(ASKING_REASONS[code]) if code in ASKING_REASONS else ""

    @property
    def arrival(self) -> str:
        """Return when the client gets a decision that can still be undone."""
        return describe_arrival(self.detail)

    @property
    def scopes(self) -> Sequence[GrantScope]:
        """Return for how long identical calls can be allowed."""
        return self.found.scopes if self.found else ()

    @property
    def task_title(self) -> str:
        """Return the title of the task of the session, or ""."""
        return (self.found.task_title if self.found else None) or ""

    @property
    def rule_lines(self) -> Sequence[str]:
        """Return the conditions of the rule, as the page of the policy shows them."""
        agent = self.detail.agent
        if self.rule is None or agent is None:
            return ()
        [row] = build_rule_rows([self.rule], ReferenceNames({agent.id: agent.name}, {}, {}))
        return row.conditions

    @property
    def may_be_edited(self) -> bool:
        """Return whether it can be allowed with another input."""
        return self.found is not None and self.found.may_be_edited and self.input is not None

    @property
    def edited_text(self) -> str:
        """Return what a user edits: the command, or the input as JSON."""
        return self.command or json.dumps(self.input, indent=2, ensure_ascii=False)


async def load_tool_call(source: Source, member: Member, detail: ApprovalDetail) -> ToolCallView:
    """Load the tool call of an approval."""
    id = detail.approval.id
    found = await tool_calls.find_call_of_approval(source, id)
    waits = await tool_calls.list_waiting(source, [id])
    may_add = member.is_admin and member.organization_id == detail.board.organization_id
    is_open = detail.is_undecided and found is not None and bool(found.scopes)
    rule = tool_calls.build_allow_rule(detail) if may_add and is_open else None
    return ToolCallView(detail, found, waits.get(id, WaitState()), rule)


def read_edited_input(detail: ApprovalDetail, text: str) -> Mapping[str, Any]:
    """Return the input with an edited command, or an edited input. Raises Invalid."""
    payload = detail.approval.payload or {}
    text, key = text.replace("\r\n", "\n"), find_command_key(payload)
    if key is not None:
        return {**payload["input"], key: text}
    try:
        edited = json.loads(text)
    except (ValueError, RecursionError):
        edited = None
    if not isinstance(edited, dict):
        raise Invalid("input_invalid", N_("Write a JSON object."), field="edited_input")
    return edited


def compare_inputs(payload: Mapping[str, Any], edited: Mapping[str, Any]) -> Sequence[DiffLine]:
    """Return the lines in which an edited input differs from that of the request."""
    before, key = payload.get("input"), find_command_key(payload)
    if not isinstance(before, Mapping):
        return ()
    if key is not None and {**before, key: None} == {**edited, key: None}:
        return list_changes(str(before[key]), str(edited.get(key)))
    old, new = (json.dumps(one, indent=2, ensure_ascii=False) for one in (before, edited))
    return list_changes(old, new)


def build_edit(detail: ApprovalDetail, form: Form) -> InputEdit:
    """Return the edit of a form with its difference. Raises Invalid if it changes nothing."""
    text = form.value("edited_input")
    edited = read_edited_input(detail, text)
    lines = compare_inputs(detail.approval.payload or {}, edited)
    if not lines:
        reason = N_("The input is the same as before. Change it, or allow the call as it is.")
        raise Invalid("input_unchanged", reason, field="edited_input")
    return InputEdit(lines, text)
