"""How it stands with a gateway, by what was written down of it. Pure: no database, and no clock."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from models import Gateway

OK, FAILED = "ok", "failed"
JUST_NOW = timedelta(seconds=20)
BETWEEN_WORKERS = timedelta(minutes=1)  # while one goes and the next one comes


class Standing(StrEnum):
    """What people see of a gateway."""

    UNSEEN = "unseen"  # nobody has looked since it was entered, or changed
    CONNECTED = "connected"  # a worker stays connected to it
    ANSWERS = "answers"  # somebody just looked, and all was well; a worker is yet to come
    UNWATCHED = "unwatched"  # it was well, but no worker stays connected to it now
    FAILED = "failed"  # something is in the way


def standing(gateway: Gateway, moment: datetime) -> Standing:
    """Return how it stands with a gateway at a moment."""
    if gateway.checks is None:
        return Standing.UNSEEN
    if in_the_way(gateway) is not None:
        return Standing.FAILED
    if is_watched(gateway, moment):
        return Standing.CONNECTED
    seen = gateway.checked_at
    return Standing.ANSWERS if seen and moment - seen < JUST_NOW else Standing.UNWATCHED


def is_watched(gateway: Gateway, moment: datetime) -> bool:
    """Say whether a worker stays connected to a gateway, or tries to again and again."""
    return gateway.held_until is not None and gateway.held_until > moment


def in_the_way(gateway: Gateway) -> Mapping[str, Any] | None:
    """Return the rung of the ladder that has to be mended first, if one has."""
    rungs = gateway.checks or []
    return next((rung for rung in rungs if rung["state"] == FAILED), None)


def stands_so_since(gateway: Gateway) -> datetime | None:
    """Return since when it is well, or since when what is in the way is there."""
    failed = in_the_way(gateway)
    moments = _moments([failed] if failed else gateway.checks or [])
    return max(moments, default=None)


def away_since(gateway: Gateway, moment: datetime) -> datetime | None:
    """Return since when nobody here can know how its agents are; None if one can."""
    stands, seen = standing(gateway, moment), gateway.checked_at
    if stands is Standing.FAILED:
        return stands_so_since(gateway)
    is_left = stands is Standing.UNWATCHED and seen and moment - seen > BETWEEN_WORKERS
    return seen if is_left else None


def last_contact(gateway: Gateway, moment: datetime) -> datetime | None:
    """Return when the gateway was last there, as far as we know; None if it never was.

    When a rung breaks, those behind it are unknown from that moment on.
    """
    stands = standing(gateway, moment)
    if stands is Standing.CONNECTED:
        return moment
    if stands in (Standing.ANSWERS, Standing.UNWATCHED):
        return gateway.checked_at
    if gateway.gateway_version is None:
        return None
    return min(_moments(rung for rung in gateway.checks or [] if rung["state"] != OK), default=None)


def _moments(rungs: Iterable[Mapping[str, Any]]) -> list[datetime]:
    return [datetime.fromisoformat(rung["since"]) for rung in rungs if rung.get("since")]
