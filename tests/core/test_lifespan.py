"""What the application opens is closed again, also after an error."""

import asyncio

import pytest

from app import build_app
from core.config.settings import Settings


async def test_an_error_while_it_runs_leaves_nothing_open(isolated_settings: Settings) -> None:
    application = build_app(isolated_settings)
    others = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        async with application.router.lifespan_context(application):
            raise ZeroDivisionError
    assert asyncio.all_tasks() == others


async def test_a_start_that_is_cancelled_leaves_nothing_open(isolated_settings: Settings) -> None:
    application = build_app(isolated_settings)
    others = asyncio.all_tasks()
    lifespan = application.router.lifespan_context(application)
    starting = asyncio.create_task(lifespan.__aenter__())
    await asyncio.sleep(0)  # it has begun
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert asyncio.all_tasks() == others
