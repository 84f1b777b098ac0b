"""The data of the benchmark: an organization with boards, tasks, agents, approvals and events."""

from dataclasses import dataclass

import asyncpg

from bench.client import Call, Client
from bench.installation import DATABASE, USER, DatabaseServer, open_client, sign_in
from tests.support.row_copies import multiply_rows

API = "/api/v1"
STATUSES = ("inbox", "in_progress", "review", "inbox", "done")
EVENTS = 5_000
FIRST_NUMBER = 1_000_000_000  # leaves numbers for the copies, which are older
NUMBERED = ("activity_events", "agent_messages")


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    tasks: int = 200  # of the first board
    boards: int = 20
    agents: int = 25
    many_agents: int = 10_000
    calls: int = 40  # in a round
    rounds: int = 5
    viewers: int = 50
    subscribers: tuple[int, ...] = (1_000,)
    hook_calls: int = 200  # in a round
    held_calls: int = 1_000
    gateway_agents: int = 20
    factor: int = 100  # of the growth of the data; a tenth of that of boards and organizations
    events: int = 1_000_000
    page: int = 200  # rows of a full page
    load_seconds: float = 60
    idle_seconds: float = 20
    writer_seconds: float = 5  # of a round with several processes
    soak_seconds: float = 900
    soak_agents: int = 200
    soak_subscribers: int = 500
    soak_pages: int = 20


QUICK = Scale(
    tasks=10,
    boards=3,
    agents=3,
    many_agents=30,
    calls=1,
    rounds=1,
    viewers=2,
    subscribers=(5,),
    hook_calls=3,
    held_calls=50,
    gateway_agents=2,
    factor=2,
    events=1_000,
    page=20,
    load_seconds=2,
    idle_seconds=1,
    writer_seconds=0.2,
    soak_seconds=30,
    soak_agents=6,
    soak_subscribers=9,
    soak_pages=3,
)


@dataclass(frozen=True)
class Dataset:
    """What the requests of the benchmark need to know about the data."""

    boards: list[str]
    tasks: list[str]  # of the first board
    board_tasks: dict[str, str]  # one task of each board
    agent_tokens: list[str]  # the first agents belong to the first board
    cookie: str

    @property
    def board(self) -> str:
        """The board with many tasks."""
        return self.boards[0]

    @property
    def session(self) -> tuple[tuple[str, str], ...]:
        """The headers of a page request."""
        return (("cookie", self.cookie), ("sec-fetch-site", "same-origin"))

    @property
    def agent(self) -> tuple[tuple[str, str], ...]:
        """The headers of an agent of the first board."""
        return (("x-agent-token", self.agent_tokens[0]),)


NO_DATA = Dataset([], [], {}, [], "")


async def create_dataset(server: DatabaseServer, scale: Scale) -> Dataset:
    """Fill the first database, through the API as far as there are rules to follow."""
    settings = server.settings_of(DATABASE)
    connection = await asyncpg.connect(settings.dsn)
    for table in NUMBERED:
        await connection.execute(f"ALTER TABLE {table} ALTER seq RESTART WITH {FIRST_NUMBER}")
    async with open_client(settings) as client:
        writer = _Writer(client)
        await writer.create("/auth/bootstrap")
        boards = [await writer.create_board(number) for number in range(scale.boards)]
        tasks = await writer.create_tasks(boards[0], scale.tasks)
        others = {board: (await writer.create_tasks(board, 3))[0] for board in boards[1:]}
        tokens = await writer.create_agents(boards, scale.agents)
        await writer.create_details(boards[0], tasks, tokens[: max(scale.agents // 5, 1)])
    present = await connection.fetchval("SELECT count(*) FROM activity_events")
    await connection.close()
    await multiply_rows(settings, {"activity_events": "true"}, -(-EVENTS // present))
    [cookie] = await sign_in(settings)
    return Dataset(boards, tasks, {boards[0]: tasks[0]} | others, tokens, cookie)


class _Writer:
    """Creates objects with the API."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(self, path: str, **body: object) -> dict[str, str]:
        call = Call("POST", f"{API}{path}", body, USER)
        return (await self._client.send_checked(call)).json()

    async def create_board(self, number: int) -> str:
        board = await self.create(
            "/boards",
            name=f"Board {number}",
            description="Measured",
            require_approval_for_done=False,
            max_agents=20_000,
        )
        return board["id"]

    async def create_tasks(self, board: str, count: int) -> list[str]:
        tags = await self._create_tags() if count > 3 else []
        ids: list[str] = []
        for number in range(count):
            status = STATUSES[number % len(STATUSES)]
            task = await self.create(
                f"/boards/{board}/tasks",
                title=f"Task number {number}",
                description=f"**Task** {number} of the benchmark. " * 4,
                status=status,
                tag_ids=tags[: number % 3],
                depends_on_task_ids=ids[-5:-4] if number % 10 == 5 else [],
            )
            ids.append(task["id"])
        return ids

    async def _create_tags(self) -> list[str]:
        return [(await self.create("/tags", name=f"Tag {n}"))["id"] for n in range(4)]

    async def create_agents(self, boards: list[str], count: int) -> list[str]:
        """Create a fifth of the agents on the first board, and the others on all boards."""
        places = [boards[0]] * (count // 5) + boards * count
        return [
            (await self.create("/agents", name=f"Agent {n}", board_id=board))["token"]
            for n, board in enumerate(places[:count])
        ]

    async def create_details(self, board: str, tasks: list[str], tokens: list[str]) -> None:
        """Create comments, memory, and an approval for each task in review.

        The agents with `tokens` request them in turn: there is a limit for each requester.
        """
        for number, task in enumerate(tasks):
            await self.create(f"/boards/{board}/tasks/{task}/comments", message=f"Note {number}.")
            await self.create(f"/boards/{board}/memory", content=f"A fact, number {number}.")
        for number, task in enumerate(tasks[2::5]):
            body = {
                "action_type": "task.complete",
                "task_id": task,
                "confidence": 90,
                "payload": {"reason": "It is ready."},
            }
            path = f"{API}/boards/{board}/approvals"
            agent = (("x-agent-token", tokens[number % len(tokens)]),)
            await self._client.send_checked(Call("POST", path, body, agent))
