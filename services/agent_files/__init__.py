"""What agents on gateways are told: the files of their workspaces, and how they begin and go on.

`facts_for` finds what there is to say to some agents, in one transaction; `render`, `scratch` and
`first_message` write it, and need none. `planned` says what becomes of the files that are there:
the `content` of what is NEW or CHANGED is to be written, and its `digest` remembered.
"""

from services.agent_files.facts import BoardFacts, Facts, Neighbour, Person, Role
from services.agent_files.keeping import SHARED, FileState, Planned, digest, planned, token_in
from services.agent_files.loading import facts_for, facts_of
from services.agent_files.papers import library
from services.agent_files.places import session_key, workspace
from services.agent_files.preview import LeadDraft, Preview, preview
from services.agent_files.rendering import (
    LARGEST_USER,
    NAMES,
    first_message,
    handover,
    render,
    scratch,
)
from services.agent_files.rights import asked, may, may_not

__all__ = [
    "LARGEST_USER",
    "NAMES",
    "SHARED",
    "BoardFacts",
    "Facts",
    "FileState",
    "LeadDraft",
    "Neighbour",
    "Person",
    "Planned",
    "Preview",
    "Role",
    "asked",
    "digest",
    "facts_for",
    "facts_of",
    "first_message",
    "handover",
    "library",
    "may",
    "may_not",
    "planned",
    "preview",
    "render",
    "scratch",
    "session_key",
    "token_in",
    "workspace",
]
