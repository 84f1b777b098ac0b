"""`/metrics` for Prometheus: the sum of all processes with the data folder, and the installation.

It is open to who has METRICS_TOKEN. Without such a setting, it is open to programs of this machine
that connect directly: to others the address does not exist.
"""

import asyncio
import ipaddress
from collections.abc import Generator
from urllib.parse import urlsplit

from prometheus_client.core import GaugeMetricFamily, Metric
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.framework.errors import build_error_response
from core.config.settings import Settings
from core.event_loop import find_longest_hold
from core.http.caller import get_bearer_token
from core.http.proxy_check import find_proxy_problem
from core.http.request import get_settings
from core.metrics import PREFIX, MetricsFolder, render_metrics
from core.security.secrets import secrets_equal
from services.readiness import find_free_bytes
from services.system_status import SystemStatus

FORWARDING_HEADERS = (
    *("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
    "X-Real-IP",
)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def export_metrics(request: Request) -> Response:
    """Answer with all metrics. Without the database those that it counts are missing."""
    settings = get_settings(request)
    if settings.metrics_token:
        if not secrets_equal(get_bearer_token(request), settings.metrics_token):
            return build_error_response(401, headers={"WWW-Authenticate": "Bearer"})
    elif not _is_direct(request, settings):
        raise HTTPException(404)
    status = await request.state.system_status.get_status()
    text = await asyncio.to_thread(_render, request.state.metrics_folder, settings, status)
    return Response(text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})


def _is_direct(request: Request, settings: Settings) -> bool:
    """Return whether a program of this machine asks, and neither a proxy nor a page in a browser.

    A proxy on this machine may add no header, so BASE_URL must not show one that is not configured.
    The name in the address keeps out pages whose name resolves to this machine.
    """
    peer = request.client.host if request.client else ""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        return False
    return (
        _is_loopback(peer)
        and (host == "localhost" or _is_loopback(host))
        and not any(name in request.headers for name in FORWARDING_HEADERS)
        and find_proxy_problem(settings) is None
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _render(folder: MetricsFolder, settings: Settings, status: SystemStatus | None) -> bytes:
    hold = find_longest_hold(settings.data_dir)
    _, free = find_free_bytes(settings.data_dir)
    gauges: list[Metric] = [
        _gauge("database_up", "Whether the database answers.", float(status is not None)),
        _gauge("disk_free_bytes", "Free on the disk of the data folder.", free),
        _gauge("processes", "Processes with the data folder.", folder.count_processes()),
        _gauge(
            "event_loop_longest_hold_seconds",
            "The longest hold of the event loop in the last 24 hours.",
            hold.seconds if hold else 0.0,
        ),
    ]
    if status is not None:
        gauges += _list_installation_gauges(status)
    return render_metrics(folder.collect(), gauges)


def _list_installation_gauges(status: SystemStatus) -> Generator[Metric]:
    size = _gauge("outbox_size", "What waits to be sent, at most 10000.", labels=["outbox"])
    overdue = _gauge(
        "outbox_overdue_seconds", "For how long the oldest of it has been due.", labels=["outbox"]
    )
    gateways = _gauge("gateways", "Gateways by their status.", labels=["status"])
    for outbox in status.outboxes:
        size.add_metric([outbox.name], outbox.count)
        overdue.add_metric([outbox.name], outbox.overdue_seconds)
    for state, count in status.gateways.items():
        gateways.add_metric([state.value], count)
    yield from (size, overdue, gateways)
    if status.backup_at is not None:
        name = "last_backup_timestamp_seconds"
        yield _gauge(
            name,
            "When ./run backup has written the last backup, as Unix time.",
            status.backup_at.timestamp(),
        )


def _gauge(
    name: str, text: str, value: float | None = None, labels: list[str] | None = None
) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value, labels=labels)


route = Route("/metrics", export_metrics)
