"""Authentication of users and agents by token. The API never reads cookies."""

from datetime import timedelta
from enum import Enum

from starlette.requests import Request

from core.clock import now
from core.db.reads import Source, WriteRequired, require_transaction
from core.errors import Forbidden, Unauthorized
from core.http.caller import Caller, get_agent_token, get_bearer_token
from core.http.client_address import get_client_ip, rate_limit_network
from core.http.request import get_settings, open_reader, open_transaction
from core.http.request_slots import recognize_caller
from core.security.openid import OpenIdProvider
from core.security.openid_tokens import looks_like_jwt
from core.security.secrets import hash_token, token_prefix
from models import Actor, Agent, ApiToken, TokenScope, User
from services import agents, audit, identity
from services.identity import CredentialVerifier, ProviderProfile

READING_METHODS = {"GET", "HEAD", "OPTIONS"}


class AllowedCaller(Enum):
    """Who may call an operation."""

    ANYONE = "anyone"
    USER = "user"
    AGENT = "agent"
    EITHER = "user or agent"


async def authenticate_request(request: Request, allowed_caller: AllowedCaller) -> Actor | None:
    """Return the caller of a request. Raises Unauthorized, Forbidden, TooMany and Unavailable.

    A call of an agent updates its `last_seen_at`, even if the call fails later.
    """
    if allowed_caller is AllowedCaller.ANYONE:
        return None
    async with open_reader(request) as reader:
        actor = await authenticate_by_reading(reader, request, allowed_caller)
    return actor or await authenticate_by_writing(request, allowed_caller)


async def authenticate_by_reading(
    reader: Source, request: Request, allowed_caller: AllowedCaller
) -> Actor | None:
    """Return the caller if nothing has to be written or fetched for that, otherwise None.

    Raises Forbidden and TooMany.
    """
    if looks_like_jwt(get_bearer_token(request)):
        return None
    request.state.provider_profile = None
    try:
        actor = await authenticate(reader, request, allowed_caller)
        offline_after = get_settings(request).offline_after
        if actor is None or (
            isinstance(actor, Agent) and agents.changes_status(actor, offline_after)
        ):
            return None
    except (WriteRequired, Unauthorized):
        return None
    return await _accept(request, actor)


async def authenticate_by_writing(request: Request, allowed_caller: AllowedCaller) -> Actor:
    """Return the caller, in a transaction. Raises the errors of `authenticate_request`."""
    try:
        actor = await _authenticate_and_touch(request, allowed_caller)
    except Unauthorized:
        await _count_failure(request)
        raise
    return await _accept(request, actor)


async def _accept(request: Request, actor: Actor) -> Actor:
    """Record the use, and check the scope and the rate. Raises Forbidden and TooMany.

    A request that authenticates its caller again, such as after a wait, is counted once.
    """
    audit.identify_actor(actor)
    credential = get_bearer_token(request)
    if isinstance(actor, Agent):
        request.state.last_seen.record(Agent, actor.id)
        credential = get_agent_token(request) or credential
        caller = Caller.from_agent(actor.id, actor.organization_id)
    else:
        caller = Caller.from_user(actor.id, with_token=True)
    recognize_caller(request, credential, caller)
    if request.method not in READING_METHODS:
        require_write_scope(request)
    if not getattr(request.state, "is_counted", False):
        await request.state.rate_limits.requests.hit(str(actor.id))
        request.state.is_counted = True
    return actor


async def _count_failure(request: Request) -> None:
    """Count a failure of this credential and of its network. Raises TooMany above the limits.

    Failures are counted after the verification, so that they never affect valid credentials.
    """
    token = get_agent_token(request) or get_bearer_token(request)
    recognize_caller(request, token, None)
    # Other tokens than ours may all begin in the same way.
    key = token_prefix(token) if token.startswith("mc_") else hash_token(token) if token else ""
    await _verifier(request).record_invalid_token(_network(request), key)


async def authenticate(
    source: Source, request: Request, allowed_caller: AllowedCaller
) -> Actor | None:
    """Return the user or agent whose token a request carries, if that caller is allowed.

    On shared routes a non-empty X-Agent-Token takes precedence: no user is looked up then.
    Raises Unauthorized and WriteRequired.
    """
    bearer = get_bearer_token(request)
    agent_token = get_agent_token(request)
    if allowed_caller is AllowedCaller.USER:
        return await _authenticate_user(source, request, bearer)
    if allowed_caller is AllowedCaller.AGENT or agent_token:
        return await _authenticate_agent(source, request, agent_token or bearer)
    user = await _authenticate_user(source, request, bearer)
    return user or await _authenticate_agent(source, request, bearer)


