"""Write the database of the original, and restore it in tests of the import.

The original is abhi1693/openclaw-mission-control at commit 75eb8b08. `git archive 75eb8b08 backend`
extracts it into FOLDER; FOLDER/venv has its dependencies: Python 3.12, the requirements of its
pyproject.toml and the versions of its uv.lock. Then

    python -m tests.support.original_data FOLDER

writes tests/original/original.sql.xz and tests/original/device.json, its gateway identity. The
original's own migrations create the schema, and its own server writes the rows, called by
`_Content`, with a gateway that agrees to everything. What its API cannot create (other users
without Clerk, skills without a repository, fingerprints, values of older versions) is validated
by its SQLModel models: `_write_model_rows`. There is no Redis: its queue only repeats messages to
agents.

The content is small and difficult: texts of a megabyte, emoji, HTML, equal names, references to
deleted objects, JSON that PostgreSQL's jsonb refuses. `multiply_rows` makes it large.
"""

import hashlib
import hmac
import lzma
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.original_server import ModelRow, Original, run_gateway
from tests.support.postgres_servers import SYSTEM_PROGRAMS, TcpPostgres, find_loopback_address

FILE = Path(__file__).parent.parent / "original" / "original.sql.xz"
DEVICE_FILE = FILE.with_name("device.json")
MAX_BYTES = 150_000

FIRST_ORGANIZATION = "Personal"  # its default name
SECOND_ORGANIZATION = 'Zweite <b>Organisation</b> 🚀 "Süd"'
AGENT_NAMES = (
    *("Main", "Ava", "Worker", "Stale"),  # of the gateway "Cloud"
    *("Lab Main", "Süd Lead"),
    *("Home Main", "Süd Worker"),  # in the second organization
)
AGENT_TOKENS = {
    name: f"original-token-{number}-0123456789abcdef" for number, name in enumerate(AGENT_NAMES)
}
"""Clear texts; an agent "Main" is that of its gateway, called "Cloud Gateway Agent"."""
GATEWAY_TOKENS = {
    "Cloud": "gateway-token-in-clear-text",
    "Home": "second-gateway-token",
}
WEBHOOK_SECRETS = {"Signed": "webhook-secret-1", "Signed with own header": "geheim-🔑"}
OWN_SIGNATURE_HEADER = "X-Acme-Signature"

EMOJI = "👩🏽‍💻🏳️‍🌈 e\u0301 \u202eRTL\u202c \ufeff\u200b"
HTML = "<script>alert('x')</script><img src=x onerror=alert(1)> &amp; {{ 7*7 }} {% raw %}"
MARKDOWN = "# Title\n\n- [x] done\n\n```sh\nrm -rf /\n```\n[a](javascript:alert(1)) | b |\r\n\t"
LONG = "A long line of text with ümlaut. " * 8_000  # 264,000 characters

API = "/api/v1"
Row = dict[str, Any]


async def restore_original(connection: asyncpg.Connection) -> None:
    """Restore the stored database into an empty one."""
    await connection.execute(lzma.decompress(FILE.read_bytes()).decode())
    await connection.execute("reset all")  # the dump sets options of its connection


async def multiply_rows(connection: asyncpg.Connection, tasks: int, events: int) -> None:
    """Copy tasks and events of a restored database until it has so many of them.

    Every fourth of the new tasks has a tag, and every fourth of the new events is a comment.
    """
    await connection.execute(
        """
        create temporary table sources as
        select row_number() over (order by id) - 1 as number, *
        from tasks where length(title) < 100 and board_id is not null
        """
    )
    await connection.execute(
        """
        insert into tasks (id, board_id, title, description, status, priority, created_by_user_id,
                           assigned_agent_id, auto_created, created_at, updated_at)
        select gen_random_uuid(), s.board_id, 'Copy ' || n, 'Description of the copy ' || n,
               s.status, s.priority, s.created_by_user_id, s.assigned_agent_id, false,
               timestamp '2026-11-01' - n * interval '1 minute', timestamp '2026-11-01'
        from generate_series(1, $1 - (select count(*) from tasks)) as n
        join sources s on s.number = n % (select count(*) from sources)
        """,
        tasks,
    )
    await connection.execute("drop table sources")
    await connection.execute(
        """
        create temporary table copies as
        select row_number() over (order by t.id) - 1 as number, t.*, b.organization_id
        from tasks t join boards b on b.id = t.board_id where t.title like 'Copy %'
        """
    )
    await connection.execute(
        """
        insert into tag_assignments (id, task_id, tag_id, created_at)
        select gen_random_uuid(), c.id, g.id, c.created_at
        from copies c
        join (select distinct on (organization_id) * from tags order by organization_id, id) as g
          using (organization_id)
        where c.number % 4 = 0
        """
    )
    await connection.execute(
        """
        insert into activity_events (id, event_type, message, agent_id, task_id, board_id,
                                     created_at)
        select gen_random_uuid(),
               case n % 4 when 0 then 'task.comment' else 'task.updated' end,
               'Message ' || n, c.assigned_agent_id, c.id, c.board_id,
               c.created_at + n * interval '1 second'
        from generate_series(1, $1 - (select count(*) from activity_events)) as n
        join copies c on c.number = n % (select count(*) from copies)
        """,
        events,
    )
    await connection.execute("drop table copies")
    await connection.execute("analyze")


