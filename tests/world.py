"""The small world that the tests are about: two organizations, their people, boards and agents."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kit.clock import now
from kit.sealing import Seal
from kit.secrets import fingerprint, prefix
from kit.settings import Settings
from models import (
    Agent,
    AgentStatus,
    AgentToken,
    ApiToken,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    BoardAccess,
    BoardCustomField,
    CustomField,
    Gateway,
    GatewayRequest,
    Invite,
    Member,
    Message,
    Organization,
    RequestKind,
    Role,
    Run,
    SignIn,
    Status,
    Tag,
    Task,
    User,
    new_id,
)
from openclaw import Device

KEY = "the key of the tests, which is long enough"
SEAL = Seal(Settings(secret_key=KEY))


@dataclass
class World:
    """Alice owns Tern, which has the board Launch and the board Garden.

    Bob is a member of Tern who reads and changes Launch and does not see Garden; Rita only reads
    Launch; Dana is an admin of Tern without any board. Charlie owns another organization, Plover,
    with a board and a worker of his own: nothing of Tern exists for him. On Launch work a lead, a
    worker and another worker; on Garden the gardener.
    """

    tern: Organization
    plover: Organization
    alice: User
    bob: User
    rita: User
    dana: User
    charlie: User
    alices: Member
    bobs: Member
    ritas: Member
    danas: Member
    charlies: Member
    board: Board
    garden: Board
    charlies_board: Board
    lead: Agent
    worker: Agent
    other_worker: Agent
    gardener: Agent
    charlies_worker: Agent
    bobs_access: BoardAccess
    ritas_access: BoardAccess

    def rows(self) -> list[Any]:
        """Return everything, with a cookie and a token for everybody, in an order to be written."""
        accesses = [self.bobs_access, self.ritas_access]
        people = [self.alice, self.bob, self.rita, self.dana, self.charlie]
        agents = [self.lead, self.worker, self.other_worker, self.gardener, self.charlies_worker]
        return [
            *[row for row in vars(self).values() if row not in accesses],
            *[a_sign_in(user) for user in people],
            *[an_api_token(user) for user in people],
            *[an_agent_token(agent) for agent in agents],
        ]

    def task(self, title: str = "Write the report", **fields: Any) -> Task:
        """Make a task on Launch."""
        return a_task(self.board, title, **fields)

    def field(self, **fields: Any) -> list[Any]:
        """Make a custom field of tasks of Launch, and its binding; the first row is the field."""
        return a_field(self.board, **fields)

    def approval(self, *tasks: Task, **fields: Any) -> list[Any]:
        """Make a question about tasks of Launch, and its links; the first row is the approval."""
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
        links = [
            ApprovalTask(approval=approval, task=task, position=n, created_at=now())
            for n, task in enumerate(tasks)
        ]
        return [approval, *links]


def cookie_of(user: User) -> str:
    """Return the secret of the cookie in somebody's browser."""
    return f"the cookie of {user.name}"


def token_of(caller: User | Agent) -> str:
    """Return the token with which somebody calls the API."""
    kind = "agent" if isinstance(caller, Agent) else "user"
    return f"mc_{kind}_the-token-of-{caller.name}".replace(" ", "-")


def a_world() -> World:
    """Make the world, in memory. Its boards ask for nothing before a task may move."""
    tern, plover = an_organization("Tern"), an_organization("Plover")
    users = {
        name: a_user(name, organization)
        for name, organization in [
            ("Alice", tern),
            ("Bob", tern),
            ("Rita", tern),
            ("Dana", tern),
            ("Charlie", plover),
        ]
    }
    everything = {"all_boards_read": True, "all_boards_write": True}
    board, garden = a_board("Launch", tern), a_board("Garden", tern)
    charlies_board = a_board("Charlie's board", plover)
    bobs, ritas = a_member(tern, users["Bob"]), a_member(tern, users["Rita"])
    return World(
        tern=tern,
        plover=plover,
        alice=users["Alice"],
        bob=users["Bob"],
        rita=users["Rita"],
        dana=users["Dana"],
        charlie=users["Charlie"],
        alices=a_member(tern, users["Alice"], role=Role.OWNER, **everything),
        bobs=bobs,
        ritas=ritas,
        danas=a_member(tern, users["Dana"], role=Role.ADMIN),
        charlies=a_member(plover, users["Charlie"], role=Role.OWNER, **everything),
        board=board,
        garden=garden,
        charlies_board=charlies_board,
        lead=an_agent("Lead", board, is_board_lead=True),
        worker=an_agent("Worker", board),
        other_worker=an_agent("Other worker", board),
        gardener=an_agent("Gardener", garden),
        charlies_worker=an_agent("Charlie's worker", charlies_board),
        bobs_access=an_access(bobs, board, can_write=True),
        ritas_access=an_access(ritas, board),
    )


def an_organization(name: str) -> Organization:
    return Organization(id=new_id(), name=name, created_at=now(), updated_at=now())


def a_user(name: str, active: Organization | None = None, **fields: Any) -> User:
    return User(
        id=new_id(),
        clerk_user_id=f"user-{name.lower()}",
        name=name,
        email=f"{name.lower()}@example.com",
        active_organization_id=active.id if active else None,
        created_at=now(),
        updated_at=now(),
        **fields,
    )


def a_member(organization: Organization, user: User, **fields: Any) -> Member:
    return Member(
        id=new_id(),
        **({"organization": organization, "user": user, "role": Role.MEMBER} | fields),
        created_at=now(),
        updated_at=now(),
    )


