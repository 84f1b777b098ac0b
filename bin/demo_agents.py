"""The three scripted agents of the demo: programs that work through the real HTTP API."""

import asyncio
import itertools
import logging
import random
from collections.abc import Iterator
from typing import Any

import httpx2

from bin.demo_story import DESKS, Desk, Work

STEP = 4.0  # seconds between two steps of an agent, on average
MOST_WAITING = 4  # questions that the lead leaves with people at a time
ENOUGH = 6  # open tasks of a board, with which nobody adds more
AGAIN = 0.06  # how likely a lone worker with nothing to do looks at something finished again
MOST_TASKS = 60  # tasks of a board, after which nobody adds any

log = logging.getLogger("mission_control.demo")
WORKS = {work.title: work for desk in DESKS for work in (*desk.work, *desk.later)}


class Script:
    """What all scripted agents can do."""

    def __init__(self, url: str, token: str, board_id: str, desk: Desk) -> None:
        self.desk = desk
        self.board = f"/agent/boards/{board_id}"
        self.id = ""
        self._client = httpx2.AsyncClient(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=20
        )

    async def run(self) -> None:
        """Work until cancelled. What is refused is logged and tried again another time."""
        async with self._client:
            while True:
                try:
                    self.id = (await self.call("POST", "/agent/heartbeat"))["id"]
                    await self.work()
                except httpx2.HTTPError as error:
                    log.info("a demo agent waits: %s", error)
                await asyncio.sleep(STEP * random.uniform(0.6, 1.4))  # noqa: S311 - only a pace

    async def work(self) -> None:
        """Do one thing."""
        raise AssertionError("each script works in its own way")

    async def call(self, method: str, path: str, **json: Any) -> Any:
        """Call the API. Raises HTTPError for an answer that is a refusal."""
        response = await self._client.request(method, path, json=json or None)
        response.raise_for_status()
        return response.json()

    async def tasks(self) -> list[dict[str, Any]]:
        """Return the board's tasks, oldest first."""
        return (await self.call("GET", f"{self.board}/tasks"))["items"][::-1]

    async def comments(self, task: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what was said about a task."""
        path = f"{self.board}/tasks/{task['id']}/comments"
        return (await self.call("GET", path))["items"]

    async def move(self, task: dict[str, Any], status: str, **more: Any) -> None:
        """Move a task."""
        await self.call("PATCH", f"{self.board}/tasks/{task['id']}", status=status, **more)


class WorkerScript(Script):
    """Takes a task, says how it goes, and hands it over to review; alone it finishes it too."""

    finishes = False

    async def work(self) -> None:
        """Go on with the task at hand, or take the next one."""
        tasks = await self.tasks()
        mine = [task for task in tasks if task["assigned_agent_id"] == self.id]
        at_hand = [task for task in mine if task["status"] == "in_progress"]
        if at_hand:
            await self._go_on(at_hand[0])
        elif self.finishes and (reviewed := [t for t in tasks if t["status"] == "review"]):
            await self.move(reviewed[0], "done")
        else:
            await self._take_next(tasks)

    async def _go_on(self, task: dict[str, Any]) -> None:
        said = [one for one in await self.comments(task) if one["agent_id"] == self.id]
        to_say = _work(task).says or ("Done as described.",)
        if len(said) < len(to_say):
            path = f"{self.board}/tasks/{task['id']}/comments"
            await self.call("POST", path, message=to_say[len(said)])
        else:
            await self.move(task, "review", comment="Ready for review.")

    async def _take_next(self, tasks: list[dict[str, Any]]) -> None:
        free = [
            task
            for task in tasks
            if task["status"] == "inbox"
            and not task["is_blocked"]
            and task["assigned_agent_id"] in (None, self.id)
        ]
        if free:
            await self.move(free[0], "in_progress")


class LoneWorkerScript(WorkerScript):
    """A worker of a board without a lead, who also looks at finished things again."""

    finishes = True

    async def _take_next(self, tasks: list[dict[str, Any]]) -> None:
        done = [task for task in tasks if task["status"] == "done"]
        if len(done) == len(tasks) and done and random.random() < AGAIN:  # noqa: S311
            await self.move(random.choice(done), "inbox", comment="Time to look at it again.")  # noqa: S311
        else:
            await super()._take_next(tasks)


class LeadScript(Script):
    """Asks people about what was reviewed, closes what they approve, and adds new tasks."""

    def __init__(self, url: str, token: str, board_id: str, desk: Desk) -> None:
        super().__init__(url, token, board_id, desk)
        self._later: Iterator[Work] = itertools.cycle(desk.later)
        self._sent_back: set[str] = set()  # the rejections that were acted upon

    async def work(self) -> None:
        """Look at each task in review, and keep the inbox from running dry."""
        tasks = await self.tasks()
        asked = (await self.call("GET", f"{self.board}/approvals"))["items"]
        waiting = sum(approval["status"] == "pending" for approval in asked)
        for task in [task for task in tasks if task["status"] == "review"]:
            about = [approval for approval in asked if task["id"] in approval["task_ids"]]
            await self._review(task, about[0] if about else None, waiting)
        open_now = {task["title"] for task in tasks if task["status"] != "done"}
        if waiting < MOST_WAITING and len(open_now) < ENOUGH and len(tasks) < MOST_TASKS:
            await self._add(next(self._later), open_now)

    async def _review(
        self, task: dict[str, Any], newest: dict[str, Any] | None, waiting: int
    ) -> None:
        if newest and newest["status"] == "approved" and await self._is_done(task):
            return
        if newest and newest["status"] == "rejected" and newest["id"] not in self._sent_back:
            self._sent_back.add(newest["id"])
            await self.move(task, "inbox")
        elif (newest is None or newest["status"] != "pending") and waiting < MOST_WAITING:
            await self._ask(task)

    async def _is_done(self, task: dict[str, Any]) -> bool:
        """Finish a task, and say whether the approval still counts: a new version needs another."""
        try:
            await self.move(task, "done")
        except httpx2.HTTPStatusError as error:
            if error.response.status_code == httpx2.codes.CONFLICT:
                return False
            raise
        return True

    async def _ask(self, task: dict[str, Any]) -> None:
        work = _work(task)
        await self.call(
            "POST",
            f"{self.board}/approvals",
            action_type="task.complete",
            task_id=task["id"],
            confidence=work.confidence,
            payload={
                "title": work.question or f"Mark “{task['title']}” done?",
                "reason": work.why or "The work is finished and reviewed.",
            },
        )

    async def _add(self, work: Work, open_now: set[str]) -> None:
        if work.title in open_now:
            return
        await self.call(
            "POST",
            f"{self.board}/tasks",
            title=work.title,
            description=work.description,
            priority=work.priority,
        )


def _work(task: dict[str, Any]) -> Work:
    return WORKS.get(task["title"], Work(task["title"], ""))
