"""Slots for the requests that one process sends at a time.

A slot is taken before a delivery is claimed, so that a claim cannot end while its request waits. An
organization has a part of the slots: receivers that do not answer delay only their organization.
"""

import asyncio
from collections import defaultdict
from uuid import UUID

MAX_REQUESTS = 64  # at a time in one process
MAX_OF_ORGANIZATION = 8


class RequestSlots:
    """The slots of one process."""

    def __init__(
        self, total: int = MAX_REQUESTS, of_organization: int = MAX_OF_ORGANIZATION
    ) -> None:
        self._all = asyncio.Semaphore(total)
        self._of_organization: defaultdict[UUID, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(of_organization)
        )

    async def take(self, organization_id: UUID, max_count: int) -> int:
        """Wait for a slot of an organization, and take further ones that are free.

        Returns how many were taken. Whoever waits takes none of another organization meanwhile.
        """
        own, count = self._of_organization[organization_id], 0
        while not count or (count < max_count and not own.locked() and not self._all.locked()):
            await own.acquire()
            await self._all.acquire()
            count += 1
        return count

    def release(self, organization_id: UUID, count: int = 1) -> None:
        """Give slots back."""
        for _ in range(count):
            self._all.release()
            self._of_organization[organization_id].release()
