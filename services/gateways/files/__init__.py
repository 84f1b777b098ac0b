"""The files of agents' workspaces, their first message, and their heartbeat messages.

`load_facts` loads what the files say; `render_files`, `render_heartbeat` and `render_first_message`
render it without a database. `plan_files` decides about the files that are present:
the `content` of NEW and CHANGED ones is to be written, and its hash stored.
"""

from services.gateways.files.facts import (
    AgentFacts,
    AgentRole,
    BoardFacts,
    PersonFacts,
    ServedBoard,
    session_key_of,
    workspace_path,
)
from services.gateways.files.former_files import FORMER_FILES, list_read_files
from services.gateways.files.loader import (
    LeadDraft,
    LeadPreview,
    load_agent_facts,
    load_facts,
    preview_lead,
)
from services.gateways.files.merge_plan import (
    SHARED_FILE,
    FilePlan,
    FileState,
    find_token,
    plan_files,
)
from services.gateways.files.public_address import (
    RewrittenFiles,
    change_public_address,
    count_agents_with_own_files,
    find_public_address,
    list_rewritten_files,
    store_first_address,
)
from services.gateways.files.renderer import (
    FILE_NAMES,
    MAX_USER_FILE_LENGTH,
    render_files,
    render_first_message,
    render_handover,
    render_heartbeat,
)
from services.gateways.files.sanitizer import END_OF_MANAGED_PART, utf16_length
