"""Connections to gateways. Their secrets are decrypted here and nowhere else.

Services request a client for each operation, and it is closed afterwards; gateway jobs use one
client for as long as the process has the gateway's lease.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.config.settings import Settings
from core.errors import Conflict, UpstreamError
from core.security.encryption import DecryptionError, SecretCipher
from models import Gateway, GatewayConnectionMixin, build_encryption_context
from openclaw import (
    COMMAND_NOTES,
    SECRETS_UNREADABLE,
    AddressPolicy,
    ConnectionDiagnosis,
    DeviceIdentity,
    ErrorKind,
    GatewayCapabilities,
    GatewayClient,
    GatewayError,
    GatewayTarget,
    Hello,
    RetryPolicy,
    diagnose_connection,
    diagnose_missing_key,
    diagnose_outcome,
    get_error_hint,
    get_error_values,
)

INTERACTIVE_POLICY = RetryPolicy(call_timeout=15.0, total_timeout=20.0, max_delay=2.0)
"""Timeouts while a user waits."""

CLIENT_CAPABILITIES = ("tool-events", "exec-approvals", "plugin-approvals")
"""What the lease holder supports. Without the last two agents cannot request approvals."""

PUBLIC_ONLY = AddressPolicy((), is_public_only=True)

JOB_RESTART_DELAY = 5.0  # seconds after a job has failed

GatewayJob = Callable[[Gateway, GatewayClient], Awaitable[None]]
"""A job that runs over the connection of a gateway's lease holder until it is cancelled.

