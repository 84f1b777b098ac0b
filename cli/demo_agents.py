"""The scripted agents of the demo: programs that use the real HTTP API."""

import asyncio
import itertools
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import httpx2

from cli.demo_content import DEMO_BOARDS, DemoBoard, DemoTask

STEP_INTERVAL = 4.0  # average seconds between two steps of an agent
MAX_PENDING_APPROVALS = 4  # per board; the lead then requests no more
MAX_OPEN_TASKS = 6  # per board; the lead then adds no more
MAX_TASKS = 60  # per board, including finished ones; the lead then adds no more
REOPEN_PROBABILITY = 0.06  # per step of an idle worker on a board without a lead

log = logging.getLogger("mission_control.demo")
TASKS_BY_TITLE = {
    task.title: task for board in DEMO_BOARDS for task in (*board.tasks, *board.later_tasks)
}


class AgentScript(ABC):
    """Base class of the scripted agents."""

    def __init__(self, url: str, token: str, board_id: str, demo_board: DemoBoard) -> None:
        self.demo_board = demo_board
        self.board_path = f"/agent/boards/{board_id}"
        self.id = ""
        self._client = httpx2.AsyncClient(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20
        )

    async def run(self) -> None:
        """Perform steps until cancelled; a failed request is logged and the next step follows."""
        async with self._client:
            while True:
                try:
                    self.id = (await self.call_api("POST", "/agent/heartbeat"))["id"]
                    await self.perform_step()
                except httpx2.HTTPError as error:
                    log.info("a demo agent waits: %s", error)
                await asyncio.sleep(STEP_INTERVAL * random.uniform(0.6, 1.4))  # noqa: S311

    @abstractmethod
    async def perform_step(self) -> None:
        """Perform one step of the agent's work."""

    async def call_api(self, method: str, path: str, **json: Any) -> Any:
        """Call the API and return its JSON; raise HTTPError for an error status."""
        response = await self._client.request(method, path, json=json or None)
        response.raise_for_status()
        return response.json()

    async def list_tasks(self) -> list[dict[str, Any]]:
        """Return the board's tasks, oldest first."""
        return (await self.call_api("GET", f"{self.board_path}/tasks"))["items"][::-1]

    async def list_comments(self, task: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the comments on a task."""
        path = f"{self.board_path}/tasks/{task['id']}/comments"
        return (await self.call_api("GET", path))["items"]

    async def move_task(self, task: dict[str, Any], status: str, **fields: Any) -> None:
        """Change the status of a task."""
        await self.call_api(
            "PATCH", f"{self.board_path}/tasks/{task['id']}", status=status, **fields
        )


class WorkerScript(AgentScript):
    """Works on one task after the other: starts it, comments on it, and moves it to review."""

    completes_tasks = False

    async def perform_step(self) -> None:
        """Continue the current task, or start the next one."""
        tasks = await self.list_tasks()
        own_tasks = [task for task in tasks if task["assigned_agent_id"] == self.id]
        current_tasks = [task for task in own_tasks if task["status"] == "in_progress"]
        if current_tasks:
            await self._continue_task(current_tasks[0])
        elif self.completes_tasks and (reviewed := [t for t in tasks if t["status"] == "review"]):
            await self.move_task(reviewed[0], "done")
        else:
            await self._start_next_task(tasks)

    async def _continue_task(self, task: dict[str, Any]) -> None:
        posted = [one for one in await self.list_comments(task) if one["agent_id"] == self.id]
        comments = _find_demo_task(task).comments or ("Done as described.",)
        if len(posted) < len(comments):
            path = f"{self.board_path}/tasks/{task['id']}/comments"
            await self.call_api("POST", path, message=comments[len(posted)])
        else:
            await self.move_task(task, "review", comment="Ready for review.")

    async def _start_next_task(self, tasks: list[dict[str, Any]]) -> None:
        available = [
            task
            for task in tasks
            if task["status"] == "inbox"
            and not task["is_blocked"]
            and task["assigned_agent_id"] in (None, self.id)
        ]
        if available:
            await self.move_task(available[0], "in_progress")


class SoloWorkerScript(WorkerScript):
    """A worker on a board without a lead: also completes tasks and sometimes reopens one."""

    completes_tasks = True

    async def _start_next_task(self, tasks: list[dict[str, Any]]) -> None:
        done = [task for task in tasks if task["status"] == "done"]
        if len(done) == len(tasks) and done and random.random() < REOPEN_PROBABILITY:  # noqa: S311
            reopened = random.choice(done)  # noqa: S311
            await self.move_task(reopened, "inbox", comment="Time to look at it again.")
        else:
            await super()._start_next_task(tasks)


class LeadScript(AgentScript):
    """Requests approvals for reviewed tasks, completes approved ones, and adds new tasks."""

    def __init__(self, url: str, token: str, board_id: str, demo_board: DemoBoard) -> None:
        super().__init__(url, token, board_id, demo_board)
        self._new_tasks: Iterator[DemoTask] = itertools.cycle(demo_board.later_tasks)
        self._handled_rejections: set[str] = set()  # ids of approvals

    async def perform_step(self) -> None:
        """Handle each task in review, and add a task while few are open."""
        tasks = await self.list_tasks()
        approvals = (await self.call_api("GET", f"{self.board_path}/approvals"))["items"]
        pending = sum(approval["status"] == "pending" for approval in approvals)
        for task in [task for task in tasks if task["status"] == "review"]:
            of_task = (approval for approval in approvals if task["id"] in approval["task_ids"])
            await self._review_task(task, next(of_task, None), pending)
        open_titles = {task["title"] for task in tasks if task["status"] != "done"}
        has_room = len(open_titles) < MAX_OPEN_TASKS and len(tasks) < MAX_TASKS
        if pending < MAX_PENDING_APPROVALS and has_room:
            await self._add_task(next(self._new_tasks), open_titles)

    async def _review_task(
        self, task: dict[str, Any], approval: dict[str, Any] | None, pending: int
    ) -> None:
        status = approval["status"] if approval else None
        if status == "approved" and await self._complete_task(task):
            return
        if approval and status == "rejected" and approval["id"] not in self._handled_rejections:
            self._handled_rejections.add(approval["id"])
            await self.move_task(task, "inbox")
        elif status != "pending" and pending < MAX_PENDING_APPROVALS:
            await self._request_approval(task)

    async def _complete_task(self, task: dict[str, Any]) -> bool:
        """Complete a task; return False if it changed, so that it needs a new approval."""
        try:
            await self.move_task(task, "done")
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == httpx2.codes.CONFLICT:
                return False
            raise
        return True

    async def _request_approval(self, task: dict[str, Any]) -> None:
        demo_task = _find_demo_task(task)
        await self.call_api(
            "POST",
            f"{self.board_path}/approvals",
            action_type="task.complete",
            task_id=task["id"],
            confidence=demo_task.confidence,
            payload={
                "title": demo_task.approval_title or f"Mark “{task['title']}” done?",
                "reason": demo_task.approval_reason or "The work is finished and reviewed.",
            },
        )

    async def _add_task(self, demo_task: DemoTask, open_titles: set[str]) -> None:
        if demo_task.title in open_titles:
            return
        await self.call_api(
            "POST",
            f"{self.board_path}/tasks",
            title=demo_task.title,
            description=demo_task.description,
            priority=demo_task.priority,
        )


def _find_demo_task(task: dict[str, Any]) -> DemoTask:
    return TASKS_BY_TITLE.get(task["title"], DemoTask(task["title"], ""))
