"""The page "System": the state of the installation in words, for those who operate it."""

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from core.clock import now
from core.event_loop import LoopHold, find_longest_hold
from core.http.request import get_settings, open_reader
from core.metrics import PREFIX, MetricSums
from core.version import VERSION
from services import audit
from services.gateway_status import GatewayStatus
from services.readiness import MIN_FREE_BYTES, find_free_bytes
from services.system_status import SystemStatus
from web.auth.viewer import current_member
from web.ui.layout import load_layout
from web.ui.locale_format import format_number
from web.ui.render import render_page
from web.ui.time_format import format_age, format_duration
from web.ui.translation import N_, _, ngettext, translate

MAX_OVERDUE = 300  # seconds
MAX_BACKUP_AGE = timedelta(days=2)
MAX_GOOD_HOLD = 1.0  # seconds
OUTBOX_NAMES = {
    "messages": N_("Messages to agents"),
    "notifications": N_("Notifications"),
    "webhooks": N_("Webhooks"),
}
AWAY = (GatewayStatus.FAILED, GatewayStatus.UNMONITORED)


@dataclass(frozen=True)
class StatusRow:
    """A part of the installation; the advice says what to do, and is empty if it is in order."""

    name: str
    text: str
    advice: str = ""


async def show_system(request: Request) -> Response:
    """Show the state of the installation. Raises Forbidden."""
    async with open_reader(request) as source:
        await audit.require_installation_reader(source, current_member(request))
    layout = await load_layout(request)
    data_dir = get_settings(request).data_dir
    status = await request.state.system_status.get_status()
    sums = await asyncio.to_thread(request.state.metrics_folder.collect)
    hold = await asyncio.to_thread(find_longest_hold, data_dir)
    _folder, free = await asyncio.to_thread(find_free_bytes, data_dir)
    rows = [
        _describe_version(sums),
        *_describe_processes(sums),
        _describe_database(sums, status),
        *(_describe_installation(status) if status else ()),
        _describe_hold(hold),
        _describe_space(free),
    ]
    return render_page(request, "system/show.html", layout=layout, rows=rows)


def _describe_version(sums: MetricSums) -> StatusRow:
    others = {labels["version"] for labels, _value in sums.list_values(f"{PREFIX}_info")}
    others.discard(VERSION)
    if not others:
        return StatusRow(_("Version"), VERSION)
    named = ", ".join(sorted(others))
    text = _("%(version)s, and other processes run %(others)s.", version=VERSION, others=named)
    return StatusRow(_("Version"), text, _("Complete the update of all processes."))


def _describe_processes(sums: MetricSums) -> Generator[StatusRow]:
    starts = sums.list_values(f"{PREFIX}_process_start_time_seconds")
    memory = {
        labels["process"]: value
        for labels, value in sums.list_values(f"{PREFIX}_process_resident_memory_bytes")
    }
    for labels, start in sorted(starts, key=lambda one: one[0]["process"]):
        process = labels["process"]
        text = _(
            "%(process)s uses %(size)s MB and has been running for %(time)s.",
            process=process,
            size=format_number(round(memory.get(process, 0) / 1_000_000)),
            time=format_duration(now().timestamp() - start),
        )
        yield StatusRow(_("Process"), text)


def _describe_database(sums: MetricSums, status: SystemStatus | None) -> StatusRow:
    if status is None:
        text = _("It does not answer in time.")
        advice = _("Run ./run doctor on the server: it names the reason.")
        return StatusRow(_("Database"), text, advice)

    def add(name: str) -> int:
        return round(sum(value for _labels, value in sums.list_values(f"{PREFIX}_pool_{name}")))

    used, size, waiting = add("used"), add("size"), add("waiting")
    text = _("It answers. %(used)s of %(size)s connections are in use.", used=used, size=size)
    if not waiting:
        return StatusRow(_("Database"), text)
    more = ngettext("%(num)d request waits for one.", "%(num)d requests wait for one.", waiting)
    advice = _("If this lasts, look for slow statements in the database, then raise DB_POOL_SIZE.")
    return StatusRow(_("Database"), f"{text} {more}", advice)


def _describe_installation(status: SystemStatus) -> Generator[StatusRow]:
    for outbox in status.outboxes:
        text, advice = _("Nothing is waiting."), ""
        if outbox.count:
            text = ngettext("%(num)d waits to be sent.", "%(num)d wait to be sent.", outbox.count)
        if outbox.overdue_seconds > MAX_OVERDUE:
            due = format_duration(outbox.overdue_seconds)
            text = f"{text} {_('The oldest is due for %(time)s.', time=due)}"
            advice = _("Check that a worker runs, and that the gateways are connected.")
        yield StatusRow(translate(OUTBOX_NAMES[outbox.name]), text, advice)
    total, away = sum(status.gateways.values()), sum(status.gateways[one] for one in AWAY)
    text = ngettext("%(num)d gateway.", "%(num)d gateways.", total) if total else _("None yet.")
    if away:
        more = ngettext("%(num)d cannot be used.", "%(num)d cannot be used.", away)
        yield StatusRow(_("Gateways"), f"{text} {more}", _("The page of each gateway says why."))
    else:
        yield StatusRow(_("Gateways"), text)
    yield _describe_backup(status.backup_at, status.at)


def _describe_backup(backup_at: datetime | None, at: datetime) -> StatusRow:
    if backup_at is None:
        advice = _("Run ./run backup daily, unless the database has backups of its own.")
        return StatusRow(_("Last backup"), _("./run backup has not written one."), advice)
    is_old = at - backup_at > MAX_BACKUP_AGE
    advice = _("Check why ./run backup did not run since then.") if is_old else ""
    return StatusRow(_("Last backup"), format_age(backup_at, ago=True), advice)


def _describe_hold(hold: LoopHold | None) -> StatusRow:
    if hold is None:
        return StatusRow(_("Longest hold"), _("Nothing held the server for 0.1 s in 24 hours."))
    text = _(
        "%(place)s held the server for %(seconds)s s, %(age)s. It answered nothing else meanwhile.",
        place=hold.place,
        seconds=format_number(round(hold.seconds, 2)),
        age=format_age(hold.at, ago=True),
    )
    is_long = hold.seconds > MAX_GOOD_HOLD
    return StatusRow(_("Longest hold"), text, _("Report it with this line.") if is_long else "")


def _describe_space(free: int) -> StatusRow:
    text = _("%(size)s GB are free for the data folder.", size=format_number(round(free / 1e9, 1)))
    is_low = free < 2 * MIN_FREE_BYTES
    advice = _("Make room: without space the database accepts no writes.") if is_low else ""
    return StatusRow(_("Disk"), text, advice)
