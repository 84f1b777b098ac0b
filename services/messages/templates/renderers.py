"""Render messages about boards, chats and tasks, and between leads and main agents."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from models import Approval, Board, BoardGroup, Task
from services.messages.templates.text_format import (
    LONG_SNIPPET_LENGTH,
    MessageMarker,
    fence_text,
    format_labels,
    join_paragraphs,
    to_single_line,
    truncate_text,
)

GROUP_JOINED_TEXT = (
    "The boards of a group share context: read the group's memory before you plan work that "
    "touches other boards, and tell in the group's chat what they have to know."
)
GROUP_LEFT_TEXT = (
    "This board and the group share no context any more: do not count on each other's work and "
    "agents, and say on your board what that changes."
)

USER_REQUEST_INSTRUCTIONS = (
    "Pass this on to the user: on the channel that is asked for, else on any that is configured; "
    "if none is, in the board's chat."
)
ANSWER_INSTRUCTIONS = "Go on with what you had asked about, within the rules of the board."
NUDGE_INSTRUCTIONS = "The lead wrote this. Do what it asks for, within the rules of the board."

INSTRUCTIONS = {
    MessageMarker.NEW_TASK_ADDED: "Look at it: hand it to somebody, or plan when it is to be done.",
    MessageMarker.TASK_BACK_IN_INBOX: "Nobody has it now. Find somebody for it, or plan anew.",
    MessageMarker.TASK_ASSIGNED: "It is yours. Open it, begin, and report in its comments.",
    MessageMarker.TASK_READY_FOR_LEAD_REVIEW: (
        "Review it now. Move it to done if it is good, or say in a comment what is missing and "
        "move it back to inbox."
    ),
    MessageMarker.TASK_STALE: (
        "Nothing has happened on it for a while. Go on with it, or say in a comment what it waits "
        "for, or hand it back. If nothing happens, people are notified."
    ),
    MessageMarker.CHANGES_REQUESTED: "Do what is asked for, then move it to review again.",
}
"""What the recipient has to do."""

NO_FEEDBACK_TEXT = (
    "The lead left no comment. Read the task again, and ask in a comment if in doubt."
)
NOT_ASSIGNED_TEXT = (
    "You were called here without having the task: answer, but leave its status alone."
)


def render_board_update(board: Board, changes: Mapping[str, Sequence[object]]) -> str:
    """Render the changed fields of a board for its lead, each with its old and new value."""
    head = format_labels({"Board": board.name, "Board ID": board.id})
    lines = [
        f"- {name}: {_format_value(old)} -> {_format_value(new)}"
        for name, (old, new) in sorted(changes.items())
    ]
    instructions = "See whether plan and assignments still fit, and change what does not."
    changed = "Changed:\n" + fence_text("\n".join(lines))
    return join_paragraphs(MessageMarker.BOARD_UPDATED, head, changed, instructions)


def render_group_update(board: Board, group: BoardGroup, *, recipient: Board, joined: bool) -> str:
    """Render that a board has joined or left a group. `recipient` is the board of the reader."""
    change = "Joined Board" if joined else "Left Board"
    head = format_labels(
        {
            change: board.name,
            f"{change} ID": board.id,
            "Recipient Board": recipient.name,
            "Recipient Board ID": recipient.id,
            "Board Group": group.name,
            "Board Group ID": group.id,
        }
    )
    return join_paragraphs(
        MessageMarker.BOARD_GROUP_UPDATED, head, GROUP_JOINED_TEXT if joined else GROUP_LEFT_TEXT
    )


def render_approval_decision(board: Board, approval: Approval, task_ids: Sequence[UUID]) -> str:
    """Render the decision of an approval for the lead, with its note."""
    tasks = ", ".join(str(id) for id in task_ids) or None
    head = format_labels(
        {
            "Board": board.name,
            "Approval ID": approval.id,
            "Action": approval.action_type,
            "Decision": approval.status,
            "Confidence": f"{approval.confidence:g}",
            "Task IDs" if len(task_ids) > 1 else "Task ID": tasks,
        }
    )
    notes = (approval.first_approval_note, approval.decision_note)
    note = truncate_text("\n\n".join(filter(None, notes)))
    with_note = f"The decision came with a note:\n{fence_text(note)}" if note else ""
    instructions = "Go on as it was decided, and see that whoever waited for it does."
    return join_paragraphs(MessageMarker.APPROVAL_RESOLVED, head, with_note, instructions)


def _format_value(value: object) -> str:
    """Format a field's value as JSON in one line; texts, ids and times without quotes."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str | UUID):
        return to_single_line(truncate_text(str(value)))
    return to_single_line(truncate_text(json.dumps(value, sort_keys=True, ensure_ascii=False)))


def render_board_chat(
    board: Board, *, sender: str, content: str, mentioned: bool, base_url: str
) -> str:
    """Render a message of a board's chat: as BOARD CHAT MENTION for mentioned agents."""
    marker = MessageMarker.BOARD_CHAT_MENTION if mentioned else MessageMarker.BOARD_CHAT
    head = format_labels({"Board": board.name, "From": sender})
    path = f"/api/v1/agent/boards/{board.id}/memory"
    return join_paragraphs(
        marker, head, _excerpt(content), _chat_reply_instructions(base_url, path)
    )


