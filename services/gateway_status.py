"""The status of a gateway, derived from the stored results of its checks. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, DateTime, case, cast, func
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from models import Gateway
from openclaw import AGENTS_CHECK

CHECK_OK, CHECK_FAILED = "ok", "failed"
RECENT_CHECK = timedelta(seconds=20)
WORKER_HANDOVER = timedelta(minutes=1)  # a new worker takes the lease within this time


class GatewayStatus(StrEnum):
    """The status that users see."""

    UNCHECKED = "unchecked"  # no check since it was created or its connection was changed
    CONNECTED = "connected"  # a worker keeps a connection
    LIMITED = "limited"  # it answers, but agents cannot be provisioned
    REACHABLE = "reachable"  # a recent check by a user succeeded; no worker has the lease yet
    UNMONITORED = "unmonitored"  # the last check succeeded, but no worker has the lease
    FAILED = "failed"  # a check failed


def compute_status(gateway: Gateway, moment: datetime) -> GatewayStatus:
    """Return the status of a gateway at a moment."""
    if gateway.checks is None:
        return GatewayStatus.UNCHECKED
    if find_connection_failure(gateway.checks) is not None:
        return GatewayStatus.FAILED
    checked_at, has_worker = gateway.checked_at, is_leased(gateway, moment)
    is_recent = checked_at is not None and moment - checked_at < RECENT_CHECK
    if not has_worker and not is_recent:
        return GatewayStatus.UNMONITORED
    if failing_check(gateway) is not None:
        return GatewayStatus.LIMITED
    return GatewayStatus.CONNECTED if has_worker else GatewayStatus.REACHABLE


def is_leased(gateway: Gateway, moment: datetime) -> bool:
    """Return whether a worker keeps a connection to a gateway, or keeps trying to."""
    return gateway.lease_expires_at is not None and gateway.lease_expires_at > moment


def failing_check(gateway: Gateway) -> Mapping[str, Any] | None:
    """Return the failed check, if there is one."""
    checks = gateway.checks or []
    return next((check for check in checks if check["state"] == CHECK_FAILED), None)


def find_connection_failure(
    checks: Sequence[Mapping[str, Any]] | None,
) -> Mapping[str, Any] | None:
    """Return the failed check because of which a gateway cannot be used at all."""
    failed = (check for check in checks or () if check["state"] == CHECK_FAILED)
    return next((check for check in failed if check["name"] != AGENTS_CHECK), None)


def status_since(gateway: Gateway) -> datetime | None:
    """Return since when all checks succeed, or since when the failed one fails."""
    failed = failing_check(gateway)
    times = _list_since_times([failed] if failed else gateway.checks or [])
    return max(times, default=None)


def unreachable_since(gateway: Gateway, moment: datetime) -> datetime | None:
    """Return since when the state of the gateway's agents is unknown; None if it is known."""
    status, checked_at = compute_status(gateway, moment), gateway.checked_at
    if status is GatewayStatus.FAILED:
        return status_since(gateway)
    if status is not GatewayStatus.UNMONITORED or checked_at is None:
        return None
    return checked_at if moment - checked_at > WORKER_HANDOVER else None


def unreachable_since_expression(at: ColumnElement[datetime]) -> ColumnElement[datetime | None]:
    """Select what `unreachable_since` returns."""
    failed = f'$[*] ? (@.state == "{CHECK_FAILED}")'
    is_failed = func.jsonb_path_exists(
        Gateway.checks, cast(f'{failed} ? (@.name != "{AGENTS_CHECK}")', JSONPATH)
    )
    failing = func.jsonb_path_query_first(Gateway.checks, cast(failed, JSONPATH), type_=JSONB)
    has_worker = func.coalesce(Gateway.lease_expires_at > at, False)
    is_unmonitored = ~has_worker & (Gateway.checked_at < at - WORKER_HANDOVER)
    return case(
        (is_failed, cast(failing["since"].astext, DateTime(timezone=True))),
        (Gateway.checks.is_not(None) & is_unmonitored, Gateway.checked_at),
    )


def last_contact_at(gateway: Gateway, moment: datetime) -> datetime | None:
    """Return when the gateway was last reachable, as far as we know; None if it never was.

    When a check fails, the checks after it are unknown from that time on.
    """
    status = compute_status(gateway, moment)
    is_answering = status in (GatewayStatus.CONNECTED, GatewayStatus.LIMITED)
    if is_answering and is_leased(gateway, moment):
        return moment
    if is_answering or status in (GatewayStatus.REACHABLE, GatewayStatus.UNMONITORED):
        return gateway.checked_at
    if gateway.gateway_version is None:
        return None
    not_ok = [check for check in gateway.checks or [] if check["state"] != CHECK_OK]
    return min(_list_since_times(not_ok), default=None)


def _list_since_times(checks: Iterable[Mapping[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(check["since"]) for check in checks if check.get("since")]
