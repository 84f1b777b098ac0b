"""`./run backup FILE`: writes all data into a file."""

import asyncio
import os
from pathlib import Path

from bin.command import CannotGoOn, ended, main_of, parser, say, settings_for, takes_data
from kit.settings import Settings


def main(arguments: list[str]) -> int:
    options = parser(
        "backup", "Write all data into a file, while Mission Control runs or while it does not."
    )
    options.add_argument("file", metavar="FILE", type=Path, help="replaced if it is there")
    takes_data(options)
    given = options.parse_args(arguments)
    return ended(lambda: asyncio.run(back_up(settings_for(given), given.file)) or 0)


async def back_up(settings: Settings, file: Path) -> None:
    """Write all data into a file, which is complete from its first moment."""
    from bin.database import opened
    from bin.dump import Programs, server_of

    new = _new_file(file)
    try:
        async with opened(settings) as settings:
            programs = Programs.fitting(settings, await server_of(settings.dsn))
            options = ("--format=custom", "--no-owner", "--no-privileges", f"--file={new}")
            await asyncio.to_thread(programs.call, "pg_dump", *options, dsn=settings.dsn)
        programs.call("pg_restore", "--list", str(new))
        new.rename(file)
    finally:
        new.unlink(missing_ok=True)
    say(f"All data is in {file} ({_size(file)}). To bring it back: ./run restore {file}")


def _new_file(file: Path) -> Path:
    """Make the file that is to be written, for nobody else to read: it holds what people wrote."""
    new = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise CannotGoOn(f"{file} cannot be written: {error.strerror}.") from error
    return new


def _size(file: Path) -> str:
    size = file.stat().st_size
    return f"{size / 1_000_000:.1f} MB" if size >= 1_000_000 else f"{size / 1000:.0f} kB"


if __name__ == "__main__":
    main_of(main)