def render_group_chat(
    group: BoardGroup,
    recipient: Board,
    *,
    sender: str,
    content: str,
    mentioned: bool = False,
    broadcast: bool = False,
    base_url: str,
) -> str:
    """Render a message of a group's chat: as GROUP BROADCAST, GROUP CHAT MENTION or GROUP CHAT.

    `recipient` is the board of the reader. Its reply goes there.
    """
    marker = MessageMarker.GROUP_CHAT_MENTION if mentioned else MessageMarker.GROUP_CHAT
    marker = MessageMarker.GROUP_BROADCAST if broadcast else marker
    head = format_labels({"Group": group.name, "From": sender})
    path = f"/api/v1/boards/{recipient.id}/group-memory"
    return join_paragraphs(
        marker, head, _excerpt(content), _chat_reply_instructions(base_url, path)
    )


def _excerpt(content: str) -> str:
    return fence_text(truncate_text(content, LONG_SNIPPET_LENGTH))


def _chat_reply_instructions(base_url: str, path: str) -> str:
    body = json.dumps({"content": "...", "tags": ["chat"]})
    return f"To answer: POST {base_url.rstrip('/')}{path}\nBody: {body}"


def render_user_request(
    board: Board,
    *,
    lead: str,
    content: str,
    correlation_id: str,
    preferred_channel: str | None = None,
    reply_tags: Sequence[str],
    reply_source: str | None,
    base_url: str,
) -> str:
    """Render the request to a gateway's main agent to ask the user something: LEAD REQUEST."""
    head = format_labels(
        {
            "Board": board.name,
            "Board ID": board.id,
            "From lead": lead,
            "Correlation ID": correlation_id,
            "Preferred channel": preferred_channel,
        }
    )
    answer = _reply_instructions(
        board, reply_tags, reply_source, base_url, correlation_id=correlation_id
    )
    return join_paragraphs(
        MessageMarker.ASK_USER, head, fence_text(content), USER_REQUEST_INSTRUCTIONS, answer
    )


def render_lead_message(
    marker: MessageMarker,
    board: Board,
    *,
    sender: str,
    content: str,
    correlation_id: str | None = None,
    reply_tags: Sequence[str],
    reply_source: str | None,
    base_url: str,
) -> str:
    """Render a message of a gateway's main agent to a lead: a question or a handoff."""
    head = format_labels(
        {
            "Board": board.name,
            "Board ID": board.id,
            "From agent": sender,
            "Correlation ID": correlation_id,
        }
    )
    answer = _reply_instructions(board, reply_tags, reply_source, base_url)
    return join_paragraphs(marker, head, fence_text(content), answer)


def render_nudge(board: Board, *, lead: str, content: str) -> str:
    """Render a message of a lead to an agent of its board: NUDGE."""
    head = format_labels({"Board": board.name, "Board ID": board.id, "From lead": lead})
    return join_paragraphs(MessageMarker.NUDGE, head, fence_text(content), NUDGE_INSTRUCTIONS)


def render_answer(
    board: Board, *, user: str, question: str, answer: str, correlation_id: str | None
) -> str:
    """Render the answer of a person to a question of a worker: QUESTION ANSWERED."""
    labels = {"Board": board.name, "Board ID": board.id, "From": user}
    head = format_labels(labels | {"Correlation ID": correlation_id})
    texts = ("Your question:", fence_text(question), "The answer:", fence_text(answer))
    return join_paragraphs(MessageMarker.QUESTION_ANSWERED, head, *texts, ANSWER_INSTRUCTIONS)


def _reply_instructions(
    board: Board, reply_tags: Sequence[str], reply_source: str | None, base_url: str, **more: str
) -> str:
    """Render how to reply: with a note of the board that is not a chat message."""
    reply = {"content": "...", "tags": list(reply_tags), "source": reply_source, **more}
    body = json.dumps(reply)
    return (
        f"To answer: POST {base_url.rstrip('/')}/api/v1/agent/boards/{board.id}/memory\n"
        f"Body: {body}\n"
        "Answer there once, and not in the chat."
    )


def render_task(
    marker: MessageMarker, board: Board, task: Task, *, feedback: str | None = None
) -> str:
    """Render a change of a task, for any marker in INSTRUCTIONS.

    `feedback` is the lead's last comment. Only CHANGES REQUESTED contains it.
    """
    description = truncate_text(task.description or "")
    about = f"Description:\n{fence_text(description)}" if description else ""
    head = format_labels({**_task_labels(board, task), "Status": task.status})
    return join_paragraphs(
        marker, head, about, _feedback_text(marker, feedback), INSTRUCTIONS[marker]
    )


def render_comment(
    board: Board, task: Task, *, sender: str, message: str, mentioned: bool, assigned: bool
) -> str:
    """Render a comment: as TASK MENTION for mentioned agents, else as NEW TASK COMMENT.

    `assigned` is whether the task is assigned to the reader.
    """
    marker = MessageMarker.TASK_MENTION if mentioned else MessageMarker.NEW_TASK_COMMENT
    reason = "This comment calls you:" if mentioned else "A task of yours has a new comment:"
    instructions = "Answer in the task's comments, if an answer is wanted."
    head = format_labels({**_task_labels(board, task), "From": sender})
    body = f"{reason}\n{fence_text(truncate_text(message))}"
    return join_paragraphs(marker, head, body, instructions if assigned else NOT_ASSIGNED_TEXT)


def _task_labels(board: Board, task: Task) -> dict[str, object]:
    return {"Board": board.name, "Task": task.title, "Task ID": task.id}


def _feedback_text(marker: MessageMarker, feedback: str | None) -> str:
    if marker is not MessageMarker.CHANGES_REQUESTED:
        return ""
    if not feedback:
        return NO_FEEDBACK_TEXT
    return f"The lead's latest comment:\n{fence_text(truncate_text(feedback))}"
