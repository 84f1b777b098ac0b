"""Who is calling: a person's script or an agent. The API never reads cookies."""

from datetime import timedelta
from enum import Enum

from starlette.requests import Request

from kit.client_ip import client_ip
from kit.clock import now
from kit.errors import Unauthorized
from kit.http import Session, settings_of, transaction
from kit.limits import Limit
from kit.openid import Provider
from kit.openid_tokens import looks_like_jwt
from kit.secrets import same
from models import Actor, Agent, User
from services import agents, identity
from services.identity import Profile

AGENT_TOKEN = "X-Agent-Token"  # noqa: S105 - the name of a header


class Caller(Enum):
    """Whom an operation is for (contract, people-and-boards 1.10)."""

    ANYONE = "anyone"
    USER = "user"
    AGENT = "agent"
    EITHER = "user or agent"


async def identify(request: Request, caller: Caller) -> Actor | None:
    """Return who is calling. Raises Unauthorized, TooMany, and Unavailable.

    An agent that calls is thereby seen, whatever becomes of the rest of its call.
    """
    if caller is Caller.ANYONE:
        return None
    failures: Limit = request.state.limits.failures
    floods: Limit = request.state.limits.floods
    address = client_ip(request, settings_of(request).trusted_proxies)
    (floods if _is_cheap(request) else failures).check(address)
    try:
        actor = await _recognized(request, caller)
    except Unauthorized:
        floods.count(address)
        failures.visit(address)
        raise
    request.state.limits.requests.visit(str(actor.id))
    return actor


async def whoever_calls(session: Session, request: Request, caller: Caller) -> Actor | None:
    """Return whose token a request carries, if it is for them.

    On shared routes a non-empty X-Agent-Token decides alone: then no person is looked for.
    """
    bearer = _bearer(request)
    own = request.headers.get(AGENT_TOKEN, "").strip()
    if caller is Caller.USER:
        return await _person(session, request, bearer)
    if caller is Caller.AGENT or own:
        return await _agent(session, own or bearer)
    return await _person(session, request, bearer) or await _agent(session, bearer)


async def _recognized(request: Request, caller: Caller) -> Actor:
    """Return who is calling. Raises Unauthorized, and Unavailable if no provider can be asked."""
    request.state.told = await _told(request, caller)
    async with transaction(request) as session:
        actor = await whoever_calls(session, request, caller)
        if isinstance(actor, Agent):
            await agents.touch(session, actor, offline_after=offline_after(request))
    if actor is None:
        raise Unauthorized
    return actor


async def _person(session: Session, request: Request, token: str) -> User | None:
    if not token or token.startswith("mc_agent_"):
        return None
    told: Profile | None = request.state.told
    if told is not None:
        leeway = timedelta(seconds=settings_of(request).oidc_leeway)
        is_over = told.until + leeway <= now()
        return None if is_over else await identity.external_user(session, told)
    return await identity.user_with_token(session, token, settings_of(request))


async def _agent(session: Session, token: str) -> Agent | None:
    if not token or token.startswith("mc_user_") or looks_like_jwt(token):
        return None
    return await identity.agent_with_token(session, token)


async def _told(request: Request, caller: Caller) -> Profile | None:
    """Return what the provider says of a person who calls, if it has signed their token.

    The keys may have to be fetched, so this is not for the inside of a transaction; what it finds
    is kept for whoever listens for long.
    """
    provider: Provider | None = request.state.provider
    token = _bearer(request)
    decides_alone = caller is Caller.EITHER and request.headers.get(AGENT_TOKEN, "").strip()
    if caller is Caller.AGENT or decides_alone or not looks_like_jwt(token) or provider is None:
        return None
    claims = await provider.bearer(token)
    return identity.profile_of(claims) if claims else None


def _is_cheap(request: Request) -> bool:
    """Say whether a token is one of ours or of the provider's, which costs little to see.

    Nobody can guess one, so who fails too often is not let in to try others, but whoever has a
    good one at the same address is: many agents may share it with one that has a bad token.
    """
    token = request.headers.get(AGENT_TOKEN, "").strip() or _bearer(request)
    local = settings_of(request).local_auth_token
    is_ours = token.startswith("mc_") or bool(local and same(token, local))
    return is_ours or looks_like_jwt(token)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def offline_after(request: Request) -> timedelta:
    """Return how long an agent may be silent before it is offline."""
    return timedelta(seconds=settings_of(request).agent_offline_after)
