"""Who is calling: a person's script or an agent. The API never reads cookies."""

from datetime import timedelta
from enum import Enum

from starlette.requests import Request

from kit.client_ip import client_ip
from kit.errors import Unauthorized
from kit.http import settings_of, transaction
from models import Actor, Agent, User
from services import agents, identity


class Caller(Enum):
    """Whom an operation is for (contract, people-and-boards 1.10)."""

    ANYONE = "anyone"
    USER = "user"
    AGENT = "agent"
    EITHER = "user or agent"


async def identify(request: Request, caller: Caller) -> Actor | None:
    """Return who is calling. Raises Unauthorized, and TooMany.

    On shared routes a non-empty X-Agent-Token decides alone: then no person is looked for.
    """
    if caller is Caller.ANYONE:
        return None
    limits = request.state.limits
    address = client_ip(request, settings_of(request).trusted_proxies)
    limits.failures.check(address)
    actor = await _actor(request, caller)
    if actor is None:
        limits.failures.count(address)
        raise Unauthorized
    limits.requests.visit(str(actor.id))
    return actor


async def _actor(request: Request, caller: Caller) -> Actor | None:
    bearer = _bearer(request)
    own = request.headers.get("X-Agent-Token", "").strip()
    if caller is Caller.USER:
        return await _person(request, bearer)
    if caller is Caller.AGENT or own:
        return await _agent(request, own or bearer)
    return await _person(request, bearer) or await _agent(request, bearer)


async def _person(request: Request, token: str) -> User | None:
    if not token or token.startswith("mc_agent_"):
        return None
    async with transaction(request) as session:
        return await identity.user_with_token(session, token, settings_of(request))


async def _agent(request: Request, token: str) -> Agent | None:
    if not token or token.startswith("mc_user_"):
        return None
    offline_after = timedelta(seconds=settings_of(request).agent_offline_after)
    async with transaction(request) as session:
        agent = await identity.agent_with_token(session, token)
        if agent:
            await agents.touch(session, agent, offline_after=offline_after)
        return agent


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
