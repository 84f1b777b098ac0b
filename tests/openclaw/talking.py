"""A gateway whose agents take turns: what they are told begins one, and it ends as a test wants.

What it says of turns was compared with a real one of version 2026.9.6: test_real_turns.py.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection

from tests.openclaw.fake import Refused, running
from tests.openclaw.workshop import Params, Workshop

OWNERSHIP = "Error: Pending input ownership ended; submit a new turn to continue"


@dataclass
class Talking(Workshop):
    """Its transcripts outlive a restart; what it remembers of turns does not."""

    is_quick: bool = False  # every turn ends well at once
    is_shy: bool = False  # does not show what it is at
    is_hasty: bool = False  # and is told of before the message is answered
    hesitates: float = 0.0  # seconds before that answer
    transcripts: dict[str, list[Params]] = field(default_factory=dict)  # by session
    pending: dict[str, list[Params]] = field(default_factory=dict)  # to be taken in by a turn
    active: dict[str, str] = field(default_factory=dict)  # the turn that runs in a session
    ends: dict[str, Params] = field(default_factory=dict)  # what is remembered of turns, by key
    sessions_of: dict[str, str] = field(default_factory=dict)  # by the key of a turn
    _telling: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Take the calls that turns are about."""
        super().__post_init__()
        self.methods |= {
            "chat.send": self._take,
            "chat.history": self._tell_history,
            "agent.wait": self._wait,
        }

    @property
    def heard(self) -> list[str]:
        """All that agents were told, in order."""
        told = [one for transcript in self.transcripts.values() for one in transcript]
        of_users = [one for one in told if one["role"] == "user"]
        return [one["content"] for one in sorted(of_users, key=lambda one: one["place"])]

    def heard_in(self, session: str) -> list[str]:
        """What one agent was told, in order."""
        said = self.transcripts.get(session, [])
        return [one["content"] for one in said if one["role"] == "user"]

    async def end(self, run_id: str) -> None:
        """Let a turn end well, after it has taken in what waits for it."""
        session = self.sessions_of[run_id]
        self.active.pop(session, None)
        waiting, self.pending[session] = self.pending.get(session, []), self._cut_off(session)
        for one in waiting:
            if one["state"] == "queued":
                await self._taken_in(session, one)
        self.ends[run_id] = {"status": "ok"}
        said = {"message": {"role": "assistant", "content": []}, "stopReason": "stop"}
        await self._say_of(run_id, "final", agentId=session.split(":")[1], **said)

    async def fail(self, run_id: str, reason: str) -> None:
        """Let a turn fail. It is told twice, and the second time in other words."""
        session = self.sessions_of[run_id]
        self.active.pop(session, None)
        long = f"Agent failed before reply: {reason}\nLook at the logs."
        self.ends[run_id] = {"status": "error", "error": long}
        kept = {"idempotencyKey": f"{run_id}:terminal-error", "role": "assistant"}
        self._keep(session, {**kept, "content": [{"type": "text", "text": reason}]})
        detail = {"provider": "scripted", "failoverReason": "format"}
        await self._say_of(run_id, "error", errorMessage=reason, errorDetail=detail)
        await self._say_of(run_id, "error", errorMessage=long)

    async def stop(self, run_id: str) -> None:
        """Let somebody stop a turn."""
        self.active.pop(self.sessions_of[run_id], None)
        self.ends[run_id] = {"status": "error", "error": "aborted", "stopReason": "rpc"}
        await self._say_of(run_id, "aborted", stopReason="rpc")

    async def die(self) -> None:
        """Be killed and started again: what nobody had read yet is cut off."""
        self.ends.clear()
        self.active.clear()
        for waiting in self.pending.values():
            for one in waiting:
                one["state"] = "interrupted"
        await self.drop(1012)

    async def _answer(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        if not (self.is_hasty and frame["method"] == "chat.send"):
            await super()._answer(socket, frame)
            return
        self.calls.append((frame["method"], frame["params"]))
        params = frame["params"]
        is_known = self._knows(params["sessionKey"], params["idempotencyKey"])
        said = self._take(params)
        if not is_known:
            await self.end(params["idempotencyKey"])
        while self._telling:
            await asyncio.sleep(0)
        await asyncio.sleep(self.hesitates)
        answer = {"type": "res", "id": frame["id"], "ok": True, "payload": said}
        await socket.send(json.dumps(answer))

    def _take(self, params: Params) -> Any:
        session, run_id = params["sessionKey"], params["idempotencyKey"]
        agent = session.split(":")[1]
        if agent not in (*self.listed(), "main"):
            raise Refused("INVALID_REQUEST", f'Agent "{agent}" no longer exists in configuration')
        self.sessions_of[run_id] = session
        return self._again(session, run_id) or self._anew(session, run_id, params["message"])

    def _again(self, session: str, run_id: str) -> Params | None:
        """Answer to what was said before, under the same key."""
        if any(one["runId"] == run_id for one in self._cut_off(session)):
            self._tell(run_id, "error", errorMessage=OWNERSHIP)
            raise Refused("UNAVAILABLE", OWNERSHIP)
        end = self.ends.get(run_id)
        if end and end.get("error") == "aborted":
            return {"runId": run_id, "status": "timeout", "summary": "aborted"}
        if end and end["status"] == "error":
            self._tell(run_id, "error", errorMessage=end["error"])
            raise Refused("UNAVAILABLE", end["error"])
        waits = any(one["runId"] == run_id for one in self.pending.get(session, []))
        if end or waits or self.active.get(session) == run_id:
            return {"runId": run_id, "status": "ok" if end else "in_flight"}
        if self._knows(session, run_id):
            self._tell(run_id, "final")
            return {"runId": run_id, "status": "started"}
        return None

    def _anew(self, session: str, run_id: str, content: str) -> Params:
        if session in self.active:
            waiting = {"runId": run_id, "content": content, "state": "queued"}
            self.pending.setdefault(session, []).append(waiting)
        else:
            self.active[session] = run_id
            self.keep(session, run_id, content)
            if self.is_quick:
                self._later(self.end(run_id))
        return {"runId": run_id, "status": "started"}

    def _tell_history(self, params: Params) -> Any:
        session = params["sessionKey"]
        if self.is_shy:
            return {"messages": [], "pendingInputs": {"items": []}}
        messages = self.transcripts.get(session, [])[-params["limit"] :]
        running = self.active.get(session)
        return {
            "messages": [{**one, "__openclaw": {}} for one in messages],
            "pendingInputs": {"items": self.pending.get(session, [])},
            **({"inFlightRun": {"runId": running, "text": ""}} if running else {}),
        }

    def _wait(self, params: Params) -> Any:
        run_id = params["runId"]
        if any(one["runId"] == run_id for one in self._waiting(run_id)):
            return {"runId": run_id, "status": "pending", "timeoutPhase": "queue"}
        return {"runId": run_id, **self.ends.get(run_id, {"status": "timeout"})}

    def keep(self, session: str, run_id: str, content: str) -> None:
        """Write down what an agent is told."""
        kept = {"role": "user", "content": content, "idempotencyKey": f"{run_id}:user"}
        self._keep(session, kept)

    def _keep(self, session: str, entry: Params) -> None:
        place = sum(len(one) for one in self.transcripts.values())
        self.transcripts.setdefault(session, []).append({**entry, "place": place})

    def _knows(self, session: str, run_id: str) -> bool:
        said = self.transcripts.get(session, [])
        return any(one["idempotencyKey"] == f"{run_id}:user" for one in said)

    def _waiting(self, run_id: str) -> list[Params]:
        waiting = self.pending.get(self.sessions_of.get(run_id, ""), [])
        return [one for one in waiting if one["state"] == "queued"]

    def _cut_off(self, session: str) -> list[Params]:
        return [one for one in self.pending.get(session, []) if one["state"] == "interrupted"]

    async def _taken_in(self, session: str, waiting: Params) -> None:
        run_id = waiting["runId"]
        self.keep(session, run_id, waiting["content"])
        self.ends[run_id] = {"status": "ok"}
        await self._say_of(run_id, "final")

    async def _say_of(self, run_id: str, state: str, **more: Any) -> None:
        about = {"runId": run_id, "sessionKey": self.sessions_of[run_id], "state": state}
        await self.tell("chat", {**about, **more})

    def _tell(self, run_id: str, state: str, **more: Any) -> None:
        self._later(self._say_of(run_id, state, **more))

    def _later(self, coroutine: Any) -> None:
        """Do something after the answer."""
        task = asyncio.create_task(coroutine)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


@asynccontextmanager
async def talking(**how: Any) -> AsyncGenerator[Talking]:
    """Let such a gateway run."""
    async with running(Talking(**how)) as fake:
        assert isinstance(fake, Talking)
        yield fake
