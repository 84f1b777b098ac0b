"""`./run doctor`: check the installation, and print what to do about each problem."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli.command import (
    CommandError,
    add_address_options,
    add_data_option,
    create_parser,
    load_settings,
    print_line,
    run_as_script,
    run_command,
)
from cli.server_address import load_linked_settings
from core.config.paths import COMMAND, IS_CHECKOUT
from core.config.settings import InvalidSetting, Settings
from core.text import to_one_line
from embedded_postgres.data_location import PostgresStartError

if TYPE_CHECKING:
    import asyncpg

    from services.readiness import CheckResult

MAIL_PROBLEMS = {
    "address_forbidden": "has only private addresses: see SERVICES_ALLOW_PRIVATE",
    "dns": "has no address: see SMTP_HOST",
    "unreachable": "cannot be reached: see SMTP_HOST and SMTP_PORT",
    "timeout": "does not answer in time: see SMTP_PORT and SMTP_SECURITY",
    "tls": "cannot be reached with encryption: see SMTP_SECURITY and the certificate",
    "mail_login": "does not accept the account: see SMTP_USERNAME and SMTP_PASSWORD",
}
"""What to do about a mail server that cannot be used, by reason."""

CHECKED = {
    "rights": "the role of the database may read and change all tables, and events are recorded",
    "key": "it is the key of the database",
    "write": "the database accepts writes",
    "functions": "the database role may end audits, and others may not",
    "clock": "it agrees with that of the database",
}
"""What the checks of the database show when they find no problem."""


def main(arguments: list[str]) -> int:
    parser = create_parser("doctor", "Check the installation, and name what is wrong.")
    add_address_options(parser)
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(lambda: run_checks(options))


def run_checks(options: argparse.Namespace) -> int:
    """Run the checks in order and print their results; return 1 if one fails."""
    results = [
        _report_check("python", check_python),
        _report_check("settings", lambda: describe_settings(load_settings(options))),
    ]
    if all(results):
        settings = load_settings(options)
        results.append(_report_check("space", lambda: check_disk_space(settings)))
        checked: list[CheckResult] = []
        results.append(_report_check("database", lambda: check_database(settings, checked)))
        results += [
            _report_check(result.name, partial(describe_result, result))
            for result in checked
            if result.name in CHECKED or (result.problem and result.name != "space")
        ]
        results.append(_report_check("port", lambda: check_port(load_linked_settings(options))))
        if settings.smtp_host:
            results.append(_report_check("mail", lambda: check_mail(settings)))
        _report_warnings(settings)
    return 0 if all(results) else 1


def _report_check(name: str, check: Callable[[], str]) -> bool:
    try:
        print_line(f"ok      {name}: {check()}")
    except (InvalidSetting, CommandError, PostgresStartError) as error:
        print_line(f"not ok  {name}: {error}")
        return False
    return True


def _report_warnings(settings: Settings) -> None:
    """Report a proxy that is not trusted, and what held the event loop. Neither is a failure."""
    from core.event_loop import KEPT, MAX_HOLD, find_longest_hold
    from core.http.proxy_check import find_proxy_problem

    if problem := find_proxy_problem(settings):
        print_line(f"warning proxy: {problem}")
    hours, limit = round(KEPT.total_seconds() / 3600), round(MAX_HOLD * 1000)
    hold = find_longest_hold(settings.data_dir)
    if hold is None:
        print_line(f"ok      event loop: never held for {limit} ms in the last {hours} hours")
        return
    print_line(
        f"warning event loop: it was held for {round(hold.seconds * 1000)} ms by {hold.place}"
        f" at {hold.at:%Y-%m-%d %H:%M:%S} UTC, the longest time in the last {hours} hours."
        " Nothing else was answered meanwhile."
    )


def check_python() -> str:
    """Report the Python version. `run` has installed all locked packages before this command."""
    version = ".".join(map(str, sys.version_info[:3]))
    if not IS_CHECKOUT:
        return f"{version}, in the environment {sys.prefix}"
    return f"{version}, with all that the lock asks for in {Path(sys.prefix).name}"


def describe_settings(settings: Settings) -> str:
    """Return the names of the settings that have a value."""
    names = sorted(name.upper() for name in settings.model_fields_set)
    return f"set are {', '.join(names)}" if names else "no settings are set, and none are needed"


def check_disk_space(settings: Settings) -> str:
    """Check the free space on the disk of the data folder."""
    from services.readiness import MIN_FREE_BYTES, check_space

    if problem := check_space(settings.data_dir):
        raise CommandError(problem)
    return f"at least {MIN_FREE_BYTES // 1_000_000_000} GB is free"


def check_database(settings: Settings, checked: "list[CheckResult]") -> str:
    """Check that the database is reachable and has this version's schema, without migrating it.

    Add the results of the checks of `/readyz` if the schema is there.
    """
    from cli.database import open_database, open_transaction
    from cli.database_check import describe_database
    from cli.migrate import find_outdated_revision, get_revisions
    from core.db.engine import connect_directly
    from core.security.encryption import SecretCipher
    from services.readiness import run_checks

    async def check() -> str:
        async with open_database(settings) as opened_settings:
            version, newest = await get_revisions(opened_settings)
            is_usable = not await find_outdated_revision(opened_settings)
            if not is_usable and version != "none":
                raise CommandError(
                    f"it is at version {version}, and this installation at {newest}:"
                    f" {COMMAND} migrate"
                )
            state = (
                "empty, the first start fills it" if version == "none" else f"at version {version}"
            )
            notes = ""
            if is_usable:
                cipher = SecretCipher(opened_settings)
                checked.extend(
                    await run_checks(
                        lambda: open_transaction(opened_settings), opened_settings, cipher
                    )
                )
                connection = await connect_directly(opened_settings.direct_dsn)
                try:
                    notes = await _describe_gateway_cleanups(connection)
                    notes += await _describe_gateway_problems(connection)
                    notes += await _describe_audit_protection(connection)
                    notes += await _describe_ending_tokens(connection)
                finally:
                    await connection.close()
            name = describe_database(settings.dsn) if settings.dsn else "the embedded one"
            return f"{name}, {state}{notes}"

    return asyncio.run(check())


def describe_result(result: "CheckResult") -> str:
    """Return what was checked. Raises CommandError with the problem."""
    if result.problem:
        raise CommandError(result.problem)
    return CHECKED[result.name]


async def _describe_gateway_cleanups(connection: "asyncpg.Connection") -> str:
    """Return a line for each deleted gateway that still has agents of this installation."""
    rows = await connection.fetch("select url, last_error from gateway_departures order by id")
    return "".join(
        f"\n        agents of ours are still to be removed from {row['url']}:"
        f" {to_one_line(row['last_error'] or 'it is asked in a moment')}"
        for row in rows
    )


ENDING_TOKENS_QUERY = """
    select name, token_expires_at,
        case when token_expires_at <= now() then 'ended' else 'ends' end as verb from agents
    where token_expires_at < now() + $1 and desired_state is distinct from 'gone'
    order by token_expires_at, name limit 20