def store_original(folder: Path) -> Path:
    """Write the stored database with the original in this folder."""
    assert SYSTEM_PROGRAMS is not None, "install PostgreSQL from the packages of the system"
    FILE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        programs = SYSTEM_PROGRAMS.parent
        postgres = TcpPostgres(Path(name), find_loopback_address(), programs=programs)
        postgres.start()
        try:
            original = Original(folder, postgres.url, Path(name) / "device.json")
            original.migrate()
            with run_gateway() as gateway_url, original.run_server():
                content = _Content(original, gateway_url)
                content.write()
            _write_model_rows(original, content)
            FILE.write_bytes(lzma.compress(_dump(programs, postgres.url), preset=9))
            DEVICE_FILE.write_bytes(original.identity_file.read_bytes())
        finally:
            postgres.stop()
    assert FILE.stat().st_size <= MAX_BYTES
    return FILE


def _dump(programs: Path, url: str) -> bytes:
    """Return statements that need no program of PostgreSQL, and run with version 15 and newer."""
    words = ("--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges", "--no-comments")
    dumped = subprocess.run([programs / "pg_dump", *words, url], check=True, capture_output=True)
    lines = dumped.stdout.split(b"\n")
    return b"\n".join(
        line
        for line in lines
        if not line.startswith((b"\\restrict ", b"\\unrestrict ", b"SET transaction_timeout"))
    )


