"""Agents: programs that work on boards; their tokens, heartbeats, status and lifecycle."""

from services.agents.cards import (
    AgentCard,
    get_agent_card,
    list_agent_cards,
    list_agent_names,
    list_board_agent_cards,
)
from services.agents.commands import (
    get_soul,
    issue_token,
    reprovision_agent,
    update_agent,
    write_soul,
)
from services.agents.creation import (
    GatewayLocation,
    build_agent,
    choose_free_name,
    create_agent,
    create_gateway_agent,
    create_on_first_heartbeat,
    create_token,
    delete_gateway_agent,
    link_agent,
    rename_gateway_agent,
)
from services.agents.deletion import (
    AGENT_DEPARTURE,
    AgentDeparture,
    delete_agent,
    delete_worker,
    remove_board_agents,
)
from services.agents.events import agent_created_event, agent_event, agent_updated_event
from services.agents.file_versions import (
    MAX_FILE_VERSIONS,
    MAX_VERSION_LENGTH,
    FileContent,
    FileVersion,
    FileVersionDetail,
    build_sync_versions,
    get_file_version,
    list_file_versions,
    load_latest_versions,
    record_file_versions,
)
from services.agents.first_calls import (
    UncalledAgent,
    build_uncalled_query,
    first_call_deadline,
    list_missed_first_calls,
)
from services.agents.heartbeats import (
    MAX_INTERVAL_LENGTH,
    build_heartbeat_config,
    changes_status,
    is_overdue,
    mark_silent_agents_offline,
    may_be_overdue_condition,
    record_heartbeat,
    set_group_heartbeat_interval,
    touch_agent,
    validate_heartbeat_interval,
)
from services.agents.holds import HELD_IDS, list_held_agents, pause_agent, release_agent
from services.agents.queries import (
    NEWEST_BOARD_AGENTS,
    build_online_count,
    count_online_agents,
    find_agent_by_name,
    find_board_lead,
    get_agent,
    get_board_agent,
    get_visible_agent,
    is_lead_missing,
    list_agents,
    list_agents_for_agent,
    list_agents_of_boards,
    list_board_agents,
    list_changed_presences,
    load_agents,
    lock_agent,
    lock_boards,
)
from services.agents.rules import (
    MAX_TOKEN_DAYS,
    OFFLINE_AFTER,
    TOKEN_WARNING,
    AgentDraft,
    AgentState,
    StatusEvidence,
    StatusSource,
    build_changed_values,
    compute_status,
    find_away_since,
    find_status_evidence,
    heartbeat_interval,
    is_late,
    is_token_ending,
    offline_threshold,
)
