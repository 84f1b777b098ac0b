"""Handlers of operations: what they receive, and how they are marked."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

from starlette.requests import Request

from api.framework.auth import AllowedCaller, get_offline_after
from api.framework.errors import read_known_versions
from core.config.settings import Settings
from core.db.reads import Source
from core.http.outbound import OutboundClient
from core.http.request import Session, get_settings, open_reader, open_transaction
from core.http.request_slots import release_slots
from core.security.encryption import SecretCipher
from core.validation import KnownVersions
from models import Actor, Agent, User
from services.channels import ManualMessages
from services.gateways import GatewayConnector

Handler: TypeAlias = Callable[..., Awaitable[Any]]
Dependency: TypeAlias = Callable[["RequestContext", Mapping[str, Any]], Awaitable[dict[str, Any]]]


def without_transaction(handler: Handler) -> Handler:
    """Mark a handler that waits for the network and must not hold a transaction while it runs.

    Its dependencies are loaded in a transaction that has ended. The handler opens its own with
    `context.transaction()`, before and after the network call.
    """
    setattr(handler, "waits_for_network", True)  # noqa: B010 - a Callable has no such attribute
    return handler


def error_responses(*statuses: int) -> Callable[[Handler], Handler]:
    """Mark a handler with the error statuses of its rules, for the OpenAPI document."""

    def mark(handler: Handler) -> Handler:
        setattr(handler, "error_statuses", statuses)  # noqa: B010 - a Callable has no such attribute
        return handler

    return mark


def changes_decisions(handler: Handler) -> Handler:
    """Mark a handler that decides an approval, or changes what is decided or who may decide.

    Tokens with the scope `no_decisions` may not call it.
    """
    setattr(handler, "changes_decisions", True)  # noqa: B010 - a Callable has no such attribute
    return handler


def receives_any_body(success_status: int) -> Callable[[Handler], Handler]:
    """Mark a handler that reads a body of any type itself, and the status of its response."""

    def mark(handler: Handler) -> Handler:
        vars(handler).update(receives_any_body=True, success_status=success_status)
        return handler

    return mark


def reads_only(handler: Handler) -> Handler:
    """Mark a handler that only reads, from `context.source`.

    It runs on a connection of the read pool, and in a transaction if its caller has to be stored
    first.
    """
    setattr(handler, "reads_only", True)  # noqa: B010 - a Callable has no such attribute
    return handler


@dataclass(frozen=True)
class RequestContext:
    """An authenticated request, and the open transaction or read connection if there is one."""

    open_source: Source | None
    allowed_caller: AllowedCaller
    authenticated: Actor | None
    request: Request

    @property
    def source(self) -> Source:
        """Where queries run: the read connection, or the open transaction."""
        assert self.open_source is not None
        return self.open_source

    @property
    def session(self) -> Session:
        """The session of the open transaction."""
        assert isinstance(self.open_source, Session)
        return self.open_source

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """Open a transaction, in a handler that waits for the network."""
        return open_transaction(self.request)

    def reader(self) -> AbstractAsyncContextManager[Source]:
        """Open a connection for reading, in a handler without a transaction."""
        return open_reader(self.request)

    @property
    def actor(self) -> Actor:
        """The authenticated user or agent."""
        assert self.authenticated is not None
        return self.authenticated

    @property
    def user(self) -> User:
        """The authenticated user, in an operation that only users may call."""
        assert isinstance(self.authenticated, User)
        return self.authenticated

    @property
    def agent(self) -> Agent:
        """The authenticated agent, in an operation that only agents may call."""
        assert isinstance(self.authenticated, Agent)
        return self.authenticated

    @property
    def settings(self) -> Settings:
        """The settings of this installation."""
        return get_settings(self.request)

    @property
    def secret_cipher(self) -> SecretCipher:
        """The cipher for tokens at rest."""
        cipher: SecretCipher = self.request.state.secret_cipher
        return cipher

    @property
    def gateway_connector(self) -> GatewayConnector:
        """The connector to gateways of this process, for a request that then waits for one."""
        release_slots(self.request)
        connector: GatewayConnector = self.request.state.gateway_connector
        return connector

    def count_manual_message(self, organization_id: UUID) -> None:
        """Count what an admin sends to webhooks by hand. Raises TooMany."""
        limit = self.request.state.rate_limits.webhook_messages
        limit.hit(f"organization {organization_id}")

    def count_own_message(self) -> None:
        """Count what the user sends on channels by hand. Raises TooMany."""
        self.request.state.rate_limits.channel_messages.hit(f"user {self.user.id}")

    @property
    def manual_messages(self) -> ManualMessages:
        """What sends a message on a channel at once, in a handler without a transaction."""
        state = self.request.state
        return ManualMessages(
            self.transaction, self.secret_cipher, state.channel_sender, state.message_renderer
        )

    @property
    def outbound_client(self) -> OutboundClient:
        """The client for addresses that users enter."""
        client: OutboundClient = self.request.state.outbound_client
        return client

    @property
    def archive_client(self) -> OutboundClient:
        """The client for archives of this process, for a request that then waits for one."""
        release_slots(self.request)
        client: OutboundClient = self.request.state.archive_client
        return client

    @property
    def known_versions(self) -> KnownVersions:
        """The versions in If-Match; None without that header."""
        return read_known_versions(self.request)

    @property
    def offline_after(self) -> timedelta:
        """How long an agent may be silent before it is offline."""
        return get_offline_after(self.request)