async def _authenticate_and_touch(request: Request, allowed_caller: AllowedCaller) -> Actor:
    """Return the caller. Raises Unauthorized, and Unavailable without an OpenID provider."""
    request.state.provider_profile = await _load_profile(request, allowed_caller)
    actor = await _find_and_touch(request, allowed_caller)
    if actor is None and await _verify_imported_token(request, allowed_caller):
        actor = await _find_and_touch(request, allowed_caller)
    if actor is None:
        raise Unauthorized
    return actor


async def _find_and_touch(request: Request, allowed_caller: AllowedCaller) -> Actor | None:
    async with open_transaction(request) as session:
        actor = await authenticate(session, request, allowed_caller)
        if isinstance(actor, Agent):
            await agents.touch_agent(
                session, actor, offline_after=get_settings(request).offline_after
            )
        return actor


async def _verify_imported_token(request: Request, allowed_caller: AllowedCaller) -> bool:
    """Return whether the token is that of an imported agent. Raises TooMany.

    The verification is slow, so that no transaction is open meanwhile.
    """
    token = get_agent_token(request) or get_bearer_token(request)
    if allowed_caller is AllowedCaller.USER or not token:
        return False
    async with open_transaction(request) as session:
        hashes = await identity.list_imported_hashes(session, token)
    verifier = _verifier(request).imported_tokens
    return await verifier.verify(token, hashes, lane=_network(request)) is not None


async def _authenticate_user(source: Source, request: Request, token: str) -> User | None:
    if not token or token.startswith("mc_agent_"):
        return None
    profile: ProviderProfile | None = request.state.provider_profile
    if profile is not None:
        expires_at = profile.until + timedelta(seconds=get_settings(request).oidc_leeway)
        request.state.credential_expires_at = expires_at
        is_over = expires_at <= now()
        audit.use_credential("provider_token")
        if is_over:
            return None
        session = require_transaction(source)
        return await identity.get_or_create_external_user(session, profile)
    credential = await identity.authenticate_user(source, token, get_settings(request))
    if credential is None:
        return None
    if credential.token_id is not None:
        request.state.last_seen.record(ApiToken, credential.token_id)
    request.state.token_scope = credential.scope
    request.state.credential_expires_at = credential.expires_at  # for streams
    return credential.user


def may_only_read(request: Request) -> bool:
    """Return whether the token of a user may only read."""
    return _get_token_scope(request) is TokenScope.READ


def require_write_scope(request: Request) -> None:
    """Raise Forbidden if the token of a user may only read."""
    if may_only_read(request):
        reason = "This token may only read. Create one that may also change data."
        raise Forbidden("token_scope_insufficient", reason)


def is_without_decisions(request: Request) -> bool:
    """Return whether the token of a user may not decide approvals, nor change what decides."""
    return _get_token_scope(request) is TokenScope.NO_DECISIONS


def require_decision_scope(request: Request) -> None:
    """Raise Forbidden if the token of a user may not decide approvals, nor change what decides."""
    if is_without_decisions(request):
        reason = (
            "This token may not decide approvals, or change policies, tags that they name,"
            " approval settings of boards, or who may decide. Do it on the page."
        )
        raise Forbidden("token_scope_insufficient", reason)


def _get_token_scope(request: Request) -> TokenScope:
    scope: TokenScope = getattr(request.state, "token_scope", TokenScope.WRITE)
    return scope


async def _authenticate_agent(source: Source, request: Request, token: str) -> Agent | None:
    if not token or token.startswith("mc_user_") or looks_like_jwt(token):
        return None
    verifier = _verifier(request).imported_tokens
    credential = await identity.authenticate_agent(source, token, verifier)
    if credential is None:
        return None
    request.state.credential_expires_at = credential.expires_at  # for streams
    return credential.agent


async def _load_profile(request: Request, allowed_caller: AllowedCaller) -> ProviderProfile | None:
    """Return the profile in a token that the OpenID provider has signed, or None.

    Call it outside a transaction, because the keys may have to be fetched. The profile is kept in
    `request.state`: streams authenticate again while they run.
    """
    provider: OpenIdProvider | None = request.state.provider
    token = get_bearer_token(request)
    decides_alone = allowed_caller is AllowedCaller.EITHER and get_agent_token(request)
    if (
        allowed_caller is AllowedCaller.AGENT
        or decides_alone
        or not looks_like_jwt(token)
        or provider is None
    ):
        return None
    claims = await provider.verify_bearer(token)
    return identity.parse_profile(claims) if claims else None


def _network(request: Request) -> str:
    return rate_limit_network(get_client_ip(request, get_settings(request).trusted_proxies))


def _verifier(request: Request) -> CredentialVerifier:
    verifier: CredentialVerifier = request.state.credential_verifier
    return verifier
