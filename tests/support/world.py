"""Test data: two organizations with users, boards and agents."""

from dataclasses import dataclass
from typing import Any

from core.clock import now
from models import (
    Agent,
    Approval,
    ApprovalStatus,
    Board,
    BoardAccess,
    Member,
    Organization,
    Role,
    Task,
    User,
    new_id,
)
from tests.support.board_rows import (
    hash_request,
    make_agent,
    make_board,
    make_custom_field,
    make_link,
    make_task,
)
from tests.support.people_rows import (
    make_agent_token,
    make_api_token,
    make_board_access,
    make_member,
    make_organization,
    make_sign_in,
    make_user,
)


@dataclass
class World:
    """The rows that most tests start with.

    Alice owns the organization Tern with the boards Launch (`board`) and Garden. Bob is a member
    of Tern with read and write access to Launch and none to Garden; Rita may only read Launch;
    Dana is an admin of Tern without access to a board. Charlie owns the organization Plover, with
    a board and a worker, and has no access to Tern. Launch has a lead and two workers, Garden has
    the gardener.
    """

    tern: Organization
    plover: Organization
    alice: User
    bob: User
    rita: User
    dana: User
    charlie: User
    alice_member: Member
    bob_member: Member
    rita_member: Member
    dana_member: Member
    charlie_member: Member
    board: Board
    garden: Board
    charlies_board: Board
    lead: Agent
    worker: Agent
    other_worker: Agent
    gardener: Agent
    charlies_worker: Agent
    bob_access: BoardAccess
    rita_access: BoardAccess

    def all_rows(self) -> list[Any]:
        """Return all rows in insertion order, with sign-ins and tokens for users and agents."""
        accesses = [self.bob_access, self.rita_access]
        users = [self.alice, self.bob, self.rita, self.dana, self.charlie]
        agents = [self.lead, self.worker, self.other_worker, self.gardener, self.charlies_worker]
        return [
            *[row for row in vars(self).values() if row not in accesses],
            *[make_sign_in(user) for user in users],
            *[make_api_token(user) for user in users],
            *[make_agent_token(agent) for agent in agents],
        ]

    def make_task(self, title: str = "Write the report", **fields: Any) -> Task:
        """Make a task on Launch."""
        return make_task(self.board, title, **fields)

    def make_custom_field(self, **fields: Any) -> list[Any]:
        """Make a custom field of Launch; the first row is the field, the other its binding."""
        return make_custom_field(self.board, **fields)

    def make_approval(self, *tasks: Task, **fields: Any) -> list[Any]:
        """Make an approval for tasks of Launch; the first row is the approval, then its links."""
        defaults = {
            "id": new_id(),
            "action_type": "task.complete",
            "confidence": 90.0,
            "payload": {"reason": "It is finished."},
            "status": ApprovalStatus.PENDING,
            "created_at": now(),
        }
        fields = defaults | fields
        if fields["status"] != ApprovalStatus.PENDING:
            fields.setdefault("resolved_at", now())
        first = tasks[0] if tasks else None
        approval = Approval(board=self.board, board_id=self.board.id, task=first, **fields)
        links = [make_link(approval, task, n) for n, task in enumerate(tasks)]
        for name in ("action_hash", "requested_hash"):
            if name not in fields:
                setattr(approval, name, hash_request(approval, links))
        return [approval, *links]


def make_world() -> World:
    """Make the rows without storing them. The boards set no guards for moving tasks."""
    tern, plover = make_organization("Tern"), make_organization("Plover")
    users = {
        name: make_user(name, organization)
        for name, organization in [
            ("Alice", tern),
            ("Bob", tern),
            ("Rita", tern),
            ("Dana", tern),
            ("Charlie", plover),
        ]
    }
    full_access = {"all_boards_read": True, "all_boards_write": True}
    board, garden = make_board("Launch", tern), make_board("Garden", tern)
    charlies_board = make_board("Charlie's board", plover)
    bob_member, rita_member = make_member(tern, users["Bob"]), make_member(tern, users["Rita"])
    return World(
        tern=tern,
        plover=plover,
        alice=users["Alice"],
        bob=users["Bob"],
        rita=users["Rita"],
        dana=users["Dana"],
        charlie=users["Charlie"],
        alice_member=make_member(tern, users["Alice"], role=Role.OWNER, **full_access),
        bob_member=bob_member,
        rita_member=rita_member,
        dana_member=make_member(tern, users["Dana"], role=Role.ADMIN),
        charlie_member=make_member(plover, users["Charlie"], role=Role.OWNER, **full_access),
        board=board,
        garden=garden,
        charlies_board=charlies_board,
        lead=make_agent("Lead", board, is_board_lead=True),
        worker=make_agent("Worker", board),
        other_worker=make_agent("Other worker", board),
        gardener=make_agent("Gardener", garden),
        charlies_worker=make_agent("Charlie's worker", charlies_board),
        bob_access=make_board_access(bob_member, board, can_write=True),
        rita_access=make_board_access(rita_member, board),
    )
