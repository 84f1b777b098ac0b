"""What agents are told about tasks, and about what is said there."""

from models import Board, Task
from services.messages.texts.markers import Marker
from services.messages.texts.parts import fenced, labels, one_line, snippet, text

WANTED = {
    Marker.NEW_TASK_ADDED: "Look at it: hand it to somebody, or plan when it is to be done.",
    Marker.TASK_BACK_IN_INBOX: "Nobody has it now. Find somebody for it, or plan anew.",
    Marker.TASK_ASSIGNED: "It is yours. Open it, begin, and report in its comments.",
    Marker.TASK_READY_FOR_LEAD_REVIEW: (
        "Review it now. Move it to done if it is good, or say in a comment what is missing and "
        "move it back to inbox."
    ),
    Marker.CHANGES_REQUESTED: "Do what is asked for, then move it to review again.",
}
"""What is wanted of whoever reads it."""

NO_FEEDBACK = "The lead left no comment. Read the task again, and ask in a comment if in doubt."
STATUS_STAYS = "You were called here without having the task: answer, but leave its status alone."


def about_task(marker: Marker, board: Board, task: Task, *, feedback: str | None = None) -> str:
    """Tell of a task: NEW TASK ADDED, TASK BACK IN INBOX, TASK ASSIGNED and their like.

    With CHANGES REQUESTED goes what the lead has said last.
    """
    description = one_line(snippet(task.description or "")) or None
    head = labels({**_head(board, task), "Status": task.status, "Description": description})
    return text(marker, head, _feedback(marker, feedback), WANTED[marker])


def comment(
    board: Board, task: Task, *, sender: str, message: str, mentioned: bool, assigned: bool
) -> str:
    """Tell of a comment: TASK MENTION to whom it calls, NEW TASK COMMENT to whoever has the task.

    `assigned` says whether the reader has the task.
    """
    marker = Marker.TASK_MENTION if mentioned else Marker.NEW_TASK_COMMENT
    reason = "This comment calls you:" if mentioned else "A task of yours has a new comment:"
    wanted = "Answer in the task's comments, if an answer is wanted."
    head = labels({**_head(board, task), "From": sender})
    said = f"{reason}\n{fenced(snippet(message))}"
    return text(marker, head, said, wanted if assigned else STATUS_STAYS)


def _head(board: Board, task: Task) -> dict[str, object]:
    return {"Board": board.name, "Task": task.title, "Task ID": task.id}


def _feedback(marker: Marker, feedback: str | None) -> str:
    if marker is not Marker.CHANGES_REQUESTED:
        return ""
    if not feedback:
        return NO_FEEDBACK
    return f"The lead's latest comment:\n{fenced(snippet(feedback))}"
