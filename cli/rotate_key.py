"""`./run rotate-key`: encrypt all secrets with another key, or remove those of a lost key."""

import argparse
import asyncio
import secrets
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
from core.config.settings import MIN_KEY_LENGTH, Settings

if TYPE_CHECKING:
    from core.security.encryption import SecretCipher


def main(arguments: list[str]) -> int:
    parser = create_parser(
        "rotate-key",
        "Encrypt all stored secrets with another key: SECRET_KEY, while SECRET_KEY_PREVIOUS is the"
        " one before; without SECRET_KEY a new key file. See docs/backup.md.",
    )
    parser.add_argument(
        "--from-file",
        metavar="FILE",
        type=Path,
        help="take the new key from a file instead of generating it; only without SECRET_KEY",
    )
    parser.add_argument(
        "--lost", action="store_true", help="the key is lost: remove what it has encrypted"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before secrets are removed")
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(lambda: asyncio.run(_run(load_settings(options), options)) or 0)


async def _run(settings: Settings, options: argparse.Namespace) -> None:
    from cli.database import open_existing_database
    from cli.migrate import ensure_migrated
    from core.errors import Unavailable
    from services import secret_keys

    new_key = _read_new_key(settings, options.from_file)
    async with open_existing_database(settings) as settings:
        await ensure_migrated(settings)
        try:
            if options.lost:
                await _remove_lost_secrets(settings, is_confirmed=options.yes)
            else:
                await _rotate_key(settings, new_key)
        except secret_keys.WrongKey as error:
            raise CommandError(str(error)) from None
        except Unavailable as error:
            raise CommandError(error.message) from None
        except OSError as error:
            raise CommandError(f"The key file cannot be written: {error.strerror}.") from None


def _read_new_key(settings: Settings, file: Path | None) -> str:
    """Return the key for the key file, which is generated if there is none; see --from-file."""
    if file is None:
        return secrets.token_urlsafe(32)  # bytes
    if settings.secret_key:
        raise CommandError("SECRET_KEY is set: set it to the new key instead of using --from-file.")
    try:
        key = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} cannot be read: {error}.") from None
    if len(key) < MIN_KEY_LENGTH:
        raise CommandError(f"The key in {file} must have at least {MIN_KEY_LENGTH} characters.")
    return key


async def _rotate_key(settings: Settings, new_key: str) -> None:
    from cli.audit import record_operation
    from cli.database import open_transaction
    from core.security.encryption import (
        SecretCipher,
        forget_previous_key_file,
        is_key_file_replaced,
        replace_key_file,
    )
    from services import secret_keys
    from services.audit import AuditAction

    async with open_transaction(settings) as session:
        await secret_keys.check_key(session, SecretCipher(settings))
    if not settings.secret_key and not is_key_file_replaced(settings):
        new_cipher = SecretCipher(settings.model_copy(update={"secret_key": new_key}))
        await _require_no_other_key(settings, new_cipher)
        replace_key_file(settings, new_key)
    elif settings.secret_key and not settings.secret_key_previous:
        raise CommandError(
            "There is nothing to do: set SECRET_KEY to the new key (`openssl rand -hex 32` makes"
            " one) and SECRET_KEY_PREVIOUS to the one before, and start this command again."
        )
    cipher = SecretCipher(settings)
    await _require_no_other_key(settings, cipher)
    counts = await secret_keys.rotate_key(lambda: open_transaction(settings), cipher)
    await record_operation(settings, AuditAction.KEY_ROTATED, cipher.key.id)
    for table, count in sorted(counts.items()):
        print_line(f"{count:>8} of {table}")
    print_line(f"All secrets are encrypted with the key {cipher.key.id}.")
    if kept := forget_previous_key_file(settings):
        print_line(f"The key before is in {kept}. Backups from before need it.")
    else:
        print_line("SECRET_KEY_PREVIOUS is no longer needed. Backups from before need that key.")
    print_line("Browsers that receive push messages must subscribe again.")


async def _remove_lost_secrets(settings: Settings, *, is_confirmed: bool) -> None:
    from cli.audit import record_operation
    from cli.database import open_transaction
    from core.security.encryption import SecretCipher, forget_previous_key_file
    from services import secret_keys
    from services.audit import AuditAction

    cipher = SecretCipher(settings)
    await _require_no_other_key(settings, cipher)
    if not is_confirmed:
        question = (
            f"All stored secrets that the key {cipher.key.id} does not decrypt will be removed."
        )
        ask_for_confirmation(f"{question} Add --yes to confirm that.", question)
    lost = await secret_keys.remove_lost_secrets(lambda: open_transaction(settings), cipher)
    await record_operation(settings, AuditAction.SECRETS_REMOVED, cipher.key.id)
    forget_previous_key_file(settings)
    for title, names in (
        (
            "Enter the token of these gateways again, and approve Mission Control there",
            lost.gateways,
        ),
        ("Rotate the secret of these outgoing webhooks", lost.outgoing_webhooks),
        ("Set a new secret for these incoming webhooks", lost.incoming_webhooks),
        ("Delete these notification channels, and set them up again", lost.channels),
    ):
        if names:
            print_line("\n".join([f"{title}:", *(f"    {name}" for name in names)]))
    print_line(f"{sum(lost.counts.values())} secrets were removed; the key is {cipher.key.id} now.")


async def _require_no_other_key(settings: Settings, cipher: "SecretCipher") -> None:
    from cli.database import open_transaction
    from services import secret_keys

    async with open_transaction(settings) as session:
        if await secret_keys.is_other_key_in_use(session, cipher):
            raise CommandError(
                "A server or worker runs that does not encrypt with the new key: stop it, or"
                " restart it with the new SECRET_KEY and with SECRET_KEY_PREVIOUS."
            )


if __name__ == "__main__":
    run_as_script(main)
