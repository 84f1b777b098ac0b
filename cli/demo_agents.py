"""The scripted agents of the demo: programs that use the real HTTP API."""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from typing import Any

import httpx2

from cli.demo_content import TASKS_BY_TITLE, DemoAgent, DemoBoard, DemoTask

STEP_INTERVAL = 75.0  # average seconds between two steps of an agent
CHAT_EVERY = 6  # steps; in one of them, an agent writes in the chat
MAX_LIST = 200  # objects that an agent reads at once

log = logging.getLogger("mission_control.demo")


class AgentScript(ABC):
    """Base class of the scripted agents.

    A script says nothing twice: what it has written before is read from the board, also after a
    restart. The pauses depend only on the seed and the name of the agent.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        board_id: str,
        demo_board: DemoBoard,
        demo_agent: DemoAgent,
        *,
        seed: int = 0,
    ) -> None:
        """Create the script of an agent; the client sends its token."""
        self.demo_board, self.demo_agent = demo_board, demo_agent
        self.board_path = f"/agent/boards/{board_id}"
        self.id = ""
        self._client = client
        self._random = random.Random(f"{seed} {demo_agent.name}")  # noqa: S311
        self._step = 0
        self._handled_rejections: set[str] = set()  # ids of approvals

    async def run(self, speed: float = 1.0) -> None:
        """Perform steps until cancelled; a failed request is logged and the next step follows."""
        async with self._client:
            while True:
                try:
                    await self.perform_turn()
                except httpx2.HTTPError as error:
                    log.info("A demo agent waits: %s", error)
                await asyncio.sleep(self.choose_pause() / speed)

    def choose_pause(self) -> float:
        """Return the seconds until the next step."""
        return STEP_INTERVAL * self._random.uniform(0.5, 1.5)

    async def perform_turn(self) -> None:
        """Check in, read the messages, and chat or work."""
        self.id = (await self.call_api("POST", "/agent/heartbeat"))["id"]
        for message in (await self.call_api("GET", "/agent/messages"))["items"]:
            await self.call_api("POST", f"/agent/messages/{message['id']}/ack")
        self._step += 1
        is_chatting = self._step % CHAT_EVERY == 2
        if not (is_chatting and await self._write_in_chat()):
            await self.perform_step()

    async def _write_in_chat(self) -> bool:
        """Write the next line of the agent in the chat; return False if nothing is left."""
        path = f"{self.board_path}/memory"
        notes = (await self.call_api("GET", f"{path}?limit={MAX_LIST}"))["items"]
        written = {note["content"] for note in notes}
        line = next((line for line in self.demo_agent.chat if line not in written), None)
        if line:
            await self.call_api("POST", path, content=line, tags=["chat"])
        return line is not None

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
        path = f"{self.board_path}/tasks?limit={MAX_LIST}"
        return (await self.call_api("GET", path))["items"][::-1]

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

    async def perform_step(self) -> None:
        """Continue the current task, or start the next one."""
        tasks = await self.list_tasks()
        own_tasks = [task for task in tasks if task["assigned_agent_id"] == self.id]
        current_tasks = [task for task in own_tasks if task["status"] == "in_progress"]
        if current_tasks:
            await self._continue_task(current_tasks[0])
        else:
            await self._start_next_task(tasks)

    async def _continue_task(self, task: dict[str, Any]) -> None:
        posted = [one for one in await self.list_comments(task) if one["agent_id"] == self.id]
        comments = find_demo_task(task).comments or (f"“{task['title']}” is done as described.",)
        left = comments[len(posted) :]
        if len(left) > 1:
            path = f"{self.board_path}/tasks/{task['id']}/comments"
            await self.call_api("POST", path, message=left[0])
        else:
            await self.move_task(task, "review", **({"comment": left[0]} if left else {}))

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
    """A worker on a board without a lead, which also completes its tasks."""

    async def perform_step(self) -> None:
        """Complete a task that was reviewed for a while, or work."""
        reviewed = [task for task in await self.list_tasks() if task["status"] == "review"]
        if reviewed:
            await self.move_task(reviewed[0], "done")
        else:
            await super().perform_step()


class LeadScript(AgentScript):
    """Requests approvals for reviewed tasks, completes approved ones, and adds new tasks."""

    async def perform_step(self) -> None:
        """Handle the tasks in review, and add a task while few are open."""
        tasks = await self.list_tasks()
        path = f"{self.board_path}/approvals?limit={MAX_LIST}"
        approvals = (await self.call_api("GET", path))["items"]
        pending = sum(approval["status"] == "pending" for approval in approvals)
        for task in [task for task in tasks if task["status"] == "review"]:
            of_task = [one for one in approvals if task["id"] in one["task_ids"]]
            if await self._review_task(task, of_task, pending):
                return
        await self._add_task(tasks)

    async def _review_task(
        self, task: dict[str, Any], approvals: list[dict[str, Any]], pending: int
    ) -> bool:
        """Handle a task in review; return whether something was done. Newest approvals first."""
        demo_task, newest = find_demo_task(task), approvals[0] if approvals else None
        status = newest["status"] if newest else None
        needs_approval = bool(self.demo_board.approval_for_done or demo_task.approval_title)
        if not needs_approval or status == "approved":
            if await self._complete_task(task):
                return True
        elif newest and status == "rejected" and newest["id"] not in self._handled_rejections:
            self._handled_rejections.add(newest["id"])
            await self.move_task(task, "inbox")
            return True
        if status == "pending" or pending >= 4:
            return False
        await self._request_approval(task, demo_task, len(approvals) + 1)
        return True

    async def _complete_task(self, task: dict[str, Any]) -> bool:
        """Complete a task; return False if it changed, so that it needs a new approval."""
        try:
            await self.move_task(task, "done")
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == httpx2.codes.CONFLICT:
                return False
            raise
        return True

    async def _request_approval(
        self, task: dict[str, Any], demo_task: DemoTask, attempt: int
    ) -> None:
        reason = demo_task.approval_reason or "The work is finished and reviewed."
        payload = {
            "title": demo_task.approval_title or f"Mark “{task['title']}” done?",
            "reason": f"Attempt {attempt}. {reason}" if attempt > 1 else reason,
        }
        if demo_task.diff:
            payload["diff"] = demo_task.diff
        await self.call_api(
            "POST",
            f"{self.board_path}/approvals",
            action_type="task.complete",
            task_id=task["id"],
            confidence=demo_task.confidence,
            payload=payload,
            rubric_scores=dict(demo_task.scores) or None,
        )

    async def _add_task(self, tasks: list[dict[str, Any]]) -> None:
        """Add the next task of the board while few are open."""
        known = {task["title"] for task in tasks}
        new = next((one for one in self.demo_board.later_tasks if one.title not in known), None)
        if new is None or sum(task["status"] != "done" for task in tasks) >= 6:
            return
        tags = (await self.call_api("GET", f"{self.board_path}/tags")) if new.tags else []
        await self.call_api(
            "POST",
            f"{self.board_path}/tasks",
            title=new.title,
            description=new.description,
            priority=new.priority,
            tag_ids=[tag["id"] for tag in tags if tag["name"] in new.tags],
        )


def find_demo_task(task: dict[str, Any]) -> DemoTask:
    """Return the content of a task; tasks that a person has added have none."""
    return TASKS_BY_TITLE.get(task["title"], DemoTask(task["title"], ""))
