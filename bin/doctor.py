"""`./run doctor`: looks whether everything is as it must be, and says what to do if it is not."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bin.command import (
    CannotGoOn,
    ended,
    main_of,
    parser,
    say,
    settings_for,
    takes_address,
    takes_data,
)
from kit.postgres_place import CannotStart
from kit.settings import BadSetting, Settings

LEAST_SPACE = 1_000_000_000  # bytes free where the data is


def main(arguments: list[str]) -> int:
    options = parser("doctor", "Look whether everything is as it must be.")
    takes_address(options)
    takes_data(options)
    given = options.parse_args(arguments)
    return ended(lambda: examine(lambda: settings_for(given)))


def examine(load: Callable[[], Settings]) -> int:
    """Look at one thing after the other. Returns 1 if something is not as it must be."""
    fine = [_shown("python", python), _shown("settings", lambda: configured(load()))]
    if all(fine):
        settings = load()
        fine.append(_shown("space", lambda: space(settings)))
        fine.append(_shown("database", lambda: database(settings)))
        fine.append(_shown("port", lambda: port(settings)))
    return 0 if all(fine) else 1


def _shown(name: str, look: Callable[[], str]) -> bool:
    try:
        say(f"ok      {name}: {look()}")
    except (BadSetting, CannotGoOn, CannotStart) as reason:
        say(f"not ok  {name}: {reason}")
        return False
    return True


def python() -> str:
    """Look at what runs us. Without all that the lock asks for, `run` would not have called us."""
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{version}, with all that the lock asks for in {Path(sys.prefix).name}"


def configured(settings: Settings) -> str:
    """Name what is set."""
    changed = sorted(name.upper() for name in settings.model_fields_set)
    return f"set are {', '.join(changed)}" if changed else "nothing is set, and nothing need be"


def space(settings: Settings) -> str:
    """Look at the disk that the data is on."""
    folder = next(path for path in _with_parents(settings.data_dir) if path.exists())
    free = shutil.disk_usage(folder).free
    if free < LEAST_SPACE:
        raise CannotGoOn(f"only {free // 1_000_000} MB are free for {folder}: make room there.")
    return f"{free // 1_000_000_000} GB are free"


def database(settings: Settings) -> str:
    """Look whether the database answers and is of our version. It is not changed."""
    from bin.database import name_of, opened
    from bin.migrate import version_of

    async def look() -> str:
        async with opened(settings) as reached:
            version, newest = await version_of(reached)
            if version not in (newest, "none"):
                raise CannotGoOn(
                    f"it is at version {version}, and this checkout at {newest}: ./run migrate"
                )
            state = "empty, ./run fills it" if version == "none" else f"at version {version}"
            left = await _to_be_left(reached) if version == newest else ""
            return f"{name_of(settings) if settings.database_url else 'our own'}, {state}{left}"

    return asyncio.run(look())


async def _to_be_left(settings: Settings) -> str:
    """Name the gateways that were removed here and still have agents of ours."""
    import asyncpg

    connection = await asyncpg.connect(settings.dsn)
    try:
        found = await connection.fetch("select url, last_error from gateway_departures order by id")
    finally:
        await connection.close()
    return "".join(
        f"\n        agents of ours are still to be removed from {row['url']}:"
        f" {row['last_error'] or 'it is asked in a moment'}"
        for row in found
    )


def port(settings: Settings) -> str:
    """Look whether we could answer where we are to."""
    from bin.serve import listening_at

    try:
        listening_at(settings).close()
    except CannotGoOn as reason:
        if _is_ours(settings):
            return f"{settings.port} is taken, by a Mission Control that runs"
        raise reason from None
    return f"{settings.port} is free"


def _is_ours(settings: Settings) -> bool:
    import httpx2

    from kit.setting_values import address_of

    try:
        answer = httpx2.get(f"{address_of(settings.host, settings.port)}/healthz", timeout=3)
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200


def _with_parents(folder: Path) -> Iterator[Path]:
    yield folder
    yield from folder.parents


if __name__ == "__main__":
    main_of(main)
