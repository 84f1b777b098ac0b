"""Probes of gateways: executed without a transaction, then recorded in the gateway's row."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from models import EventType, Gateway, Member
from openclaw import (
    AGENTS_CHECK,
    CAPABILITY_RULES,
    CONFIG_INVALID,
    Capability,
    CheckState,
    ConnectionDiagnosis,
    ErrorKind,
    GatewayCapabilities,
)
from services import events
from services.gateway_status import find_connection_failure
from services.gateways.connector import GatewayConnector
from services.gateways.queries import get_gateway

CheckRow = dict[str, Any]


@dataclass(frozen=True)
class ProbeResult:
    """The connection checks of a gateway at one time, and the device token that it issued."""

    checks: list[CheckRow]  # as in openclaw, with the time since when the result is the same
    at: datetime
    is_well: bool
    gateway_version: str | None
    encrypted_device_token: str | None
    capabilities: Mapping[str, Any] | None = None

    @classmethod
    async def probe_gateway(cls, connector: GatewayConnector, gateway: Gateway) -> "ProbeResult":
        """Probe a gateway. Never call it inside a transaction.

        Raises Conflict if the stored secrets cannot be decrypted.
        """
        diagnosis = await connector.diagnose(gateway)
        result = cls.from_diagnosis(connector, gateway.id, diagnosis)
        return replace(result, checks=result.checks_since(gateway.checks))

    @classmethod
    def from_diagnosis(
        cls, connector: GatewayConnector, gateway_id: UUID, diagnosis: ConnectionDiagnosis
    ) -> "ProbeResult":
        """Convert a diagnosis; the device token is encrypted."""
        hello, since = diagnosis.hello, diagnosis.at.isoformat()
        device_token = hello.device_token if hello else None
        return cls(
            checks=[asdict(check) | {"since": since} for check in diagnosis.checks],
            at=diagnosis.at,
            is_well=diagnosis.is_ok,
            gateway_version=hello.version if hello else None,
            encrypted_device_token=connector.encrypt(gateway_id, "device_token", device_token),
            capabilities=diagnosis.capabilities,
        )

    def checks_since(self, before: Sequence[CheckRow] | None) -> list[CheckRow]:
        """Return the checks; unchanged ones keep their earlier `since`."""
        known = {check["name"]: check for check in before or ()}
        checks = []
        for check in self.checks:
            earlier = known.get(check["name"], {})
            is_unchanged = all(check[key] == earlier.get(key) for key in ("state", "code"))
            since = (earlier.get("since") if is_unchanged else None) or check["since"]
            checks.append(check | {"since": since})
        return checks

    def keeping_learned(self, gateway: Gateway) -> "ProbeResult":
        """Return this result with what the gateway's connection has learned during the probe."""
        learned = {check["name"]: check for check in gateway.checks or ()}
        checks = [
            learned.get(AGENTS_CHECK, check)
            if check["name"] == AGENTS_CHECK and check["state"] != CheckState.UNKNOWN
            else check
            for check in self.checks
        ]
        return replace(self, checks=checks, capabilities=None)

    def attributes(self) -> dict[str, Any]:
        """Return the gateway's attributes that store this result."""
        stored: dict[str, Any] = {"checks": self.checks, "checked_at": self.at}
        if self.gateway_version is not None:
            stored["gateway_version"] = self.gateway_version
        if self.capabilities is not None:
            stored["capabilities"] = dict(self.capabilities)
        if self.encrypted_device_token is not None:
            stored["encrypted_device_token"] = self.encrypted_device_token
        return stored


def list_missing_capabilities(gateway: Gateway) -> Sequence[Capability]:
    """Return what a gateway does not support, as far as is known, in a fixed order."""
    missing = GatewayCapabilities(gateway.capabilities).missing
    return [capability for capability in CAPABILITY_RULES if capability in missing]


async def record_user_probe(
    session: AsyncSession, member: Member, gateway: Gateway, result: ProbeResult
) -> Gateway:
    """Record a probe that a user requested, and return the gateway as it is then.

    `gateway` is as it was when the probe began: what was learned of it since is kept. Raises
    NotFound if it was deleted meanwhile.
    """
    recorded = await record_probe(session, gateway, result, keep_learned=True)
    return recorded or await get_gateway(session, member, gateway.id)


async def record_probe(
    session: AsyncSession, gateway: Gateway, result: ProbeResult, *, keep_learned: bool = False
) -> Gateway | None:
    """Record a probe, and return the gateway; None if it was changed or deleted meanwhile.

    A probe does not change the gateway's version. Only different check results are an event.
    """
    known = gateway.capabilities
    query = select(Gateway).where(Gateway.id == gateway.id, Gateway.version == gateway.version)
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row = await session.scalar(query)
    if row is None:
        return None
    if keep_learned and row.capabilities != known:
        result = result.keeping_learned(row)
    stored = result.attributes() | {"checks": result.checks_since(row.checks)}
    before = row.checks
    for name, value in stored.items():
        setattr(row, name, value)
    await session.flush()
    if before != row.checks:
        await events.record_events(session, [_checks_changed_event(row, before)])
    return row


def _checks_changed_event(gateway: Gateway, before: Sequence[CheckRow] | None) -> events.NewEvent:
    """Build the event of other check results.

    It says whether the gateway was lost or is back, and whether its config is invalid now, or can
    run agents again.
    """
    was_away, is_away = _is_lost(before), _is_lost(gateway.checks)
    change: dict[str, Any] = {}
    if was_away != is_away:
        change["is_away" if is_away else "is_back"] = True
    earlier, now = _find_agents_check(before), _find_agents_check(gateway.checks)
    if now.get("code") == CONFIG_INVALID != earlier.get("code"):
        change["config_problem"] = {name: now[name] for name in ("sentence", "values", "command")}
    elif now.get("state") == CheckState.OK != earlier.get("state"):
        change["supports_agents"] = True
    return events.NewEvent(
        EventType.GATEWAY_UPDATED,
        None,
        organization_id=gateway.organization_id,
        data={"gateway_id": str(gateway.id), "name": gateway.name, "changed": ["checks"]} | change,
    )


def _find_agents_check(checks: Sequence[CheckRow] | None) -> CheckRow:
    return next((check for check in checks or () if check["name"] == AGENTS_CHECK), {})


def _is_lost(checks: Sequence[CheckRow] | None) -> bool:
    """Return whether the gateway is lost. One that does not answer pings may only be busy."""
    failed = find_connection_failure(checks)
    return failed is not None and failed["code"] != ErrorKind.UNRESPONSIVE
