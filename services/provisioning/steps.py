"""The steps by which an agent comes to its gateway. Each looks first, and writes what differs.

A step may be broken off anywhere and taken again. Before something is written that could be taken
for somebody else's later, it is noted in the agent's row: that is what `intend` is for.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kit.secrets import fingerprint
from models import Agent, Step
from openclaw import GatewayError, Link
from services.provisioning import beats
from services.provisioning.rules import Fault

Written = dict[str, Any]
Intend = Callable[[Written], Awaitable[bool]]
"""Notes in the agent's row what will be there of ours. False: it is asked for otherwise by now."""

FROM_PEOPLE = "USER.md"  # of an agent that was there before us, it says what people told it there


class Planned(Protocol):
    """What is to become of a file: `same`, `new` or `changed`; or it is the agent's, and `kept`."""

    @property
    def name(self) -> str:
        """The file's."""
        ...

    @property
    def state(self) -> str:
        """How it stands to what we would write."""
        ...

    @property
    def content(self) -> str:
        """What is to be in it."""
        ...


@dataclass(frozen=True)
class Papers:
    """What an agent is given to read.

    `plan` says what is to become of its files, from what is there of them and the digest of what
    we wrote there last.
    """

    workspace: str
    files: Sequence[str]
    plan: Callable[[Mapping[str, str | None], Mapping[str, str]], Sequence[Planned]]
    scratch: str
    first_message: str


@dataclass(frozen=True)
class Listed:
    """The agents that a gateway has, with their names."""

    names: Mapping[str, str | None]

    @classmethod
    async def by(cls, link: Link) -> "Listed":
        """Ask a gateway for them."""
        said = await link.ask("agents.list", {})
        return cls({one["id"]: one.get("name") for one in said["agents"]})

    def has(self, agent: Agent) -> bool:
        """Say whether an agent is there."""
        return agent.gateway_key in self.names


@dataclass(frozen=True)
class Done:
    """The step is done; `written` is what the row keeps of it."""

    written: Written


@dataclass(frozen=True)
class Dropped:
    """The agent is asked for otherwise by now, so nothing more was done."""


Outcome = Done | Fault | Dropped


@dataclass(frozen=True)
class At:
    """An agent, what its gateway has, and what the agent is to have there."""

    agent: Agent
    link: Link
    listed: Listed
    papers: Papers
    intend: Intend
    is_paused: bool = False

    @property
    def key(self) -> str:
        """The agent's id on its gateway."""
        key = self.agent.gateway_key
        assert key is not None
        return key


async def create(at: At) -> Outcome:
    """Have the agent made, unless it is there. It comes a while later."""
    if at.listed.has(at.agent):
        return Done(at.agent.written)
    known = at.agent.written.get("lost_at")
    written = {"made": True} | ({"lost_at": known} if known else {})
    if at.agent.written != written and not await at.intend(written):
        return Dropped()
    await at.link.ask("agents.create", {"name": at.key, "workspace": at.papers.workspace})
    return Done(written)


async def listed(at: At) -> Outcome:
    """Wait until the gateway has it."""
    if at.listed.has(at.agent):
        return Done(at.agent.written)
    reason = "The gateway was asked to make the agent, and does not have it yet."
    return Fault("not_listed", reason, "openclaw agents list")


async def name(at: At) -> Outcome:
    """Call it by its name."""
    if at.listed.names[at.key] != at.agent.name:
        await at.link.ask("agents.update", {"agentId": at.key, "name": at.agent.name})
    return Done(at.agent.written)


async def write_files(at: At) -> Outcome:
    """Write the files that differ, but for those that the agent has made its own."""
    there = {file: await _there(at, file) for file in at.papers.files}
    known: Mapping[str, Sequence[str]] = at.agent.written.get("files", {})
    last = last_written(at.agent, there)
    plans = at.papers.plan(there, last)
    to_write = [one for one in plans if one.state in ("new", "changed")]
    if to_write:
        maybe = {one.name: _maybe(one, there, last, known) for one in to_write}
        if not await at.intend({**at.agent.written, "files": {**known, **maybe}}):
            return Dropped()
    for one in to_write:
        await _write(at, one, there[one.name])
    theirs = [one.name for one in plans if one.state == "kept"]
    ours = {
        one.name: list(known.get(one.name, []))
        if one.name in theirs
        else [fingerprint(one.content)]
        for one in plans
    }
    return Done({**at.agent.written, "files": ours, "kept": theirs})