class _Content:
    """What the original's users and agents write through its API."""

    def __init__(self, original: Original, gateway_url: str) -> None:
        self._original = original
        self._gateway_url = gateway_url
        self.ids: dict[str, str] = {}
        """Of objects that others refer to, by a name of this module."""

    def write(self) -> None:
        """Write everything, in an order in which each object finds those that it needs."""
        self._write_organizations()
        self._write_people()
        self._write_gateways_and_boards()
        self._write_agents()
        self._write_fields_and_tags()
        self._write_tasks()
        self._write_approvals()
        self._write_memory()
        self._write_webhooks()
        self._write_onboarding()
        self._write_skills()
        self._write_second_organization()
        self._delete_objects()

    def _call(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        token = {"Authorization": f"Bearer {self._original.token}"}
        return self._original.request(method, API + path, body, headers=token, **options)

    def _create(self, name: str, path: str, body: Row) -> str:
        assert name not in self.ids
        self.ids[name] = self._call("POST", path, body)["id"]
        return self.ids[name]

    def _call_as_agent(self, agent: str, method: str, path: str, body: object = None) -> Any:
        """Call as an agent; each has an address of its own, because calls are limited by it."""
        return self._original.request(
            method,
            f"{API}/agent{path}",
            body,
            headers={"X-Agent-Token": AGENT_TOKENS[agent]},
            source=f"127.0.1.{1 + list(AGENT_TOKENS).index(agent)}",
        )

    def _write_organizations(self) -> None:
        me = self._call("POST", "/auth/bootstrap")
        self.ids["Local user"] = me["id"]
        self._call("PATCH", "/users/me", {"preferred_name": "Lo", "timezone": "Europe/Berlin"})
        self.ids["First"] = self._call("GET", "/organizations/me")["id"]
        self._create("Second", "/organizations", {"name": SECOND_ORGANIZATION})
        self._create("To delete", "/organizations", {"name": "An organization that is deleted"})
        self._call("DELETE", "/organizations/me")
        self._activate("First")

    def _activate(self, organization: str) -> None:
        body = {"organization_id": self.ids[organization]}
        self._call("PATCH", "/organizations/me/active", body)

    def _write_people(self) -> None:
        """Write users of Clerk with the models, because their sessions need Clerk."""
        rows: list[ModelRow] = []
        people = {
            "Alice": {"email": "alice@example.com", "name": "Alice <Admin>"},
            "Bob": {"email": "bob@example.com", "name": "Bob 👷", "timezone": "Mars/Phobos"},
            "Carol": {"email": "carol@example.com", "notes": LONG, "context": HTML},
            "Dave": {"email": "dave@example.com", "name": "", "pronouns": "they/them"},
            "Eve": {"email": "eve@example.com", "name": "Eve"},
            "Twin": {"email": "ALICE@example.com", "name": "Alice <Admin>"},
            "Nameless": {"email": None, "name": None, "is_super_admin": True},
            "Left": {"email": "left@example.com", "name": "Left every organization"},
        }
        for number, (name, values) in enumerate(people.items()):
            self.ids[name] = str(uuid.uuid4())
            clerk_id = f"user_2abCdEfGhIjKlMnOpQrStUvW{number:03}"
            rows.append(("User", None, {"id": self.ids[name], "clerk_user_id": clerk_id, **values}))
        self.ids["Third"] = str(uuid.uuid4())
        third = {"id": self.ids["Third"], "name": FIRST_ORGANIZATION}  # the same name again
        rows.append(("Organization", None, third))
        members = (
            ("First", "Alice", "admin"),
            ("First", "Bob", "member"),
            ("First", "Carol", "member"),
            ("First", "Nameless", "member"),
            ("Second", "Alice", "member"),
            ("Second", "Dave", "owner"),
            ("Second", "Twin", "admin"),
            ("Third", "Eve", "owner"),
        )
        for organization, user, role in members:
            member_id = self.ids[f"{user} in {organization}"] = str(uuid.uuid4())
            values = {"id": member_id, "organization_id": self.ids[organization], "role": role}
            rows.append(("OrganizationMember", None, {**values, "user_id": self.ids[user]}))
        for user, organization in (("Alice", "First"), ("Dave", "Second"), ("Eve", "Third")):
            values = {"active_organization_id": self.ids[organization]}
            rows.append(("User", self.ids[user], values))
        invite = {
            "organization_id": self.ids["Third"],
            "invited_email": "admin@home.local",
            "token": "invite-token-of-the-third-organization",
            "role": "admin",
            "created_by_user_id": self.ids["Eve"],
        }
        rows.append(("OrganizationInvite", None, invite))
        self._original.write_rows(*rows)
        self._call("POST", "/organizations/invites/accept", {"token": invite["token"]})
        self._activate("First")

    def _create_gateway(self, name: str, /, **values: object) -> None:
        body = {"name": name, "url": self._gateway_url, "workspace_root": "~/.openclaw", **values}
        gateway_id = self._create(name, "/gateways", body)
        agents = self._call("GET", f"/agents?gateway_id={gateway_id}")["items"]
        [self.ids[f"{name} main"]] = [row["id"] for row in agents if row["board_id"] is None]

    def _create_board(self, name: str, gateway: str, /, **values: object) -> str:
        given = {"slug": name.lower(), "description": f"The board {name}."}
        body = {"name": name, "gateway_id": self.ids[gateway], **given, **values}
        return self._create(name, "/boards", body)

    def _write_gateways_and_boards(self) -> None:
        self._create_gateway("Cloud", token=GATEWAY_TOKENS["Cloud"])
        self._create_gateway("Lab", allow_insecure_tls=True, disable_device_pairing=True)
        group = {"name": "Product", "slug": "product", "description": MARKDOWN}
        group_id = self._create("Product", "/board-groups", group)
        self._create("Empty group", "/board-groups", {"name": HTML, "slug": "empty"})
        self._create("Deleted group", "/board-groups", {"name": "Product", "slug": "product"})
        self._create_board(
            "Launch",
            "Cloud",
            board_group_id=group_id,
            objective="Launch the product. " + EMOJI,
            success_metrics={"metric": "users", "target": 1000, "nested": {"a": [1, None, "é"]}},
            target_date="2027-03-01T12:30:00+02:00",
            goal_confirmed=True,
            goal_source="manual",
            comment_required_for_review=True,
            max_agents=5,
        )
        self._create_board(
            "Operations",
            "Cloud",
            board_group_id=group_id,
            board_type="general",
            require_approval_for_done=False,
            require_review_before_done=True,
            block_status_changes_with_pending_approval=True,
            only_lead_can_change_status=True,
            max_agents=0,
        )
        self._create_board("Onboarded", "Cloud")
        self._create_board("Asked", "Lab", description=LONG)
        self._create_board("Unanswered", "Lab", name="Launch", slug="launch")  # equal to another
        self._create_board("Deleted board", "Lab", board_group_id=self.ids["Deleted group"])
        self._create_board("Long", "Lab", name=f"{EMOJI}{'long name ' * 100}", slug="")
        board_access = [
            {"board_id": self.ids["Launch"], "can_read": True, "can_write": True},
            {"board_id": self.ids["Operations"], "can_read": True, "can_write": False},
            {"board_id": self.ids["Deleted board"], "can_read": True},
        ]
        members = "/organizations/me/members"
        everything = {"all_boards_read": True, "all_boards_write": True}
        self._call("PUT", f"{members}/{self.ids['Alice in First']}/access", everything)
        self._call(
            "PUT", f"{members}/{self.ids['Bob in First']}/access", {"board_access": board_access}
        )
        self._call(
            "PUT", f"{members}/{self.ids['Carol in First']}/access", {"all_boards_read": True}
        )
        invites = (
            {"invited_email": "new@example.com", "board_access": board_access},
            {"invited_email": "NEW.Admin@Example.com", "role": "admin", **everything},
            {"invited_email": "dave@example.com", "all_boards_read": True},  # who is in the second
            {"invited_email": "not an address", "role": "member"},
        )
        for invite in invites:
            self._call("POST", "/organizations/me/invites", invite)
        revoked = {"invited_email": "revoked@example.com"}
        invite_id = self._call("POST", "/organizations/me/invites", revoked)["id"]
        self._call("DELETE", f"/organizations/me/invites/{invite_id}")

    def _create_agent(self, name: str, board: str, /, **values: object) -> str:
        body = {"name": name, "board_id": self.ids[board], **values}
        return self._create(name, "/agents", body)

    def _write_agents(self) -> None:
        profile = {"role": "Engineer", "emoji": "🦊", "communication_style": HTML, "autonomy": "x"}
        self._create_agent(
            "Worker",
            "Launch",
            identity_profile=profile,
            identity_template="# Identity\n{{ agent_name }} " + EMOJI,
            soul_template="# Soul\nBe kind.\n" * 500,
            heartbeat_config={"every": "10m", "target": "last", "includeReasoning": False},
        )
        self._create_agent("Stale", "Operations", heartbeat_config={})
        self._create_agent("To be deleted", "Launch")
        self._create_agent("Ava", "Launch")
        leads: list[ModelRow] = [("Agent", self.ids["Ava"], {"is_board_lead": True})]
        self._set_agent_tokens({"Main": "Cloud main", "Worker": "Worker", "Stale": "Stale"})
        self._set_agent_tokens({"Ava": "Ava"})
        self._original.write_rows(*leads)
        for agent in ("Main", "Ava", "Worker"):
            self._call_as_agent(agent, "POST", "/heartbeat", {"status": "online"})

    def _set_agent_tokens(self, agents: dict[str, str]) -> None:
        """Replace the random tokens of agents with those that this module states."""
        tokens = [
            ("Agent", self.ids[agent], {"agent_token": AGENT_TOKENS[name]})
            for name, agent in agents.items()
        ]
        self._original.write_rows(*tokens)

    def _write_fields_and_tags(self) -> None:
        both = [self.ids["Launch"], self.ids["Operations"]]
        fields: dict[str, Row] = {
            "text": {"validation_regex": "[A-Z]+-[0-9]+", "default_value": "AB-1"},
            "text_long": {"description": MARKDOWN, "label": "Long " + EMOJI},
            "integer": {"default_value": 3, "label": "Estimate"},
            "decimal": {"label": "Estimate"},  # the same label again
            "boolean": {"default_value": False, "ui_visibility": "if_set"},
            "date": {"ui_visibility": "hidden"},
            "date_time": {"label": "Zeitpunkt"},
            "url": {"label": HTML},
            "json": {"default_value": {"a": [1, {"b": None}]}},
        }
        for field_type, values in fields.items():
            body = {"field_key": f"f_{field_type}", "field_type": field_type, "board_ids": both}
            path = "/organizations/me/custom-fields"
            self._create(f"Field {field_type}", path, {**body, **values})
        required = {"field_key": "Needed Key!", "required": True, "board_ids": both[1:]}
        self._create("Field needed", "/organizations/me/custom-fields", required)
        unused = {"field_key": "unused", "board_ids": both}
        self._create("Field deleted", "/organizations/me/custom-fields", unused)
        tags: tuple[tuple[str, Row], ...] = (
            ("Bug", {"color": "ff0000", "description": HTML}),
            ("Idea 💡", {"slug": "idea", "color": "#00FF00"}),
            ("Bug (equal name)", {"name": "Bug", "slug": "bug-2"}),
            ("Unused", {"description": LONG[:5000]}),
            ("Deleted tag", {}),
        )
        for name, values in tags:
            self._create(name, "/tags", {"name": name, **values})

    def _create_task(self, name: str, board: str, /, **values: object) -> str:
        body = {"title": name, **values}
        return self._create(name, f"/boards/{self.ids[board]}/tasks", body)

    def _write_tasks(self) -> None:
        launch = f"/boards/{self.ids['Launch']}/tasks"
        self._create_task("Start", "Launch", description=MARKDOWN, due_at="2026-12-24T18:00:00Z")
        self._create_task(
            "Fields",
            "Launch",
            priority="high",
            tag_ids=[self.ids["Bug"], self.ids["Idea 💡"], self.ids["Deleted tag"]],
            due_at="2026-12-31T23:59:59.999999-08:00",
            custom_field_values={
                "f_text": "XY-42",
                "f_text_long": LONG[:20_000],
                "f_integer": 10**18,
                "f_decimal": 0.1 + 0.2,
                "f_boolean": True,
                "f_date": "2027-02-28",
                "f_date_time": "2027-02-28T10:00:00+09:00",
                "f_url": "https://example.com/?q=<b>&x=ü",
                "f_json": {"deep": [[[[{"x": "a \u0000 b"}]]]], "": None},
            },
        )
        nulls = {"f_text": None, "f_integer": None, "f_json": None, "f_boolean": None}
        self._create_task("Empty fields", "Launch", custom_field_values=nulls)
        dependencies = [self.ids["Start"], self.ids["Fields"]]
        self._create_task("Blocked", "Launch", depends_on_task_ids=dependencies)
        self._create_task("Assigned", "Launch", assigned_agent_id=self.ids["Worker"])
        self._create_task("Orphaned", "Launch", assigned_agent_id=self.ids["To be deleted"])
        self._create_task("Deleted task", "Launch", tag_ids=[self.ids["Bug"]])
        self._create_task("Large", "Launch", title="Large " + LONG, description=LONG * 3)
        self._create_task("HTML", "Launch", title=HTML, description=HTML, priority="URGENT!!! 🔥")
        self._create_task("Start again", "Launch", title="Start", due_at="9999-12-31T23:59:59")
        self._create_task("Blank", "Launch", title=" ", description="", priority="")
        self._create_task("Decided", "Launch")
        self._create_task("Reviewed", "Launch")
        for number in range(4):
            values = {"Needed Key!": f"value {number}"}
            self._create_task(f"Routine {number}", "Operations", custom_field_values=values)
        review = {"status": "review", "comment": "Ready for review."}
        self._call("PATCH", f"{launch}/{self.ids['Reviewed']}", {"status": "in_progress"})
        self._call("PATCH", f"{launch}/{self.ids['Reviewed']}", review)
        self._call("PATCH", f"{launch}/{self.ids['Reviewed']}", {"status": "in_progress"})
        self._call("PATCH", f"{launch}/{self.ids['Reviewed']}", review)
        for message in ("A comment", MARKDOWN, HTML, EMOJI, LONG, "@Worker @lead please look"):
            path = f"{launch}/{self.ids['Start']}/comments"
            self._call("POST", path, {"message": message})
        board = f"/boards/{self.ids['Launch']}/tasks"
        by_lead = {"title": "Created by the lead", "depends_on_task_ids": [self.ids["Start"]]}
        created = self._call_as_agent("Ava", "POST", board, by_lead)
        self.ids["By lead"] = created["id"]
        assigned = f"{board}/{self.ids['Assigned']}"
        self._call_as_agent("Worker", "PATCH", assigned, {"status": "in_progress"})
        comment = {"message": "I work on it. " + EMOJI}
        self._call_as_agent("Worker", "POST", f"{assigned}/comments", comment)
        self._call_as_agent("Worker", "PATCH", assigned, {**review, "comment": "Done, I think."})
        lead_comment = {"message": "@Worker looks good"}
        self._call_as_agent("Ava", "POST", f"{assigned}/comments", lead_comment)

    def _write_approvals(self) -> None:
        path = f"/boards/{self.ids['Launch']}/approvals"

        def create(name: str, tasks: tuple[str, ...], **values: object) -> str:
            body = {"action_type": "task.complete", "confidence": 62.5, "lead_reasoning": name}
            task_ids = [self.ids[task] for task in tasks]
            return self._create(name, path, {**body, "task_ids": task_ids, **values})

        for status in ("approved", "rejected"):
            approval = create(f"Approval {status}", ("Decided", "Start"))
            self._call("PATCH", f"{path}/{approval}", {"status": status})
        done = {"status": "done"}
        decided = f"/boards/{self.ids['Launch']}/tasks/{self.ids['Decided']}"
        self._call("PATCH", decided, done)
        create("Approval of three", ("Blocked", "Large", "HTML"), confidence=0)
        create("Approval without task", (), action_type="deploy.production", confidence=100)
        create(
            "Approval with content",
            ("Deleted task", "Orphaned"),
            agent_id=self.ids["Worker"],
            payload={"reason": HTML, "command": "rm -rf /", "deep": {"a": [1, 2, {"b": "\u0000"}]}},
            rubric_scores={"clarity": 40, "risk": -7, "ünïcode 🧪": 10**12},
        )
        create("Approval of a created state", ("Fields",), status="approved", action_type=" ")
        create("Large approval", ("Blank",), action_type="x" * 2000, payload={"reason": LONG})
        reopened = create("Approval reopened", ("Reviewed",))
        for status in ("rejected", "pending"):
            self._call("PATCH", f"{path}/{reopened}", {"status": status})
        by_agent = {
            "action_type": "task.execute",
            "confidence": 80,
            "agent_id": self.ids["Worker"],
            "task_id": self.ids["Assigned"],
            "payload": {"decision": {"reason": "Nested reason"}},
        }
        self._call_as_agent("Ava", "POST", path, by_agent)

    def _write_memory(self) -> None:
        notes: tuple[Row, ...] = (
            {"content": "A note", "tags": ["decision", "ü 🏷️", ""], "source": "user"},
            {"content": MARKDOWN, "tags": []},
            {"content": HTML, "source": "<b>source</b>"},
            {"content": LONG, "tags": ["x" * 500]},
            {"content": "Hello @Worker " + EMOJI, "tags": ["chat"]},
        )
        for note in notes:
            self._call("POST", f"/boards/{self.ids['Launch']}/memory", note)
            self._call("POST", f"/board-groups/{self.ids['Product']}/memory", note)
        agent_note = {"content": "A note of an agent", "tags": ["chat"], "source": "Worker"}
        memory = f"/boards/{self.ids['Launch']}/memory"
        self._call_as_agent("Worker", "POST", memory, agent_note)

    def _write_webhooks(self) -> None:
        path = f"/boards/{self.ids['Launch']}/webhooks"
        signed = {"secret": WEBHOOK_SECRETS["Signed"], "agent_id": self.ids["Worker"]}
        self._create("Signed", path, {"description": "Signed", **signed})
        own_header = {
            "description": "Signed with own header",
            "secret": WEBHOOK_SECRETS["Signed with own header"],
            "signature_header": OWN_SIGNATURE_HEADER,
        }
        self._create("Signed with own header", path, own_header)
        self._create("Unsigned", path, {"description": "Unsigned " + HTML})
        self._create("Disabled", path, {"description": "Disabled", "enabled": False})
        self._create("Deleted webhook", path, {"description": "Deleted"})
        self._create("Long webhook", path, {"description": LONG[:10_000]})
        bodies = (
            (b'{"action": "opened", "number": 1}', "application/json"),
            (b"[1, 2.5, null, true]", "application/json"),
            (b"null", "application/json"),
            (b'"text"', "application/json"),
            (b"17", "application/json"),
            (b"", ""),
            (b"not { json", "application/json"),
            (b"\xff\xfe binary \x80", "application/octet-stream"),
            (b'{"nul": "a\\u0000b", "half": "\\ud83d", "big": %d}' % 10**100, "application/json"),
            (b"[" * 200 + b"]" * 200, "application/json"),
            (b"x" * 1_048_576, "text/plain; charset=utf-8"),
        )
        for body, content_type in bodies:
            headers = {"Content-Type": content_type, "X-Event": "push", "User-Agent": "tests"}
            self._deliver("Unsigned", body, headers)
        body = '{"signed": "ü"}'.encode()
        headers = {"Signed": "X-Hub-Signature-256", "Signed with own header": OWN_SIGNATURE_HEADER}
        for name, header in headers.items():
            secret = WEBHOOK_SECRETS[name].encode()
            signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
            self._deliver(name, body, {header: signature, "Content-Type": "application/json"})
        self._deliver("Deleted webhook", b"{}", {"Content-Type": "application/json"})

    def _deliver(self, name: str, body: bytes, headers: dict[str, str]) -> None:
        path = f"{API}/boards/{self.ids['Launch']}/webhooks/{self.ids[name]}"
        self._original.request("POST", path, raw=body, headers=headers)

    def _write_onboarding(self) -> None:
        for board in ("Onboarded", "Asked", "Unanswered"):
            self._call("POST", f"/boards/{self.ids[board]}/onboarding/start", {})
        self._set_agent_tokens({"Lab Main": "Lab main"})
        question = {
            "question": "What is the goal? " + HTML,
            "options": [{"id": "1", "label": "Grow"}, {"id": "2", "label": "Other (I'll type it)"}],
        }
        draft = {
            "status": "complete",
            "board_type": "goal",
            "objective": "Grow " + EMOJI,
            "success_metrics": {"metric": "users", "target": "10k"},
            "target_date": "2027-06-30",
            "user_profile": {"preferred_name": "Lo", "pronouns": "she/her", "notes": MARKDOWN},
            "lead_agent": {
                "name": "Süd Lead",
                "identity_profile": {"role": "Board Lead", "emoji": ":gear:"},
                "autonomy_level": "balanced",
                "verbosity": "concise",
                "output_format": "bullets",
                "update_cadence": "daily",
                "custom_instructions": MARKDOWN,
            },
        }
        onboarded = f"/boards/{self.ids['Onboarded']}/onboarding"
        self._call_as_agent("Main", "POST", onboarded, question)
        answer = {"answer": "Other (I'll type it)", "other_text": HTML}
        self._call("POST", f"{onboarded}/answer", answer)
        self._call_as_agent("Main", "POST", onboarded, draft)
        confirmed = ("board_type", "objective", "success_metrics", "target_date")
        self._call("POST", f"{onboarded}/confirm", {key: draft[key] for key in confirmed})
        agents = self._call("GET", f"/agents?board_id={self.ids['Onboarded']}")["items"]
        [self.ids["Süd Lead"]] = [row["id"] for row in agents]
        self._set_agent_tokens({"Süd Lead": "Süd Lead"})
        asked = f"/boards/{self.ids['Asked']}/onboarding"
        self._call_as_agent("Lab Main", "POST", asked, question)

    def _write_skills(self) -> None:
        packs: tuple[Row, ...] = (
            {"source_url": "https://github.com/example/skills", "branch": "release/1.0"},
            {"source_url": "https://github.com/example/unnamed.git", "metadata": {"a": [{}]}},
            {"source_url": "https://github.com/example/deleted", "name": "Deleted pack"},
        )
        for pack in packs:
            self.ids[pack["source_url"]] = self._call("POST", "/skills/packs", pack)["id"]
        rows: list[ModelRow] = []  # its own answer to the creation of a skill is 500
        for name in ("review", "deploy"):
            source = f"https://github.com/example/skills/tree/main/skills/{name}"
            values = {"name": f"Skill {name}", "description": MARKDOWN, "source": "example"}
            skill = self.ids[f"Skill {name}"] = str(uuid.uuid4())
            row = {"id": skill, "organization_id": self.ids["First"], "source_url": source}
            rows.append(("MarketplaceSkill", None, {**row, **values, "risk": "low"}))
        self._original.write_rows(*rows)
        for name in ("review", "deploy"):
            path = f"/skills/marketplace/{self.ids[f'Skill {name}']}/install"
            self._call("POST", f"{path}?gateway_id={self.ids['Cloud']}")

    def _write_second_organization(self) -> None:
        self._activate("Second")
        self._create_gateway("Home", token=GATEWAY_TOKENS["Home"])
        self._create_gateway("Home again", name="Home")  # without token, and the same name
        self._create("Second group", "/board-groups", {"name": "Product", "slug": "product"})
        group_id = self.ids["Second group"]
        board_id = self._create_board("Süd", "Home", board_group_id=group_id, slug="launch")
        self._create("Second tag", "/tags", {"name": "Bug"})
        self._create_task("Task of the second", "Süd", tag_ids=[self.ids["Second tag"]])
        self._create_agent("Süd Worker", "Süd")
        self._set_agent_tokens({"Home Main": "Home main", "Süd Worker": "Süd Worker"})
        self._call_as_agent("Süd Worker", "POST", "/heartbeat", {"status": "online"})
        webhook = {"description": "Webhook of the second"}
        self._create("Second webhook", f"/boards/{board_id}/webhooks", webhook)
        approval = {"action_type": "x", "confidence": 1, "lead_reasoning": "y"}
        self._call("POST", f"/boards/{board_id}/approvals", approval)
        field = {"field_key": "f_text", "board_ids": [board_id]}
        self._create("Second field", "/organizations/me/custom-fields", field)
        invite = {"invited_email": "new@example.com", "board_access": [{"board_id": board_id}]}
        self._call("POST", "/organizations/me/invites", invite)
        self._activate("First")

    def _delete_objects(self) -> None:
        launch = f"/boards/{self.ids['Launch']}"
        paths = (
            f"{launch}/tasks/{self.ids['Deleted task']}",
            f"{launch}/webhooks/{self.ids['Deleted webhook']}",
            f"/tags/{self.ids['Deleted tag']}",
            f"/organizations/me/custom-fields/{self.ids['Field deleted']}",
            f"/agents/{self.ids['To be deleted']}",
            f"/boards/{self.ids['Deleted board']}",
            f"/board-groups/{self.ids['Deleted group']}",
            f"/skills/packs/{self.ids['https://github.com/example/deleted']}",
        )
        for path in paths:
            self._call("DELETE", path)


def _write_model_rows(original: Original, content: _Content) -> None:
    """Write what the API refuses or cannot reach, validated by the original's models."""
    ids = content.ids
    launch, worker = ids["Launch"], ids["Worker"]
    task = {"board_id": launch, "created_at": "2025-01-01T00:00:00"}
    event = {"board_id": launch, "agent_id": worker}
    skill = {"organization_id": ids["First"], "metadata_": {"pack": {"n": [None, "\u0000"]}}}
    rows: list[ModelRow] = [
        # The addresses were those of a gateway of the tests.
        ("Gateway", ids["Cloud"], {"url": "wss://gateway.example.com:18789/ws"}),
        ("Gateway", ids["Lab"], {"url": "ws://10.0.0.5:18789"}),
        ("Gateway", ids["Home"], {"url": "ws://192.168.7.20:18789"}),
        ("Gateway", ids["Home again"], {"url": " http://user:pw@[::1]:18789/?token=t#f "}),
        ("Gateway", None, _gateway(ids["Second"], "Broken", "not an address")),
        # What older versions have stored, and what has no rule there.
        ("Task", None, {**task, "title": "Without board", "board_id": None}),
        ("Task", None, {**task, "title": "Status of old", "status": "blocked"}),
        ("Task", None, {**task, "title": "Archived", "status": "archived", "priority": "none"}),
        ("Task", None, {**task, "title": "", "created_at": "0001-01-01T00:00:00"}),
        ("Task", None, {**task, "title": "Future", "created_at": "2999-06-01T00:00:00.000001"}),
        ("Task", None, {**task, "title": "Of Carol", "created_by_user_id": ids["Carol"]}),
        ("Approval", None, {**_approval(launch), "status": "expired"}),
        ("Approval", None, {**_approval(launch), "status": "approved", "resolved_at": None}),
        ("Approval", None, {**_approval(launch), "task_id": ids["By lead"], "confidence": 250}),
        ("Board", None, _board(ids["First"], "Without gateway", max_agents=-1)),
        ("Board", None, _board(ids["Third"], "Of the third", board_type="unknown type")),
        ("BoardMemory", None, {"board_id": launch, "content": " ", "tags": None}),
        ("BoardGroupMemory", None, {"board_group_id": ids["Product"], "content": ""}),
        ("ActivityEvent", None, {"event_type": "unknown.type 🧨", "message": None}),
        ("ActivityEvent", None, {**event, "event_type": "x" * 1000, "message": LONG}),
        ("ActivityEvent", None, {**event, "event_type": "", "created_at": "1970-01-01T00:00:00"}),
        ("MarketplaceSkill", None, {**skill, "name": "Odd", "source_url": "javascript:alert(1)"}),
        (
            "MarketplaceSkill",
            None,
            {**skill, "name": HTML, "source_url": "", "category": "c" * 300, "risk": "🔥"},
        ),
        *_agent_rows(ids),
        *_onboarding_rows(ids),
    ]
    for board, name in (("Launch", "Decided"), ("Launch", "Reviewed"), ("Operations", "Routine 0")):
        fingerprint = hashlib.sha256(f"{ids[board]}::{name.lower()}::".encode()).hexdigest()
        values = {"board_id": ids[board], "task_id": ids[name], "fingerprint_hash": fingerprint}
        rows.append(("TaskFingerprint", None, values))
    original.write_rows(*rows)


def _gateway(organization_id: str, name: str, url: str) -> Row:
    values = {"organization_id": organization_id, "name": name, "url": url}
    return {**values, "token": "x" * 5000, "workspace_root": "../../etc"}


def _approval(board_id: str) -> Row:
    return {"board_id": board_id, "action_type": "old", "confidence": 50, "payload": {"a": []}}


def _board(organization_id: str, name: str, **values: object) -> Row:
    return {"organization_id": organization_id, "name": name, "slug": "launch", **values}


def _agent_rows(ids: dict[str, str]) -> list[ModelRow]:
    """Return agents in states in which the original leaves them when a gateway is away."""
    now = "2026-11-30T08:00:00.123456"
    worker = {"board_id": ids["Launch"], "gateway_id": ids["Cloud"], "name": "Worker"}
    states: tuple[Row, ...] = (
        {"status": "deleting", "delete_requested_at": now, "delete_confirm_token_hash": "d" * 64},
        {"status": "updating", "provision_requested_at": now, "provision_action": "update"},
        {"status": "provisioning", "provision_confirm_token_hash": "p" * 64, "wake_attempts": 3},
        {"status": "offline", "last_seen_at": now, "last_provision_error": HTML * 50},
        {"status": "paused " + EMOJI, "agent_token_hash": "no hash", "name": HTML},
        {"status": "online", "is_board_lead": True, "name": "A second lead", "last_seen_at": now},
        {"status": "online", "board_id": None, "name": "A second main agent"},
        {"status": "online", "name": "n" * 2000, "heartbeat_config": {"every": {"a": [None]}}},
        {"status": "online", "gateway_id": ids["Lab"], "name": "On another gateway"},
        {"status": "", "name": "", "identity_profile": {"list": [1, {"x": "\u0000"}], "": None}},
    )
    rows: list[ModelRow] = [("Agent", None, {**worker, **state}) for state in states]
    return [*rows, ("Agent", ids["Stale"], {"last_seen_at": "2026-01-01T00:00:00"})]


def _onboarding_rows(ids: dict[str, str]) -> list[ModelRow]:
    session = {"board_id": ids["Launch"], "session_key": "agent:main:main"}
    odd = [{"role": "assistant", "content": {"question": None}}, {}, {"content": "\u0000"}]
    return [
        ("BoardOnboardingSession", None, {**session, "status": "abandoned", "messages": odd}),
        ("BoardOnboardingSession", None, {**session, "messages": [], "draft_goal": {"x": HTML}}),
        ("BoardOnboardingSession", None, {**session, "status": "completed", "session_key": ""}),
    ]


if __name__ == "__main__":
    print(store_original(Path(sys.argv[1]).resolve()))
