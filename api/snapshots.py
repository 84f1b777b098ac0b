"""A board at a glance, as JSON (contract, people-and-boards 3.6)."""

from api.agents import AgentRead
from api.approvals import ApprovalRead
from api.boards import BoardRead
from api.fields import Answer
from api.memory import BoardMemoryRead, read
from api.operations import Call
from api.tasks import TaskRead, task_fields
from models import Board
from services import snapshots
from services.tasks import TaskDetail


class TaskCardRead(TaskRead):
    """A task, with what a card on a board shows."""

    assignee: str | None
    approvals_count: int
    approvals_pending_count: int

    @classmethod
    def of(cls, detail: TaskDetail) -> "TaskCardRead":
        """Make one of what the services know of a task."""
        return cls(
            **task_fields(detail),
            assignee=detail.assignee.name if detail.assignee else None,
            approvals_count=detail.approvals_count,
            approvals_pending_count=detail.approvals_pending_count,
        )


class BoardSnapshot(Answer):
    """All that is on a board."""

    board: BoardRead
    tasks: list[TaskCardRead]
    agents: list[AgentRead]
    approvals: list[ApprovalRead]
    chat_messages: list[BoardMemoryRead]
    pending_approvals_count: int


async def get_board_snapshot(call: Call, board: Board) -> BoardSnapshot:
    """Return a board with all its tasks and agents, and its newest approvals and messages."""
    seen = await snapshots.snapshot(call.session, board)
    return BoardSnapshot(
        board=BoardRead.model_validate(seen.board),
        tasks=[TaskCardRead.of(task) for task in seen.tasks],
        agents=[AgentRead.of(agent, call) for agent in seen.agents],
        approvals=[ApprovalRead.of(approval) for approval in seen.approvals],
        chat_messages=[read(BoardMemoryRead, note) for note in seen.chat_messages],
        pending_approvals_count=seen.pending_approvals_count,
    )
