"""`./run import-original`: import the organizations of the original, with a preview first."""

import argparse
import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cli.command import (
    CommandError,
    add_data_option,
    ask_for_confirmation,
    create_parser,
    load_settings,
    print_line,
    run_as_script,
    run_command,
)
from core.config.parsers import parse_issuer
from core.config.settings import Settings

if TYPE_CHECKING:
    from services.original import ImportNote, ImportOptions, ImportReport, OriginalDatabase

ABOUT = """\
Import from abhi1693/openclaw-mission-control: all its organizations into an empty installation, or
one beside others. Its database is only read. It is named by ORIGINAL_DATABASE_URL or
--database-file. First a table shows what comes, what changes and what stays behind. See
docs/import.md."""

MAX_SHOWN_USERS = 20  # of those who sign in in the same manner
ADDRESS_VARIABLE = "ORIGINAL_DATABASE_URL"
DRIVER = re.compile(r"(?<=^postgresql)\+\w+(?=://)")  # in the address that the original uses


def main(arguments: list[str]) -> int:
    parser = create_parser("import-original", ABOUT)
    parser.add_argument(
        "--database-file",
        metavar="FILE",
        type=Path,
        help=f"a file with the address of the database of the original (else {ADDRESS_VARIABLE})",
    )
    parser.add_argument("--organization", metavar="NAME", help="import only this one (or its id)")
    parser.add_argument(
        "--issuer", metavar="URL", help="the OpenID issuer of the ids that users have at Clerk"
    )
    parser.add_argument(
        "--no-issuer", action="store_true", help="users of Clerk choose a password instead"
    )
    parser.add_argument(
        "--match-email",
        action="store_true",
        help="an account here with the address of an imported user is the same person",
    )
    parser.add_argument(
        "--device-key",
        metavar="FILE",
        type=Path,
        help="the file device.json of the original, so that gateways need not approve us again",
    )
    parser.add_argument(
        "--private-gateways",
        choices=("allow", "refuse"),
        help="whether gateways of other organizations than the first may have private addresses",
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--dry-run", action="store_true", help="only show what would be imported")
    choice.add_argument("--yes", action="store_true", help="do not ask before the import")
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(lambda: asyncio.run(_run(load_settings(options), options)) or 0)


async def _run(settings: Settings, options: argparse.Namespace) -> None:
    from sqlalchemy.exc import DBAPIError

    from cli.database import open_database
    from cli.migrate import prepare_database
    from core.errors import AppError
    from services.original import open_original

    address = _read_address(options.database_file)
    chosen = _build_options(settings, options)
    async with open_database(settings) as settings:
        await prepare_database(settings)
        try:
            async with open_original(address) as source:
                await _import(settings, source, chosen, options)
        except AppError as error:
            raise CommandError(error.message) from None
        except DBAPIError as error:
            # its other lines contain values of rows
            reason = str(error.orig).rpartition(">: ")[2].partition("\n")[0]
            text = f"The import has failed: {reason}. What is here already stays as it is."
            raise CommandError(text) from None


async def _import(
    settings: Settings,
    source: "OriginalDatabase",
    chosen: "ImportOptions",
    options: argparse.Namespace,
) -> None:
    report = await _execute(settings, source, chosen, commits=False)
    print_report(report)
    if report.is_empty or options.dry_run:
        print_line("Nothing was changed.")
        return
    if report.private_gateways and options.private_gateways is None:
        raise CommandError(
            "Decide whether these gateways may have private addresses, which are in the network of"
            " this server: --private-gateways allow, or refuse."
        )
    if not options.yes:
        ask_for_confirmation("Nothing was changed. Add --yes to import this.")
    done = await _execute(settings, source, chosen, commits=True)
    print_line(f"Imported: {done.written.total():,} rows. What to do now is in docs/import.md.")


async def _execute(
    settings: Settings, source: "OriginalDatabase", chosen: "ImportOptions", *, commits: bool
) -> "ImportReport":
    """Import in one transaction, which is rolled back for a preview."""
    from cli.database import open_transaction
    from core.security.encryption import SecretCipher
    from services.gateways import GatewayConnector
    from services.original import import_original

    cipher = SecretCipher(settings)
    connector = GatewayConnector.from_settings(settings, cipher)
    async with open_transaction(settings) as session:
        report = await import_original(session, source, chosen, connector, cipher)
        if not commits:
            await session.rollback()
        return report


def _read_address(file: Path | None) -> str:
    """Return the address of the original's database. Others could see an argument."""
    address = os.environ.get(ADDRESS_VARIABLE, "") if file is None else _read_file(file)
    address = DRIVER.sub("", address.strip())
    if not address:
        raise CommandError(
            f"Set {ADDRESS_VARIABLE} to the address of the database of the original, such as"
            " postgresql://user:password@host/name, or name a file with it: --database-file FILE."
        )
    return address


def _read_file(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(f"{file} cannot be read: {reason}.") from None


def _build_options(settings: Settings, options: argparse.Namespace) -> "ImportOptions":
    from services.original import DeviceKey, ImportOptions

    if options.issuer and options.no_issuer:
        raise CommandError("Give --issuer or --no-issuer, not both.")
    if options.issuer and options.issuer != (settings.oidc_issuer or options.issuer):
        raise CommandError(
            f"People sign in at {settings.oidc_issuer} (OIDC_ISSUER), not at {options.issuer}:"
            " --issuer must be the same."
        )
    try:
        parse_issuer(options.issuer or "")
    except ValueError as error:
        raise CommandError(f"--issuer {error}.") from None
    key = None
    if options.device_key is not None:
        key = DeviceKey.find(_read_file(options.device_key))
        if key is None:
            raise CommandError(
                f"{options.device_key} is not the file device.json of the original: it has no"
                " Ed25519 key in privateKeyPem."
            )
    return ImportOptions(
        organization=options.organization,
        issuer=options.issuer,
        keeps_users_without_issuer=options.no_issuer,
        matches_emails=options.match_email,
        device_key=key,
        allows_private_gateways=options.private_gateways == "allow",
    )


def print_report(report: "ImportReport") -> None:
    """Print what comes, what changes, what stays behind and why."""
    for title, names in (
        ("To import", report.organizations),
        ("Already here, and unchanged", report.present),
    ):
        if names:
            print_line(f"{title}: {', '.join(map(_shown, names.values()))}")
    if report.organizations:
        print_line(f"\n{'':26}{'there':>10}{'come':>10}{'stay':>10}")
    for kind, there in report.read.items():
        come = report.written[kind]
        print_line(f"{kind:26}{there:>10,}{come:>10,}{there - come:>10,}")
    _print_notes("What changes", report.changes)
    _print_notes("What is not imported, and why", report.left)
    _print_accounts(report)
    for title, lines in (
        ("Accounts here that become members, by their address", report.matched),
        ("Organizations without an owner, as in the original", report.ownerless),
        ("Gateways that must approve Mission Control again (see --device-key)", report.new_devices),
        (
            "Gateways of other organizations with a private address or a host name, which can stand"
            " for one (see --private-gateways)",
            report.private_gateways,
        ),
        (
            "Webhooks without a secret: nothing is accepted until their senders sign with a secret"
            " that you set, or an admin allows unsigned payloads",
            report.unsigned_webhooks,
        ),
    ):
        if lines:
            print_line("\n".join(["", f"{title}:", *(f"  {_shown(line)}" for line in lines)]))
    print_line("")


def _print_accounts(report: "ImportReport") -> None:
    if report.accounts:
        print_line("\nHow people sign in:")
    if report.first_organization:
        print_line(f"  The owners of {_shown(report.first_organization)} operate the installation.")
    for manner, users in report.accounts.items():
        listed = ", ".join(map(_shown, users[:MAX_SHOWN_USERS]))
        more = ", …" if len(users) > MAX_SHOWN_USERS else ""
        print_line(f"  {manner} ({len(users):,}): {listed}{more}")


def _print_notes(title: str, notes: "dict[tuple[str, str], ImportNote]") -> None:
    if not notes:
        return
    print_line(f"\n{title}:")
    for (kind, text), note in notes.items():
        examples = f" ({', '.join(note.examples)}{', …' if note.count > 3 else ''})"
        print_line(f"  {note.count:,} {kind}: {text}{examples if note.examples else ''}")


def _shown(text: str) -> str:
    """Return a text of the original without what a terminal could interpret."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


if __name__ == "__main__":
    run_as_script(main)
