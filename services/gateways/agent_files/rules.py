"""A file of an agent: which part of it people edit, and how its versions are compared.

Mission Control writes the upper part of AGENTS.md, with the token of the agent, and people edit the
part below its last line. All other files are edited completely. Tokens are shown as labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from core.errors import NotFound
from core.security.secrets import hide_tokens, restore_tokens
from core.text import N_
from services import agents
from services.gateways import files
from services.gateways.files import SHARED_FILE

SOUL_FILE = "SOUL.md"
MAX_LENGTH_FOR_MODEL = 20_000  # UTF-16 units of a file that OpenClaw passes to a model
MAX_MODEL_LENGTHS: Mapping[str, int] = dict.fromkeys(files.FILE_NAMES, MAX_LENGTH_FOR_MODEL) | {
    "USER.md": files.MAX_USER_FILE_LENGTH
}
"""How much of a file reaches the model of the agent, by file name."""


@dataclass(frozen=True)
class AgentFile:
    """A file as it is now. `raw` contains tokens and is never shown; None: there is no file."""

    name: str
    raw: str | None = field(repr=False)
    updated_at: datetime | None = None

    @property
    def managed(self) -> str:
        """The part that Mission Control writes; its tokens are labels."""
        return hide_tokens(self._split()[0])

    @property
    def content(self) -> str:
        """The part that can be edited; its tokens are labels."""
        return hide_tokens(self._split()[1])

    @property
    def version(self) -> str:
        """The hash of the part that can be edited."""
        return files.content_digest(self._split()[1])

    @property
    def length(self) -> int:
        """The length of the file as gateways count it."""
        return files.utf16_length(self.raw or "")

    @property
    def is_too_long(self) -> bool:
        """Whether the file is too long to be edited and stored."""
        return len(self.content) > agents.MAX_VERSION_LENGTH

    def normalize(self, content: str) -> str:
        """Return another content as the file shows it once it is written."""
        return AgentFile(self.name, self.replace_content(content)).content

    def replace_content(self, content: str) -> str:
        """Return the whole file with another content, and its tokens in place of their labels."""
        managed, _ = self._split()
        own = restore_tokens(content, self.raw or "")
        if not managed:
            return own
        return f"{managed}\n{own.strip()}\n" if own.strip() else managed

    def _split(self) -> tuple[str, str]:
        """Return the part of ours, and the part that can be edited."""
        raw = self.raw or ""
        above, line, below = f"\n{raw}".partition(f"\n{files.END_OF_MANAGED_PART}")
        if self.name != SHARED_FILE or not line:
            return "", raw
        own = below.strip()
        return f"{above}{line}\n".removeprefix("\n"), f"{own}\n" if own else ""


def check_file_name(name: str) -> str:
    """Return the name of a file of agents. Raises NotFound for another name."""
    if name not in files.FILE_NAMES:
        raise NotFound("file_not_found", N_("Agents have no such file."))
    return name


def check_stored_file_name(name: str) -> str:
    """Return the name of the only file of an agent without a gateway. Raises NotFound."""
    if name != SOUL_FILE:
        raise NotFound("file_not_found", N_("An agent without a gateway has only a soul."))
    return name
