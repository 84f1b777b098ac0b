"""`/metrics`: who can read it, what it shows, and that it names nobody."""

import asyncio
import json
import logging
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.http.request_log import JsonFormatter
from services.audit import AuditAction, AuditObject, NewAuditRecord, record_audit
from services.system_status import STATUS_LIFETIME, SystemStatusReader
from tests.support.app_on_transactions import ReadsOn, build_app_on
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.world import World

TOKEN = "t" * 32
MONITORING = Path(__file__).parents[2] / "docs/monitoring"
LOCAL = ("127.0.0.1", 50_000)
Send = Callable[..., Awaitable[httpx2.Response]]


def create_sender(settings: Settings, transaction: Any) -> Send:
    """Return a function that sends a request from an address to the application."""
    app = build_app_on(settings, transaction)

    async def send(
        path: str = "/metrics",
        *,
        client: tuple[str, int] = LOCAL,
        host: str = "127.0.0.1:8000",
        **headers: str,
    ) -> httpx2.Response:
        transport = httpx2.ASGITransport(app, client=client)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}") as sender:
            named = [(name.replace("_", "-").encode(), headers[name].encode()) for name in headers]
            return await sender.get(path, headers=named)

    return send


async def test_programs_of_the_machine_read_metrics_without_a_token(
    settings: Settings, transaction: TransactionFactory
) -> None:
    send = create_sender(settings, transaction)
    assert (await send()).status_code == 200
    assert (await send(client=("::1", 1), host="localhost")).status_code == 200


@pytest.mark.parametrize(
    "request_of",
    [
        {"client": ("10.0.0.7", 1)},
        {"X_Forwarded_For": "10.0.0.7"},
        {"Forwarded": "for=10.0.0.7"},
        {"X_Real_IP": "10.0.0.7"},
        {"Via": "1.1 proxy"},
        {"host": "mission.example"},
        {"host": "["},
        {"client": ("10.0.0.7", 1), "Authorization": "Bearer "},
    ],
)
async def test_without_a_token_metrics_do_not_exist_for_others(
    settings: Settings, transaction: TransactionFactory, request_of: dict[str, str]
) -> None:
    answer = await create_sender(settings, transaction)(**request_of)
    assert answer.status_code == 404
    assert "mission_control_" not in answer.text


async def test_a_proxy_that_adds_no_header_does_not_open_the_metrics(
    settings: Settings, transaction: TransactionFactory
) -> None:
    behind = settings.model_copy(update={"base_url": "https://mission.example"})
    assert (await create_sender(behind, transaction)()).status_code == 404


