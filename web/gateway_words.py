"""What people read about gateways: how each stands, and the ladder that leads to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kit.clock import now
from models import Gateway
from services.gateways import GatewaySummary, Standing, in_the_way, is_watched
from web.agent_words import ago, span

RUNGS = {
    "address": "The address leads somewhere",
    "port": "The port answers",
    "tls": "The certificate is trusted",
    "handshake": "A gateway speaks",
    "protocol": "It speaks our protocol",
    "token": "It takes the token",
    "device": "It knows this Mission Control",
    "scopes": "It grants the rights that agents need",
}
"""The rungs in their order, each as what is so when it is well."""

BROKEN = {
    "address": "Its address leads nowhere",
    "port": "Nobody answers",
    "tls": "No certificate that is trusted",
    "handshake": "It does not let us speak",
    "protocol": "It speaks another protocol",
    "token": "It refuses the token",
    "device": "Waits to be approved",
    "scopes": "It grants too few rights",
}
"""How a gateway stands by the rung that is broken."""

BROKEN_BY = {
    "address_forbidden": "Its address is not allowed here",
    "no_tls": "It does not speak TLS",
    "not_a_gateway": "It is no gateway",
    "gateway_secrets_unreadable": "Its token cannot be opened here",
}
"""The same by the code of what is wrong, where that says more than its rung."""

STATES = {
    Standing.UNSEEN: ("provisioning", "Not looked at yet"),
    Standing.CONNECTED: ("idle", "Connected"),
    Standing.ANSWERS: ("idle", "Answers"),
    Standing.UNWATCHED: ("late", "Not watched"),
    Standing.FAILED: ("failed", "Not connected"),
}
"""The glyph and the words for how a gateway stands."""

STEPS = {"ok": "done", "failed": "fail"}  # how each state of a rung is drawn
MENDED_HERE = {"address", "port", "tls", "token"}
NOT_IT = {"not_a_gateway", "malformed", "timeout", "closed"}  # who answers may be somebody else
SAYS_MORE = {"address", "port", "tls", "protocol"}  # when all is well there


@dataclass(frozen=True)
class Rung:
    """One rung of the ladder as it is shown."""

    name: str
    title: str
    step: str  # done, fail or todo
    sentence: str
    command: str | None
    since: datetime | None
    code: str | None = None

    @property
    def is_mended_here(self) -> bool:
        """Whether what is wrong may be wrong in what was entered."""
        return self.name in MENDED_HERE or self.code in NOT_IT


def rungs(gateway: Gateway) -> Sequence[Rung]:
    """Return all rungs of the ladder to a gateway."""
    seen = {one["name"]: one for one in gateway.checks or ()}
    return [_rung(name, title, seen.get(name, {})) for name, title in RUNGS.items()]


def state(one: GatewaySummary) -> tuple[str, str]:
    """Return the glyph and the words for how a gateway stands."""
    glyph, words = STATES[one.standing]
    broken = in_the_way(one.gateway)
    return glyph, _broken(broken) if broken else words


def evidence(one: GatewaySummary) -> str:
    """Say how we know it."""
    if one.standing is Standing.UNSEEN:
        return "a worker looks within seconds"
    passed = span(now() - one.since) if one.since else "a while"
    if one.standing is Standing.CONNECTED:
        return f"for {passed}"
    seen = ago(now() - one.gateway.checked_at) if one.gateway.checked_at else "a while ago"
    if one.standing is Standing.ANSWERS:
        return f"looked {seen}"
    if one.standing is Standing.UNWATCHED:
        return f"it was well {seen}; no worker is connected to it now"
    return f"for {passed}, tried {seen}"


def trouble(gateway: Gateway, moment: datetime) -> str:
    """Say why a gateway takes nothing now, "" if all that we know is that it should."""
    broken = in_the_way(gateway)
    if broken is not None:
        words = _broken(broken)
        return f"{gateway.name} is not connected: {words[:1].lower()}{words[1:]}."
    return "" if is_watched(gateway, moment) else f"No worker is connected to {gateway.name}."


def _broken(rung: Mapping[str, Any]) -> str:
    return BROKEN_BY.get(rung.get("code") or "") or BROKEN.get(rung["name"], "")


def _rung(name: str, title: str, seen: Mapping[str, Any]) -> Rung:
    step = STEPS.get(seen.get("state", ""), "todo")
    since = seen.get("since") if step != "todo" else None
    return Rung(
        name,
        _broken(seen) if step == "fail" else title,
        step,
        sentence=seen["sentence"] if step == "fail" or (since and name in SAYS_MORE) else "",
        command=seen.get("command"),
        since=datetime.fromisoformat(since) if since else None,
        code=seen.get("code"),
    )
