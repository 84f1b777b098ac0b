"""What an import does: how many rows come, what changes in them, and what stays behind and why."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from uuid import UUID

MAX_EXAMPLES = 3  # ids that are named for a note


@dataclass
class ImportNote:
    """A change or a reason for what stays behind, with the number of rows and some of their ids."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: UUID | str | None, count: int = 1) -> None:
        """Count a row."""
        self.count += count
        if example is not None and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(str(example))


Notes = defaultdict[tuple[str, str], ImportNote]
"""Notes by the kind of the rows and the text."""


@dataclass
class ImportReport:
    """The result of an import, or of what it would be."""

    read: Counter[str] = field(default_factory=Counter)  # rows of the original by kind
    written: Counter[str] = field(default_factory=Counter)
    changes: Notes = field(default_factory=lambda: defaultdict(ImportNote))
    left: Notes = field(default_factory=lambda: defaultdict(ImportNote))
    organizations: dict[UUID, str] = field(default_factory=dict)  # that are imported
    present: dict[UUID, str] = field(default_factory=dict)  # that are here already
    first_organization: str | None = None  # whose owners operate the installation from now on
    accounts: dict[str, list[str]] = field(default_factory=dict)  # by how their users sign in
    matched: list[str] = field(default_factory=list)  # addresses of accounts that were here
    ownerless: list[str] = field(default_factory=list)  # organizations that had no owner
    private_gateways: list[str] = field(default_factory=list)
    """Gateways of other organizations than the first one whose addresses may be private."""
    new_devices: list[str] = field(default_factory=list)  # gateways that have to approve us
    unsigned_webhooks: list[str] = field(default_factory=list)
    """Webhooks without a secret: their senders do not sign."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing comes."""
        return not self.written.total()