def an_access(member: Member, board: Board, *, can_write: bool = False) -> BoardAccess:
    return BoardAccess(
        member=member,
        organization_member_id=member.id,
        board_id=board.id,
        can_read=True,
        can_write=can_write,
        created_at=now(),
        updated_at=now(),
    )


def an_invite(organization: Organization, email: str, token: str = "", **fields: Any) -> Invite:
    defaults = {"id": new_id(), "role": Role.MEMBER, "expires_at": now() + timedelta(days=14)}
    return Invite(
        organization_id=organization.id,
        invited_email=email,
        token_hash=fingerprint(token or f"the invitation of {email}"),
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def a_message(to: Agent, content: str = "BOARD CHAT\nHello.", **fields: Any) -> Message:
    id = new_id()
    defaults = {"kind": content.partition("\n")[0], "key": str(id), "created_at": now()}
    return Message(
        id=id,
        organization_id=to.organization_id,
        agent_id=to.id,
        content=content,
        **(defaults | fields),
    )


def a_board(name: str, organization: Organization, **fields: Any) -> Board:
    defaults = {
        "description": "What this board is for",
        "board_type": "general",
        "require_approval_for_done": False,
        "require_review_before_done": False,
        "comment_required_for_review": False,
        "block_status_changes_with_pending_approval": False,
        "only_lead_can_change_status": False,
        "goal_confirmed": False,
        "max_agents": 2,
    }
    return Board(
        id=new_id(),
        organization=organization,
        organization_id=organization.id,
        name=name,
        slug=name.lower().replace(" ", "-").replace("'", ""),
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def an_agent(name: str, board: Board, **fields: Any) -> Agent:
    defaults = {"is_board_lead": False, "status": AgentStatus.ONLINE, "last_seen_at": now()}
    return Agent(
        id=new_id(),
        organization_id=board.organization_id,
        board=board,
        board_id=board.id,
        name=name,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def a_gateway(organization: Organization, name: str = "Harbour", **fields: Any) -> Gateway:
    id = new_id()
    sealed = SEAL.close(Device.new().seed, f"gateways.device:{id}")
    defaults = {"url": "ws://127.0.0.1:9", "workspace_root": "/agents", "sealed_device": sealed}
    return Gateway(
        id=id,
        organization_id=organization.id,
        name=name,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def a_main(gateway: Gateway, name: str = "Harbour master", **fields: Any) -> list[Any]:
    """Make the agent that looks after a gateway, and its token; the first row is the agent."""
    main = Agent(
        id=new_id(),
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        name=name,
        status=AgentStatus.ONLINE,
        openclaw_session_id=gateway.session_key,
        last_seen_at=now(),
        created_at=now(),
        updated_at=now(),
        **fields,
    )
    return [main, an_agent_token(main)]


def a_request(gateway: Gateway, agent: Agent | None = None, **fields: Any) -> GatewayRequest:
    """Make a question whether an agent on a gateway may run a command."""
    id, exact = new_id(), fields.setdefault("exact", "rm -rf build")
    defaults = {
        "kind": RequestKind.EXEC,
        "sha256": fingerprint(exact),
        "cwd": "/agents/work",
        "allowed_decisions": ["allow-once", "deny"],
        "asked_at": now(),
        "expires_at": now() + timedelta(minutes=30),
        "agent_key": "main",
        "agent_id": agent.id if agent else None,
        "board_id": agent.board_id if agent else None,
    }
    return GatewayRequest(
        id=id,
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        gateway_name=gateway.name,
        request_id=f"r-{id}",
        created_at=now(),
        **(defaults | fields),
    )


def a_run(gateway: Gateway, agent: Agent, **fields: Any) -> Run:
    """Make a run of an agent on a gateway, which goes on."""
    id = new_id()
    defaults = {"phase": "thinking", "tail": "Let me see.", "tool_calls": [], "run_id": f"run-{id}"}
    return Run(
        id=id,
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        agent_id=agent.id,
        session_key="agent:main:main",
        started_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def a_task(board: Board, title: str, **fields: Any) -> Task:
    defaults = {"id": new_id(), "status": Status.INBOX, "priority": "medium"}
    return Task(
        board=board,
        board_id=board.id,
        title=title,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def a_field(*boards: Board, **fields: Any) -> list[Any]:
    """Make a custom field of tasks of these boards, and its bindings; the first row is the field.

    It is called `size` and takes any text.
    """
    times = {"created_at": now(), "updated_at": now()}
    defaults = {"id": new_id(), "field_key": "size", "label": "Size"}
    field = CustomField(organization_id=boards[0].organization_id, **times, **(defaults | fields))
    bindings = [
        BoardCustomField(board_id=board.id, field=field, created_at=now()) for board in boards
    ]
    return [field, *bindings]


def a_tag(organization: Organization, name: str = "Words", **fields: Any) -> Tag:
    defaults = {"id": new_id(), "slug": name.lower(), "color": "9e9e9e"}
    return Tag(
        organization_id=organization.id,
        name=name,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def a_sign_in(user: User) -> SignIn:
    return SignIn(
        id=new_id(),
        user=user,
        secret_hash=fingerprint(cookie_of(user)),
        created_at=now(),
        last_seen_at=now(),
        expires_at=now().replace(year=now().year + 1, day=1),
    )


def an_api_token(user: User) -> ApiToken:
    token = token_of(user)
    return ApiToken(
        user=user,
        name="script",
        prefix=prefix(token),
        secret_hash=fingerprint(token),
        created_at=now(),
    )


def an_agent_token(agent: Agent) -> AgentToken:
    token = token_of(agent)
    return AgentToken(
        agent=agent,
        prefix=prefix(token),
        secret_hash=fingerprint(token),
        created_at=now(),
        first_used_at=now(),
    )