"""


async def _describe_ending_tokens(connection: "asyncpg.Connection") -> str:
    """Return a line for each of the first agents whose token ends soon, or has ended."""
    from services import agents

    rows = await connection.fetch(ENDING_TOKENS_QUERY, agents.TOKEN_WARNING)
    return "".join(
        f"\n        the token of the agent {row['name']!r} {row['verb']} on"
        f" {row['token_expires_at']:%Y-%m-%d}: issue a new one on its page"
        for row in rows
    )


async def _describe_gateway_problems(connection: "asyncpg.Connection") -> str:
    """Return a line for each gateway with a failed check: what is wrong, and what helps.

    Texts of a gateway must not control the terminal or look like other lines.
    """
    from services.gateways import COMMAND_NOTES

    rows = await connection.fetch("select name, checks from gateways order by name, id")
    failed = [
        (row["name"], check)
        for row in rows
        for check in json.loads(row["checks"] or "[]")
        if check["state"] == "failed"
    ]
    commands = _join_allowed_addresses([check["command"] or "" for _, check in failed])
    return "".join(
        f"\n        the gateway {to_one_line(name)}: {to_one_line(check['sentence'])}"
        + (
            f" {COMMAND_NOTES.get(check['code'], 'Command:')} {to_one_line(command)}"
            if command
            else ""
        )
        for (name, check), command in zip(failed, commands, strict=True)
    )


def _join_allowed_addresses(commands: Sequence[str]) -> list[str]:
    """Return the commands; those that set the allowed addresses have the addresses of all."""
    setting = "GATEWAY_ALLOW_PRIVATE="
    values = [one.removeprefix(setting) for one in commands if one.startswith(setting)]
    addresses = ",".join(dict.fromkeys(",".join(values).split(",")))
    return [setting + addresses if one.startswith(setting) else one for one in commands]


AUDIT_PROTECTION_QUERY = """
    select pg_has_role(current_user, relowner, 'member') as is_owner,
        has_table_privilege(oid, 'update') or has_table_privilege(oid, 'delete')
            or has_table_privilege(oid, 'truncate') as may_change,
        (select count(*) from pg_trigger where tgrelid = pg_class.oid
            and tgname in ('append', 'protect', 'protect_all') and tgenabled in ('O', 'A')
        ) = 3 as is_protected, current_user as role
    from pg_class where oid = 'audit_records'::regclass
"""


async def _describe_audit_protection(connection: "asyncpg.Connection") -> str:
    """Return a line if the database role could change the audit. Raises without its triggers."""
    row = await connection.fetchrow(AUDIT_PROTECTION_QUERY)
    if not row["is_protected"]:
        raise CommandError(
            "the triggers that protect the audit are missing or disabled: see docs/audit.md."
        )
    if row["is_owner"]:
        reason = "owns the table audit_records and could change it: use a role of its own,"
    elif row["may_change"]:
        reason = "may change the table audit_records: take that right away,"
    else:
        return ""
    return (
        f"\n        the database role {row['role']} {reason}"
        " or keep exports in another place (docs/audit.md)"
    )


def check_port(settings: Settings) -> str:
    """Check that the port is free or already used by Mission Control."""
    from cli.server_process import bind_socket

    try:
        bind_socket(settings).close()
    except CommandError as error:
        if _is_mission_control(settings):
            return f"{settings.port} is in use by a running Mission Control"
        raise error from None
    return f"{settings.port} is free"


def check_mail(settings: Settings) -> str:
    """Check that the mail server accepts the connection and the account; nothing is sent."""
    from services.channels import MailError, open_mail_connection

    async def check() -> None:
        async with open_mail_connection(settings) as connection:
            await connection.noop()

    place = f"{settings.smtp_host}:{settings.smtp_port}"
    try:
        asyncio.run(check())
    except MailError as error:
        reason = MAIL_PROBLEMS.get(error.result.reason or "", "does not accept e-mails")
        raise CommandError(f"{place} {reason}: {error.result.detail or 'no answer'}") from error
    return f"{place} accepts the connection"


def _is_mission_control(settings: Settings) -> bool:
    import httpx2

    from core.config.parsers import local_address

    try:
        response = httpx2.get(f"{local_address(settings.host, settings.port)}/healthz", timeout=3)
    except httpx2.HTTPError:
        return False
    return response.status_code == 200


if __name__ == "__main__":
    run_as_script(main)
