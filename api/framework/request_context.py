"""What handlers and dependencies of operations receive."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from starlette.requests import Request

from api.framework.auth import AllowedCaller
from api.framework.errors import read_known_versions
from core.config.settings import Settings
from core.db.reads import Source
from core.fields import KnownVersions
from core.http.outbound import OutboundClient
from core.http.request import Session, get_settings, open_reader, open_transaction
from core.http.request_slots import release_slots
from core.security.encryption import SecretCipher
from models import Actor, Agent, User
from services.channels import ManualMessages
from services.gateways import GatewayConnector


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

    async def count_manual_message(self, organization_id: UUID) -> None:
        """Count what an admin sends to webhooks by hand. Raises TooMany."""
        limit = self.request.state.rate_limits.webhook_messages
        await limit.hit(f"organization {organization_id}")

    async def count_own_message(self) -> None:
        """Count what the user sends on channels by hand. Raises TooMany."""
        await self.request.state.rate_limits.channel_messages.hit(f"user {self.user.id}")

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
        return self.settings.offline_after