async def scratch(at: At) -> Outcome:
    """Say what the agent is told when its heart beats: nothing, as long as nothing waits."""
    if beats.every(at.agent) == "0m":
        return Done(at.agent.written)
    jobs = await at.link.ask("cron.list", {"agentId": at.key, "includeDisabled": True})
    job = next((one["id"] for one in jobs["jobs"] if _is_heartbeat(one)), None)
    if job is None:
        reason = "The gateway has no heartbeat for the agent yet."
        return Fault("no_heartbeat", reason, "openclaw cron list")
    quiet = beats.is_quiet(at.agent, is_paused=at.is_paused)
    wanted = beats.QUIET if quiet else at.papers.scratch
    has = (await at.link.ask("cron.scratch.get", {"id": job})).get("scratch") or {}
    if has.get("content") != wanted:
        await at.link.ask("cron.scratch.set", {"id": job, "content": wanted})
    return Done(at.agent.written)


async def heartbeats(link: Link, agents: Sequence[Agent]) -> Sequence[Outcome]:
    """Have these agents' hearts beat as often as they are to: all of them by one change.

    An entry for an agent that is not there would make one, so those are left out.
    """
    config = await link.ask("config.get", {})
    there = [agent for agent in agents if beats.has(agent, config["parsed"])]
    entries = {
        agent.gateway_key: {"heartbeat": beats.wanted(agent)}
        for agent in there
        if beats.differs(agent, config["parsed"])
    }
    if entries:
        patch = {"raw": json.dumps({"agents": {"entries": entries}}), "baseHash": config["hash"]}
        await link.ask("config.patch", patch)
    absent = Fault("not_configured", "The gateway's config does not have the agent yet.")
    return [Done(agent.written) if agent in there else absent for agent in agents]


async def remove(link: Link, listed: Listed, key: str) -> bool:
    """Have an agent removed, with its sessions and its files; say whether it was there at all.

    The gateway's own first agent has no key of ours and is never removed.
    """
    if key not in listed.names or key == "main":
        return False
    await link.ask("agents.delete", {"agentId": key, "deleteFiles": True})
    return True


async def clear(link: Link, keys: Sequence[str]) -> None:
    """Have agents removed, those of them that are there.

    One that does not go keeps no other: what was in its way is raised in the end.
    """
    listed, in_the_way = await Listed.by(link), None
    for key in keys:
        try:
            await remove(link, listed, key)
        except GatewayError as error:
            in_the_way = error
    if in_the_way is not None:
        raise in_the_way


STEPS: Mapping[Step, Callable[[At], Awaitable[Outcome]]] = {
    Step.CREATE: create,
    Step.LISTED: listed,
    Step.NAME: name,
    Step.FILES: write_files,
    Step.SCRATCH: scratch,
}
"""The steps that each agent takes alone."""


async def _there(at: At, file: str) -> str | None:
    said = await at.link.ask("agents.files.get", {"agentId": at.key, "name": file})
    about = said["file"]
    return None if about.get("missing") else about.get("content") or ""


def last_written(agent: Agent, there: Mapping[str, str | None]) -> dict[str, str]:
    """Return the digest of what we wrote last, of each file that we have written.

    Where a writing was broken off there are several: then it is the one that is there.
    """
    last = {} if agent.written.get("made") else {FROM_PEOPLE: ""}
    for file, digests in agent.written.get("files", {}).items():
        now = fingerprint(there.get(file) or "")
        last[file] = now if now in digests else ""
    return last


def _maybe(
    plan: Planned,
    there: Mapping[str, str | None],
    last: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
) -> Sequence[str]:
    """Return what may be in a file of ours while it is written: what it will be, and what it is."""
    before, digests = there[plan.name], list(known.get(plan.name, []))
    if before is not None and last.get(plan.name) in (None, fingerprint(before)):
        digests.append(fingerprint(before))
    return list(dict.fromkeys([*digests, fingerprint(plan.content)]))


async def _write(at: At, plan: Planned, over: str | None) -> None:
    """Write a file; the gateway refuses if it is not as it was when we looked."""
    params = {"agentId": at.key, "name": plan.name, "content": plan.content}
    if over is not None:
        params["expectedHash"] = fingerprint(over)
    await at.link.ask("agents.files.set", params)


def _is_heartbeat(job: Mapping[str, Any]) -> bool:
    return (job.get("payload") or {}).get("kind") == "heartbeat"
