"""A fake gateway whose agents take turns: a message starts one, and tests end it.

Its answers were compared with a real one of version 2026.9.6: test_real_messages.py.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection

from tests.support.fake_agents_gateway import FakeAgentsGateway, Params
from tests.support.fake_gateway import ErrorResponse, run_fake_gateway

OWNERSHIP_ERROR = "Error: Pending input ownership ended; submit a new turn to continue"


@dataclass
class FakeChatGateway(FakeAgentsGateway):
    """Its transcripts survive a restart; the results of turns do not."""

    ends_turns_at_once: bool = False  # every turn succeeds at once
    max_page_size: int = 500  # sessions on one page
    hides_history: bool = False  # shows no history
    sends_event_first: bool = False  # the end event is sent before the answer
    answer_delay: float = 0.0  # seconds before that answer
    transcripts: dict[str, list[Params]] = field(default_factory=dict)  # by session
    pending: dict[str, list[Params]] = field(
        default_factory=dict
    )  # input that a running turn will absorb
    active: dict[str, str] = field(default_factory=dict)  # the running turn of each session
    ends: dict[str, Params] = field(default_factory=dict)  # the results of turns, by key
    sessions_of: dict[str, str] = field(default_factory=dict)  # session by the key of a turn
    _event_tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Register the handlers of turns."""
        super().__post_init__()
        self.handlers |= {
            "chat.send": self._receive_message,
            "chat.abort": self._abort_session,
            "sessions.list": self._list_active_sessions,
            "chat.history": self._chat_history,
            "agent.wait": self._wait_for_run,
        }

    @property
    def received_messages(self) -> list[str]:
        """All messages that agents received, in order."""
        entries = [one for transcript in self.transcripts.values() for one in transcript]
        of_users = [one for one in entries if one["role"] == "user"]
        return [one["content"] for one in sorted(of_users, key=lambda one: one["place"])]

    def messages_in(self, session: str) -> list[str]:
        """Return the messages of one session, in order."""
        payload = self.transcripts.get(session, [])
        return [one["content"] for one in payload if one["role"] == "user"]

    async def end_turn(self, run_id: str) -> None:
        """End a turn successfully, after it has absorbed its queued input."""
        session = self.sessions_of[run_id]
        self.active.pop(session, None)
        waiting, self.pending[session] = (
            self.pending.get(session, []),
            self._interrupted_inputs(session),
        )
        for one in waiting:
            if one["state"] == "queued":
                await self._absorb(session, one)
        self.ends[run_id] = {"status": "ok"}
        payload = {"message": {"role": "assistant", "content": []}, "stopReason": "stop"}
        await self._send_turn_event(run_id, "final", agentId=session.split(":")[1], **payload)

    async def fail_turn(self, run_id: str, reason: str) -> None:
        """Fail a turn. Two events are sent, the second with another text."""
        session = self.sessions_of[run_id]
        self.active.pop(session, None)
        long = f"Agent failed before reply: {reason}\nLook at the logs."
        self.ends[run_id] = {"status": "error", "error": long}
        kept = {"idempotencyKey": f"{run_id}:terminal-error", "role": "assistant"}
        self._record_entry(session, {**kept, "content": [{"type": "text", "text": reason}]})
        detail = {"provider": "scripted", "failoverReason": "format"}
        await self._send_turn_event(run_id, "error", errorMessage=reason, errorDetail=detail)
        await self._send_turn_event(run_id, "error", errorMessage=long)

    async def abort_turn(self, run_id: str) -> None:
        """Abort a turn."""
        self.active.pop(self.sessions_of[run_id], None)
        self.ends[run_id] = {"status": "error", "error": "aborted", "stopReason": "rpc"}
        await self._send_turn_event(run_id, "aborted", stopReason="rpc")

    async def restart(self) -> None:
        """Simulate a crash and a restart: queued input is interrupted."""
        self.ends.clear()
        self.active.clear()
        for waiting in self.pending.values():
            for one in waiting:
                one["state"] = "interrupted"
        await self.close_connections(1012)

    async def _handle_request(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        if not (self.sends_event_first and frame["method"] == "chat.send"):
            await super()._handle_request(socket, frame)
            return
        self.calls.append((frame["method"], frame["params"]))
        params = frame["params"]
        is_known = self._has_message(params["sessionKey"], params["idempotencyKey"])
        payload = self._receive_message(params)
        if not is_known:
            await self.end_turn(params["idempotencyKey"])
        while self._event_tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(self.answer_delay)
        answer = {"type": "res", "id": frame["id"], "ok": True, "payload": payload}
        await socket.send(json.dumps(answer))

    def _receive_message(self, params: Params) -> Any:
        session, run_id = params["sessionKey"], params["idempotencyKey"]
        agent = session.split(":")[1]
        if agent not in (*self.listed_agents(), "main"):
            raise ErrorResponse(
                "INVALID_REQUEST", f'Agent "{agent}" no longer exists in configuration'
            )
        self.sessions_of[run_id] = session
        return self._repeat_answer(session, run_id) or self._start_turn(
            session, run_id, params["message"]
        )

    def _repeat_answer(self, session: str, run_id: str) -> Params | None:
        """Answer a message whose key is known."""
        if any(one["runId"] == run_id for one in self._interrupted_inputs(session)):
            self._send_later(run_id, "error", errorMessage=OWNERSHIP_ERROR)
            raise ErrorResponse("UNAVAILABLE", OWNERSHIP_ERROR)
        end = self.ends.get(run_id)
        if end and end.get("error") == "aborted":
            return {"runId": run_id, "status": "timeout", "summary": "aborted"}
        if end and end["status"] == "error":
            self._send_later(run_id, "error", errorMessage=end["error"])
            raise ErrorResponse("UNAVAILABLE", end["error"])
        waits = any(one["runId"] == run_id for one in self.pending.get(session, []))
        if end or waits or self.active.get(session) == run_id:
            return {"runId": run_id, "status": "ok" if end else "in_flight"}
        if self._has_message(session, run_id):
            self._send_later(run_id, "final")
            return {"runId": run_id, "status": "started"}
        return None

    def _start_turn(self, session: str, run_id: str, content: str) -> Params:
        if session in self.active:
            waiting = {"runId": run_id, "content": content, "state": "queued"}
            self.pending.setdefault(session, []).append(waiting)
        else:
            self.active[session] = run_id
            self.record_message(session, run_id, content)
            if self.ends_turns_at_once:
                self._run_later(self.end_turn(run_id))
        return {"runId": run_id, "status": "started"}

    def _abort_session(self, params: Params) -> Any:
        run_id = self.active.get(params["sessionKey"])
        if run_id is None:
            return {"ok": True, "aborted": False, "runIds": []}
        self._run_later(self.abort_turn(run_id))
        return {"ok": True, "aborted": True, "runIds": [run_id]}

    def _list_active_sessions(self, params: Params) -> Any:
        rows = [
            {"key": key, "agentId": key.split(":")[1], "hasActiveRun": True} for key in self.active
        ]
        offset = params.get("offset", 0)
        end = offset + min(params.get("limit", 100), self.max_page_size)
        return {
            "sessions": rows[offset:end],
            "totalCount": len(rows),
            "hasMore": end < len(rows),
            "nextOffset": end if end < len(rows) else None,
        }

    def _chat_history(self, params: Params) -> Any:
        session = params["sessionKey"]
        if self.hides_history:
            return {"messages": [], "pendingInputs": {"items": []}}
        messages = self.transcripts.get(session, [])[-params["limit"] :]
        running = self.active.get(session)
        return {
            "messages": [{**one, "__openclaw": {}} for one in messages],
            "pendingInputs": {"items": self.pending.get(session, [])},
            **({"inFlightRun": {"runId": running, "text": ""}} if running else {}),
        }

    def _wait_for_run(self, params: Params) -> Any:
        run_id = params["runId"]
        if any(one["runId"] == run_id for one in self._queued_inputs(run_id)):
            return {"runId": run_id, "status": "pending", "timeoutPhase": "queue"}
        return {"runId": run_id, **self.ends.get(run_id, {"status": "timeout"})}

    def record_message(self, session: str, run_id: str, content: str) -> None:
        """Record a message in the transcript."""
        kept = {"role": "user", "content": content, "idempotencyKey": f"{run_id}:user"}
        self._record_entry(session, kept)

    def _record_entry(self, session: str, entry: Params) -> None:
        place = sum(len(one) for one in self.transcripts.values())
        self.transcripts.setdefault(session, []).append({**entry, "place": place})

    def _has_message(self, session: str, run_id: str) -> bool:
        payload = self.transcripts.get(session, [])
        return any(one["idempotencyKey"] == f"{run_id}:user" for one in payload)

    def _queued_inputs(self, run_id: str) -> list[Params]:
        waiting = self.pending.get(self.sessions_of.get(run_id, ""), [])
        return [one for one in waiting if one["state"] == "queued"]

    def _interrupted_inputs(self, session: str) -> list[Params]:
        return [one for one in self.pending.get(session, []) if one["state"] == "interrupted"]

    async def _absorb(self, session: str, waiting: Params) -> None:
        run_id = waiting["runId"]
        self.record_message(session, run_id, waiting["content"])
        self.ends[run_id] = {"status": "ok"}
        await self._send_turn_event(run_id, "final")

    async def _send_turn_event(self, run_id: str, state: str, **more: Any) -> None:
        about = {"runId": run_id, "sessionKey": self.sessions_of[run_id], "state": state}
        await self.send_event("chat", {**about, **more})

    def _send_later(self, run_id: str, state: str, **more: Any) -> None:
        self._run_later(self._send_turn_event(run_id, state, **more))

    def _run_later(self, coroutine: Any) -> None:
        """Run a coroutine after the answer."""
        task = asyncio.create_task(coroutine)
        self._event_tasks.add(task)
        task.add_done_callback(self._event_tasks.discard)


@asynccontextmanager
async def run_fake_chat_gateway(**how: Any) -> AsyncGenerator[FakeChatGateway]:
    """Run such a gateway."""
    async with run_fake_gateway(FakeChatGateway(**how)) as fake:
        assert isinstance(fake, FakeChatGateway)
        yield fake
