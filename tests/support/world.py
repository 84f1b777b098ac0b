"""Test data: two organizations with users, boards and agents, and factories for more rows."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from core.clock import now
from core.config.settings import Settings
from core.security.encryption import SecretCipher
from core.security.secrets import hash_token, token_prefix
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
    BoardWebhook,
    CustomField,
    Gateway,
    GatewayRequest,
    Invite,
    Member,
    Message,
    Notification,
    NotificationKind,
    Organization,
    PayloadState,
    RequestKind,
    Role,
    Run,
    SignIn,
    Status,
    Tag,
    Task,
    User,
    WebhookPayload,
    new_id,
)
from openclaw import DeviceIdentity
from services.approvals import build_task_content, hash_content

SECRET_KEY = "the key of the tests, which is long enough"
WEBHOOK_SECRET = "the secret of a webhook"
CIPHER = SecretCipher(Settings(secret_key=SECRET_KEY))


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
        return [approval, *(make_link(approval, task, n) for n, task in enumerate(tasks))]


def make_notification(board: Board, user: User, **fields: Any) -> Notification:
    """Make a notification of a mention on a board."""
    defaults: dict[str, Any] = {
        "id": new_id(),
        "organization_id": board.organization_id,
        "user_id": user.id,
        "kind": NotificationKind.MENTION,
        "key": str(new_id()),
        "merges": False,
        "board_id": board.id,
        "data": {"title": "Write the report"},
        "created_at": now(),
        "updated_at": now(),
    }
    return Notification(**(defaults | fields))


def make_link(approval: Approval, task: Task, position: int = 0) -> ApprovalTask:
    """Make a link of an approval to a task without custom fields, with its current content."""
    content = build_task_content(task.title, task.description, {})
    return ApprovalTask(
        approval=approval,
        task=task,
        position=position,
        content=dict(content),
        content_hash=hash_content(content),
        created_at=now(),
    )


def cookie_secret(user: User) -> str:
    """Return the secret in the session cookie of a user."""
    return f"the cookie of {user.id}"


def token_secret(caller: User | Agent) -> str:
    """Return the API token of a user or an agent."""
    kind = "agent" if isinstance(caller, Agent) else "user"
    return f"mc_{kind}_the-token-of-{caller.name}".replace(" ", "-")


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


def make_organization(name: str) -> Organization:
    return Organization(id=new_id(), name=name, created_at=now(), updated_at=now())


def make_user(name: str, active: Organization | None = None, **fields: Any) -> User:
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


def make_member(organization: Organization, user: User, **fields: Any) -> Member:
    return Member(
        id=new_id(),
        **({"organization": organization, "user": user, "role": Role.MEMBER} | fields),
        created_at=now(),
        updated_at=now(),
    )


def make_board_access(member: Member, board: Board, *, can_write: bool = False) -> BoardAccess:
    return BoardAccess(
        member=member,
        organization_member_id=member.id,
        board_id=board.id,
        can_read=True,
        can_write=can_write,
        created_at=now(),
        updated_at=now(),
    )


def make_invite(organization: Organization, email: str, token: str = "", **fields: Any) -> Invite:
    defaults = {"id": new_id(), "role": Role.MEMBER, "expires_at": now() + timedelta(days=14)}
    return Invite(
        organization_id=organization.id,
        invited_email=email,
        token_hash=hash_token(token or f"the invitation of {email}"),
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_message(to: Agent, content: str = "BOARD CHAT\nHello.", **fields: Any) -> Message:
    id = new_id()
    defaults = {"kind": content.partition("\n")[0], "key": str(id), "created_at": now()}
    return Message(
        id=id,
        organization_id=to.organization_id,
        agent_id=to.id,
        content=content,
        **(defaults | fields),
    )


def make_board(name: str, organization: Organization, **fields: Any) -> Board:
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


def make_agent(name: str, board: Board, **fields: Any) -> Agent:
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


def make_gateway(organization: Organization, name: str = "Harbour", **fields: Any) -> Gateway:
    id = new_id()
    sealed = CIPHER.encrypt(DeviceIdentity.generate().seed, f"gateways.device:{id}")
    defaults = {
        "url": "ws://127.0.0.1:9",
        "workspace_root": "/agents",
        "encrypted_device": sealed,
        "allows_private": True,
    }
    return Gateway(
        id=id,
        organization_id=organization.id,
        name=name,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_main_agent(gateway: Gateway, name: str = "Harbour master", **fields: Any) -> list[Any]:
    """Make the main agent of a gateway; the first row is the agent, the other its token."""
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
    return [main, make_agent_token(main)]


def make_gateway_request(
    gateway: Gateway, agent: Agent | None = None, **fields: Any
) -> GatewayRequest:
    """Make a gateway request: may an agent run a command?"""
    id, exact = new_id(), fields.setdefault("exact", "rm -rf build")
    defaults = {
        "kind": RequestKind.EXEC,
        "sha256": hash_token(exact),
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


def make_run(gateway: Gateway, agent: Agent, **fields: Any) -> Run:
    """Make an active run of an agent on a gateway."""
    id = new_id()
    defaults = {
        "phase": "thinking",
        "tail": "Let me see.",
        "tool_calls": [],
        "run_id": f"run-{id}",
        "started_at": now(),
    }
    return Run(
        id=id,
        organization_id=gateway.organization_id,
        gateway_id=gateway.id,
        agent_id=agent.id,
        session_key="agent:main:main",
        updated_at=now(),
        **(defaults | fields),
    )


def make_task(board: Board, title: str, **fields: Any) -> Task:
    defaults = {"id": new_id(), "status": Status.INBOX, "priority": "medium"}
    return Task(
        board=board,
        board_id=board.id,
        title=title,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_custom_field(*boards: Board, **fields: Any) -> list[Any]:
    """Make a custom field of these boards; the first row is the field, then its bindings.

    Its key is `size` and its type is text.
    """
    times = {"created_at": now(), "updated_at": now()}
    defaults = {"id": new_id(), "field_key": "size", "label": "Size"}
    field = CustomField(organization_id=boards[0].organization_id, **times, **(defaults | fields))
    bindings = [
        BoardCustomField(board_id=board.id, field=field, created_at=now()) for board in boards
    ]
    return [field, *bindings]


def make_tag(organization: Organization, name: str = "Words", **fields: Any) -> Tag:
    defaults = {"id": new_id(), "slug": name.lower(), "color": "9e9e9e"}
    return Tag(
        organization_id=organization.id,
        name=name,
        created_at=now(),
        updated_at=now(),
        **(defaults | fields),
    )


def make_webhook(
    board: Board, description: str = "Create a task for each failed build.", **fields: Any
) -> BoardWebhook:
    """Make a webhook with the secret WEBHOOK_SECRET."""
    id = new_id()
    defaults = {
        "encrypted_secret": CIPHER.encrypt(WEBHOOK_SECRET, f"board_webhooks.secret:{id}"),
        "enabled": True,
        "created_at": now(),
        "updated_at": now(),
    }
    return BoardWebhook(id=id, board_id=board.id, description=description, **(defaults | fields))


def make_webhook_payload(webhook: BoardWebhook, **fields: Any) -> WebhookPayload:
    defaults = {
        "payload": {"action": "opened"},
        "headers": {"content-type": "application/json"},
        "source_ip": "192.0.2.7",
        "content_type": "application/json",
        "size": 20,
        "received_at": now(),
        "state": PayloadState.RECEIVED,
    }
    return WebhookPayload(
        id=new_id(), board_id=webhook.board_id, webhook_id=webhook.id, **(defaults | fields)
    )


def make_sign_in(user: User) -> SignIn:
    return SignIn(
        id=new_id(),
        user=user,
        secret_hash=hash_token(cookie_secret(user)),
        created_at=now(),
        authenticated_at=now(),
        last_seen_at=now(),
        expires_at=now().replace(year=now().year + 1, day=1),
    )


def make_api_token(user: User) -> ApiToken:
    token = token_secret(user)
    return ApiToken(
        user=user,
        name="script",
        prefix=token_prefix(token),
        secret_hash=hash_token(token),
        created_at=now(),
    )


def make_agent_token(agent: Agent) -> AgentToken:
    token = token_secret(agent)
    return AgentToken(
        agent=agent,
        prefix=token_prefix(token),
        secret_hash=hash_token(token),
        created_at=now(),
        first_used_at=now(),
    )