It finds its work by itself, so it may be stopped at any time and continued by another process. The
gateway's row is as it was when the lease was acquired; a job reloads what may change.
"""

log = logging.getLogger(__name__)

EXPECTED_DISCONNECTS = (ErrorKind.RESTARTING, ErrorKind.CLOSED)
"""Errors that end a connection and are not reported: the next attempt has a better error."""


@dataclass(frozen=True)
class GatewaySecrets:
    """The decrypted secrets of a gateway. They appear in no `repr` and in no response."""

    token: str
    device: DeviceIdentity
    device_token: str

    def __repr__(self) -> str:
        """Show the device only."""
        return f"GatewaySecrets({self.device})"


class GatewayConnector:
    """Connects to gateways with the secrets that are stored encrypted in their rows."""

    def __init__(
        self,
        cipher: SecretCipher,
        address_policy: AddressPolicy,
        *,
        retry_policy: RetryPolicy = INTERACTIVE_POLICY,
        allows_private_for_all: bool = False,
    ) -> None:
        self.allows_private_for_all = allows_private_for_all
        self._cipher = cipher
        self._address_policy = address_policy
        self._retry_policy = retry_policy

    @classmethod
    def from_settings(cls, settings: Settings, cipher: SecretCipher) -> "GatewayConnector":
        """Create the connector of this installation."""
        return cls(
            cipher,
            AddressPolicy(settings.gateway_allow_private),
            allows_private_for_all=settings.gateway_private_for_all,
        )

    @asynccontextmanager
    async def connect(self, gateway: GatewayConnectionMixin) -> AsyncGenerator[GatewayClient]:
        """Yield a client of a gateway. GatewayErrors inside are raised as UpstreamError.

        Raises Conflict if the secrets cannot be decrypted. Never use it inside a transaction: a
        gateway may respond slowly.
        """
        target = self.make_target(gateway)
        async with self.connect_to(target, get_capabilities(gateway)) as client:
            yield client

    @asynccontextmanager
    async def connect_to(
        self, target: GatewayTarget, capabilities: GatewayCapabilities | None = None
    ) -> AsyncGenerator[GatewayClient]:
        """Yield a client of a gateway that may not be stored. GatewayErrors as in `connect`."""
        policy = self._retry_policy
        try:
            async with GatewayClient(
                target, retry_policy=policy, capabilities=capabilities
            ) as client:
                yield client
        except GatewayError as error:
            raise upstream_error(error, target.url) from error

    async def stay_connected(
        self,
        gateway: Gateway,
        on_diagnosis: Callable[[ConnectionDiagnosis], Awaitable[None]],
        *,
        jobs: Sequence[GatewayJob] = (),
        retry_policy: RetryPolicy,
        before_call: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Stay connected to a gateway until cancelled; report a diagnosis after each change.

        Meanwhile the jobs run over the same connection, and each of their calls waits for
        `before_call`; what calls reveal is a change too. An expected disconnect is not reported,
        because the gateway usually returns soon.
        Raises Conflict, after it was reported, if the secrets cannot be decrypted.
        """
        try:
            target, was_connected = self.make_target(gateway), False
        except Conflict as error:
            await on_diagnosis(diagnose_missing_key(error.message, error.code))
            raise

        async def on_change(outcome: Hello | GatewayError) -> None:
            nonlocal was_connected
            is_disconnect = (
                isinstance(outcome, GatewayError) and outcome.kind in EXPECTED_DISCONNECTS
            )
            is_expected = was_connected and is_disconnect
            was_connected = isinstance(outcome, Hello) or outcome.kind is ErrorKind.UNRESPONSIVE
            if not is_expected:
                await on_diagnosis(diagnose_outcome(target, outcome, known))

        known = get_capabilities(gateway)
        async with (
            GatewayClient(
                target,
                caps=CLIENT_CAPABILITIES,
                retry_policy=retry_policy,
                capabilities=known,
                before_call=before_call,
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for job in jobs:
                group.create_task(_run_job(job, gateway, client))
            await client.stay_connected(on_change)

    async def diagnose(self, gateway: Gateway) -> ConnectionDiagnosis:
        """Connect to a gateway once, and return the results of all checks."""
        return await diagnose_connection(self.make_target(gateway), get_capabilities(gateway))

    def make_target(self, gateway: GatewayConnectionMixin) -> GatewayTarget:
        """Return the target of a gateway. Raises Conflict if its secrets cannot be decrypted."""
        secrets = self.decrypt_secrets(gateway)
        return GatewayTarget(
            gateway.url,
            token=secrets.token,
            device=None if gateway.disable_device_pairing else secrets.device,
            device_token=secrets.device_token,
            allow_insecure_tls=gateway.allow_insecure_tls,
            ca_certificates=gateway.ca_certificates or "",
            address_policy=self._get_policy(gateway.allows_private),
        )

    def _get_policy(self, allows_private: bool) -> AddressPolicy:
        return self._address_policy if allows_private else PUBLIC_ONLY

    def make_target_for_url(
        self,
        url: str,
        token: str,
        *,
        known_gateway: Gateway | None,
        allows_private: bool,
        allow_insecure_tls: bool | None = None,
        disable_device_pairing: bool | None = None,
    ) -> GatewayTarget:
        """Return the target of an address with a token that a user enters.

        Options that are None are taken from `known_gateway`, the stored gateway with this address.
        Its device is used too. Its tokens are used only without an entered one, and if the options
        are its own: otherwise they could be read on the way.
        """
        insecure, no_pairing = allow_insecure_tls, disable_device_pairing
        if known_gateway is not None:
            stored = known_gateway.allow_insecure_tls, known_gateway.disable_device_pairing
            insecure = stored[0] if insecure is None else insecure
            no_pairing = stored[1] if no_pairing is None else no_pairing
            if not token and (insecure, no_pairing) == stored:
                return self.make_target(known_gateway)
        device = (
            self.decrypt_secrets(known_gateway).device if known_gateway and not no_pairing else None
        )
        return GatewayTarget(
            url,
            token,
            device,
            allow_insecure_tls=bool(insecure),
            ca_certificates=(known_gateway.ca_certificates or "") if known_gateway else "",
            address_policy=self._get_policy(allows_private),
        )

    def decrypt_secrets(self, gateway: GatewayConnectionMixin) -> GatewaySecrets:
        """Decrypt the secrets of a gateway. Raises Conflict if they have another key."""
        try:
            return GatewaySecrets(
                self._decrypt(gateway.encrypted_token, gateway.id, "token"),
                DeviceIdentity(
                    self._cipher.decrypt(
                        gateway.encrypted_device, encryption_context(gateway.id, "device")
                    )
                ),
                self._decrypt(gateway.encrypted_device_token, gateway.id, "device_token"),
            )
        except DecryptionError:
            raise Conflict("gateway_secrets_unreadable", SECRETS_UNREADABLE) from None

    def encrypt(self, gateway_id: UUID, name: str, secret: str | bytes | None) -> str | None:
        """Encrypt a secret for a gateway's row; return None for an empty one."""
        return (
            self._cipher.encrypt(secret, encryption_context(gateway_id, name)) if secret else None
        )

    def new_device(self, gateway_id: UUID) -> str:
        """Create a device identity for a gateway, and return it encrypted."""
        encrypted = self.encrypt(gateway_id, "device", DeviceIdentity.generate().seed)
        assert encrypted is not None
        return encrypted

    def _decrypt(self, encrypted: str | None, gateway_id: UUID, name: str) -> str:
        return (
            self._cipher.decrypt(encrypted, encryption_context(gateway_id, name)).decode()
            if encrypted
            else ""
        )


def get_capabilities(gateway: GatewayConnectionMixin) -> GatewayCapabilities:
    """Return what is known about the capabilities of a gateway."""
    return GatewayCapabilities(gateway.capabilities if isinstance(gateway, Gateway) else None)


async def _run_job(job: GatewayJob, gateway: Gateway, client: GatewayClient) -> None:
    """Run a job until cancelled, and restart it after errors. They do not affect other jobs."""
    while True:
        try:
            await job(gateway, client)
        except Exception as error:
            log.warning("A job of the gateway %s has failed: %s", gateway.id, error, exc_info=True)
        await asyncio.sleep(JOB_RESTART_DELAY)


def encryption_context(gateway_id: UUID, name: str) -> str:
    """Return the context that ties an encrypted secret to its row and column."""
    return build_encryption_context(getattr(Gateway, f"encrypted_{name}"), id=gateway_id)


def upstream_error(error: GatewayError, url: str) -> UpstreamError:
    """Convert a gateway's error; its kind becomes the code for API clients.

    The details are for texts in other languages than that of the message.
    """
    code = error.kind.value
    message, command = get_error_hint(error, url)
    if command:
        message = f"{message} {COMMAND_NOTES.get(code, 'Run there:')} {command}"
    values: dict[str, Any] = get_error_values(error, url)
    if command:
        values["command"] = command
    return UpstreamError(f"gateway_{code}", message, **values)
