"""`./run backup FILE`: write all data into a file."""

import asyncio
import os
from pathlib import Path

from cli.audit import record_operation
from cli.command import (
    CommandError,
    add_data_option,
    create_parser,
    load_settings,
    print_line,
    repeat_data_option,
    run_as_script,
    run_command,
)
from core.config.paths import COMMAND
from core.config.settings import Settings


def main(arguments: list[str]) -> int:
    parser = create_parser(
        "backup", "Write all data into a file, while Mission Control runs or while it does not."
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="replaced if it is there")
    add_data_option(parser)
    options = parser.parse_args(arguments)
    return run_command(
        lambda: asyncio.run(create_backup(load_settings(options), options.file)) or 0
    )


async def create_backup(settings: Settings, file: Path) -> None:
    """Write all data into a file; it appears under its name only when it is complete."""
    from cli.database import open_existing_database
    from cli.postgres_programs import PostgresPrograms, fetch_server_version
    from core.security.encryption import KEY_FILE
    from services.audit import AuditAction

    temporary = _create_private_file(file)
    try:
        async with open_existing_database(settings) as settings:
            programs = PostgresPrograms.for_server(
                settings, await fetch_server_version(settings.direct_dsn)
            )
            options = ("--format=custom", "--no-owner", "--no-privileges", f"--file={temporary}")
            dsn = settings.direct_dsn
            await asyncio.to_thread(programs.run_program, "pg_dump", *options, dsn=dsn)
            programs.run_program("pg_restore", "--list", str(temporary))
            temporary.rename(file)
            await record_operation(settings, AuditAction.BACKUP_CREATED, file.name)
    finally:
        temporary.unlink(missing_ok=True)
    print_line(
        f"All data is in {file} ({_format_size(file)}). To bring it back: {COMMAND} restore {file}"
        + repeat_data_option(settings)
    )
    key = "SECRET_KEY" if settings.secret_key else settings.data_dir / KEY_FILE
    print_line(f"The key of its secrets is not in it: keep a copy of {key} in another place.")


def _create_private_file(file: Path) -> Path:
    """Create a temporary file next to `file` that other accounts cannot read.

    A backup contains everything that users wrote. Raise CommandError if the file cannot be created.
    """
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
    return temporary


def _format_size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{size / 1000:.0f} kB"


if __name__ == "__main__":
    run_as_script(main)