async def test_with_a_token_set_everybody_needs_it(
    settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    send = create_sender(settings.model_copy(update={"metrics_token": TOKEN}), transaction)
    for wrong in ("", "Bearer", f"Bearer {TOKEN}t", f"Basic {TOKEN}", "Bearer ünïcode"):
        answer = await send(Authorization=wrong)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert (await send(Authorization=f"Bearer {token_secret(world.alice)}")).status_code == 401
    answer = await send(client=("10.0.0.7", 1), host="m.test", Authorization=f"Bearer {TOKEN}")
    assert answer.status_code == 200


async def test_requests_are_counted_by_template_and_name_nobody(
    settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    send = create_sender(settings, transaction)
    cookie = f"mission_control={cookie_secret(world.alice)}"
    board = f"/boards/{world.board.id}"
    for path in (board, f"{board}?q=searched-words", f"/boards/{UUID(int=7)}"):
        await send(path, Cookie=cookie)
    await send(f"/api/v1{board}", Authorization=f"Bearer {token_secret(world.alice)}")
    for path in ("/static/app.css", "/static/nothing", "/nobody-knows", "/api/v1/neither"):
        await send(path)
    text = (await send()).text
    counted = {
        (one.labels["route"], one.labels["status"])
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == "mission_control_requests_total"
    }
    assert {
        *(("/boards/{board_id}", "2xx"), ("/boards/{board_id}", "4xx")),
        *(("/api/v1/boards/{board_id}", "2xx"), ("/static", "4xx"), ("other", "4xx")),
    } <= counted
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}|searched-words|nobody|neither", text)
    for name in map(str, (world.tern.name, world.board.name, world.alice.email)):
        assert str(name) not in text


async def test_the_figures_of_the_database_are_read_at_most_every_ten_seconds(
    transaction: TransactionFactory,
) -> None:
    reads, seconds = 0, 0.0

    @asynccontextmanager
    async def open_read():  # type: ignore[no-untyped-def]
        nonlocal reads
        reads += 1
        async with ReadsOn(transaction).acquire() as source:
            yield source

    reader = SystemStatusReader(open_read, lambda: seconds)
    first, second = await asyncio.gather(reader.get_status(), reader.get_status())
    assert first is second
    assert first is not None
    seconds += STATUS_LIFETIME - 1
    assert await reader.get_status() is first
    assert reads == 1
    seconds += 1
    assert await reader.get_status() is not first


async def test_without_a_database_the_metrics_say_so(settings: Settings) -> None:
    @asynccontextmanager
    async def fail():  # type: ignore[no-untyped-def]
        raise ConnectionRefusedError
        yield

    text = (await create_sender(settings, fail)()).text
    assert "mission_control_database_up 0.0" in text
    assert "mission_control_outbox_size{" not in text


async def test_the_log_names_route_and_caller_and_no_query(
    settings: Settings,
    transaction: TransactionFactory,
    world: World,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send = create_sender(settings, transaction)
    caplog.set_level(logging.INFO, "mission_control.request")
    path = f"/api/v1/boards/{world.board.id}"
    bearer = f"Bearer {token_secret(world.alice)}"
    await send(f"{path}?token=secret", Authorization=bearer, X_Request_Id="mine")
    await send(f"{path}?token=secret")
    await send("/api/v1/agent/boards?token=secret", X_Agent_Token=token_secret(world.lead))
    # On a busy machine the event loop may be held, which another logger names.
    requests = [one for one in caplog.records if one.name == "mission_control.request"]
    lines = [JsonFormatter().format(one) for one in requests]
    assert not any("secret" in line for line in lines)
    named, unknown, agent = map(json.loads, lines)
    assert named.pop("ms") > 0
    expected = {"method": "GET", "path": path, "route": "/api/v1/boards/{board_id}"}
    assert {**expected, "status": 200, "caller": "user"}.items() <= named.items()
    assert (unknown["status"], unknown["caller"]) == (401, "anonymous")
    assert (agent["route"], agent["caller"]) == ("/api/v1/agent/boards", "agent")


def list_used_metrics(text: str) -> set[str]:
    """Return the names of the metrics in a text, without those of the parts of a histogram."""
    return {
        re.sub("_(bucket|count|sum)$", "", name)
        for name in re.findall(r"\bmission_control_\w+", text)
    }


async def test_dashboard_alerts_and_documentation_name_metrics_that_exist(
    settings: Settings, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        created = AuditObject("installation")
        record = NewAuditRecord(AuditAction.BACKUP_CREATED, created, organization_id=None)
        await record_audit(session, [record])
    text = (await create_sender(settings, transaction)()).text
    existing = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    dashboard = (MONITORING / "dashboard.json").read_text()
    alerts = (MONITORING / "alerts.yml").read_text()
    described = re.search(
        r"\| Metric .*?\n\n", MONITORING.with_suffix(".md").read_text(), re.DOTALL
    )
    assert described is not None
    rows = [line.split("|")[1] for line in described[0].splitlines()[2:] if line]
    named = {f"mission_control_{name}" for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert list_used_metrics(dashboard) | list_used_metrics(alerts) <= existing
    assert named == existing == list_used_metrics(dashboard)


def run_program(command: list[str], text: str) -> int:
    """Run a program with a text as its input, and return its exit status."""
    return subprocess.run(command, input=text, text=True, check=False).returncode


async def test_prometheus_accepts_the_alert_rules_and_the_metrics(
    settings: Settings, transaction: TransactionFactory
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    text = (await create_sender(settings, transaction)()).text
    rules = str(MONITORING / "alerts.yml")
    assert run_program([promtool, "check", "rules", rules], "") == 0
    assert run_program([promtool, "check", "metrics"], text) == 0
