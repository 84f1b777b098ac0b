"""The files of one agent as people read and edit them.

`get_file_access` checks the rights and loads what a call needs. `read_files`, `read_file` and
`write_file` call the gateway, outside of any transaction; `record_saved_file` records what was
written. The soul of an agent without a gateway is stored here: `save_stored_soul`.
"""

from services.gateways.agent_files.commands import (
    WriteResult,
    record_replaced_file,
    record_saved_file,
    save_stored_soul,
    write_file,
)
from services.gateways.agent_files.queries import (
    AgentFileAccess,
    FileObstacle,
    find_file_origin,
    get_file_access,
    read_file,
    read_files,
)
from services.gateways.agent_files.rules import (
    MAX_MODEL_LENGTHS,
    SOUL_FILE,
    AgentFile,
    check_file_name,
    check_stored_file_name,
)
