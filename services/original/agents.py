"""Gateways of the original, their agents and skills."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from uuid import UUID

from sqlalchemy import case, func

import openclaw
from core.clock import now, parse_duration
from core.errors import AppError
from models import (
    Agent,
    AgentStatus,
    DesiredState,
    Gateway,
    GatewaySkill,
    ProvisioningState,
    Skill,
    SkillAction,
    SkillPack,
)
from services import audit, skills
from services.agents import OFFLINE_AFTER
from services.gateways import GatewayConnector
from services.original.source import (
    AGENTS,
    GATEWAYS,
    INSTALLED_SKILLS,
    PACKS,
    SKILLS,
    is_any_of,
    is_of,
    is_of_agents,
    select_rows,
)
from services.original.transfer import AgentPlace, NewRow, Transfer
from services.original.values import FreeNames, OriginalRow

MAX_AGENT_NAME_LENGTH = 100  # characters
MAX_OBJECT_LENGTH = 64 * 1024  # characters of a JSON object of an agent
SESSION_KEY = re.compile(r"agent:[a-z0-9][a-z0-9_-]{0,63}:main")
KNOWN_HASH = "pbkdf2_sha256$"


async def import_gateways(transfer: Transfer, connector: GatewayConnector) -> None:
    """Import the gateways with their tokens, encrypted.

    With the identity of the original they need not approve us again. Only gateways of the first
    organization may have private addresses, unless the operator allows it: those are addresses in
    the network of this server.
    """
    names, options, report = FreeNames(str.lower), transfer.options, transfer.report
    first_id = await audit.find_first_organization_id(transfer.session)

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        url, organization_id = (row["url"] or "").strip(), row["organization_id"]
        name = row.line("name", "Gateway")
        if (reason := _find_address_error(url)) is not None:
            row.leave(f"its address cannot be used: {reason}")
            return
        transfer.gateways[row.id] = organization_id
        shown = f"{name} ({url}) of {report.organizations[organization_id]}"
        is_first = organization_id == first_id or connector.allows_private_for_all
        if not is_first and _may_be_private(url):
            report.private_gateways.append(shown)
        if options.device_key is None and not row["disable_device_pairing"]:
            report.new_devices.append(shown)
        token = row["token"]
        if token and (not token.isprintable() or len(token) > 4_000):
            row.note("token: it has control characters: enter it again")
            token = None
        device = None if options.device_key is None else options.device_key.seed
        values = {
            "id": row.id,
            "organization_id": organization_id,
            "name": names.take(organization_id, name, join=" "),
            "url": url,
            "allow_insecure_tls": row["allow_insecure_tls"],
            "disable_device_pairing": row["disable_device_pairing"],
            "allows_private": is_first or options.allows_private_gateways,
            "encrypted_token": connector.encrypt(row.id, "token", token),
            "encrypted_device": connector.encrypt(row.id, "device", device)
            or connector.new_device(row.id),
            "workspace_root": row.line("workspace_root", "~/.openclaw", max_length=1_000),
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(Gateway, values)

    query = select_rows(GATEWAYS)
    query = query.where(is_any_of(GATEWAYS.c.organization_id, transfer.organization_ids))
    await transfer.copy("gateways", query.order_by(GATEWAYS.c.created_at, GATEWAYS.c.id), plan)


def _find_address_error(url: str) -> str | None:
    """Return why an address cannot be one of a gateway, or None."""
    if len(url) > openclaw.MAX_URL_LENGTH:
        return f"it has more than {openclaw.MAX_URL_LENGTH} characters"
    try:
        openclaw.parse_address(url)
    except openclaw.GatewayError as error:
        return error.message.rstrip(".")
    return None


def _may_be_private(url: str) -> bool:
    """Return whether an address is private, or a host name, which can stand for a private one."""
    try:
        return not ip_address(openclaw.parse_address(url).host).is_global
    except ValueError:
        return True


async def import_agents(transfer: Transfer) -> None:
    """Import the agents with the hashes of their tokens.

    They are as their gateways have them: nothing is written there until somebody asks for it.
    """
    leads: set[UUID] = set()
    mains: set[UUID] = set()
    sessions: set[tuple[UUID, str]] = set()

    def plan(row: OriginalRow) -> Iterable[NewRow]:
        board_id, gateway_id = row["board_id"], row["gateway_id"]
        if board_id is None and gateway_id not in transfer.gateways:
            row.leave("it manages a gateway that is not imported")
            return
        if board_id is None and gateway_id in mains:
            row.leave("its gateway has another agent that manages it")
            return
        organization_id = transfer.boards[board_id] if board_id else transfer.gateways[gateway_id]
        if transfer.gateways.get(gateway_id) != organization_id:
            row.note("gateway_id: its gateway is not imported, so the agent calls by itself")
            gateway_id = None
        is_lead = board_id is not None and row["is_board_lead"]
        if is_lead and board_id in leads:
            row.note("is_board_lead: its board has another lead, so it is a worker")
            is_lead = False
        if is_lead:
            leads.add(board_id)
        if board_id is None:
            mains.add(row["gateway_id"])
        transfer.agents[row.id] = AgentPlace(organization_id, board_id)
        place = {
            "id": row.id,
            "organization_id": organization_id,
            "board_id": board_id,
            "gateway_id": gateway_id,
            "is_board_lead": is_lead,
        }
        session_key = None
        if gateway_id is not None:
            session_key = _choose_session_key(row, Agent(**place), sessions)
            sessions.add((gateway_id, session_key))
        yield NewRow(Agent, {**place, **_build_agent(row, session_key)})

    is_bound = AGENTS.c.openclaw_session_id == func.concat(
        "agent:mc-gateway-", AGENTS.c.gateway_id, ":main"
    )
    query = select_rows(AGENTS).where(is_of_agents(transfer.organization_ids))
    first = (case((is_bound, 0), else_=1), AGENTS.c.is_board_lead.desc())
    order = (*first, AGENTS.c.created_at, AGENTS.c.id)
    await transfer.copy("agents", query.order_by(*order), plan)


def _choose_session_key(row: OriginalRow, agent: Agent, taken: set[tuple[UUID, str]]) -> str:
    """Return the main session of an agent on its gateway: another agent has another one."""
    found, usual = row["openclaw_session_id"] or "", agent.session_key
    assert agent.gateway_id is not None
    assert usual is not None
    is_key = SESSION_KEY.fullmatch(found) is not None
    if is_key and (agent.gateway_id, found) not in taken:
        return found
    if found:
        reason = (
            "another agent has the same session" if is_key else "it was not the session of an agent"
        )
        row.note(f"openclaw_session_id: {reason}, so it gets one of its own")
    return usual


def _build_agent(row: OriginalRow, session_key: str | None) -> dict[str, object]:
    has_gateway = session_key is not None
    token_hash = row["agent_token_hash"]
    if token_hash and not token_hash.startswith(KNOWN_HASH):
        row.note("agent_token_hash: its format is unknown, so the agent needs a new token")
        token_hash = None
    status = row.line("status", AgentStatus.PROVISIONING)
    if status in (AgentStatus.UPDATING, AgentStatus.DELETING):
        row.note(f"status: {status} becomes offline, because nothing is in progress")
        status = AgentStatus.OFFLINE
    last_seen_at = row.time("last_seen_at")
    if status == AgentStatus.ONLINE and (not last_seen_at or last_seen_at < now() - OFFLINE_AFTER):
        status = AgentStatus.OFFLINE if last_seen_at else AgentStatus.PROVISIONING
    heartbeat = row.object("heartbeat_config", max_length=MAX_OBJECT_LENGTH)
    if heartbeat is not None and not _is_heartbeat(heartbeat):
        row.note("heartbeat_config: an unknown interval is left out")
        heartbeat = {key: one for key, one in heartbeat.items() if key not in ("every", "quiet")}
    profile = row.object("identity_profile", max_length=MAX_OBJECT_LENGTH)
    texts = {key: one for key, one in (profile or {}).items() if isinstance(one, str)}
    if texts != (profile or {}):
        row.note("identity_profile: values that are not text are left out")
    # the gateway has the agent as it is: a step of provisioning would write its files at once
    state = {
        "desired_state": DesiredState.RUNNING if has_gateway else None,
        "openclaw_session_id": session_key,
        "generation": int(has_gateway),
        "observed_generation": int(has_gateway),
        "provisioning_state": ProvisioningState(
            is_without_heartbeat=has_gateway, is_imported=has_gateway
        ),
    }
    return {
        "name": row.line("name", "Agent", max_length=MAX_AGENT_NAME_LENGTH),
        "status": status,
        "agent_token_hash": token_hash,
        "heartbeat_config": heartbeat,
        "identity_profile": texts or None,
        "identity_template": row.text("identity_template"),
        "soul_template": row.text("soul_template"),
        "last_seen_at": last_seen_at,
        "created_at": row.moment(),
        "updated_at": row.moment("updated_at"),
        **state,
    }


def _is_heartbeat(config: dict[str, object]) -> bool:
    every = config.get("every")
    is_interval = every is None or (isinstance(every, str) and parse_duration(every) is not None)
    return is_interval and isinstance(config.get("quiet", True), bool)


async def import_skills(transfer: Transfer) -> None:
    """Import the packs of skills, their skills, and which gateways have them."""
    ids = transfer.organization_ids
    packs: dict[tuple[UUID, str], UUID] = {}
    taken: set[tuple[UUID, str]] = set()

    def plan_pack(row: OriginalRow) -> Iterable[NewRow]:
        organization_id = row["organization_id"]
        try:
            url = skills.normalize_pack_url(row["source_url"])
        except AppError:
            row.leave("its address is not the address of a repository or an archive")
            return
        if (organization_id, url) in packs:
            row.leave("another pack has the same address")
            return
        packs[organization_id, url] = row.id
        values = {
            "id": row.id,
            "organization_id": organization_id,
            "name": row.line("name", skills.infer_name(url)),
            "description": row.text("description", max_length=2_000),
            "source_url": url,
            "branch": skills.normalize_branch(row["branch"]),
            "extra": _read_metadata(row),
            "warnings": [],
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(SkillPack, values)

    query = select_rows(PACKS).where(is_any_of(PACKS.c.organization_id, ids))
    await transfer.copy(
        "packs of skills", query.order_by(PACKS.c.created_at, PACKS.c.id), plan_pack
    )

    def plan_skill(row: OriginalRow) -> Iterable[NewRow]:
        organization_id = row["organization_id"]
        try:
            url = skills.check_skill_url(row["source_url"])
        except AppError:
            row.leave("its address cannot be used")
            return
        if (organization_id, url) in taken:
            row.leave("another skill has the same address")
            return
        taken.add((organization_id, url))
        name = row.line("name", skills.infer_name(url))
        folder = transfer.skills[row.id] = skills.build_folder_name(name)
        repository = url.partition("/tree/")[0]
        values = {
            "id": row.id,
            "organization_id": organization_id,
            "pack_id": packs.get((organization_id, repository)),
            "name": name,
            "description": row.text("description", max_length=2_000),
            "category": row.line("category") or None,
            "risk": row.line("risk") or None,
            "source": row.line("source", max_length=1_000) or None,
            "source_url": url,
            "folder": folder,
            "extra": _read_metadata(row),
            "created_at": row.moment(),
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(Skill, values)

    query = select_rows(SKILLS).where(is_any_of(SKILLS.c.organization_id, ids))
    await transfer.copy("skills", query.order_by(SKILLS.c.created_at, SKILLS.c.id), plan_skill)

    def plan_installed(row: OriginalRow) -> Iterable[NewRow]:
        gateway_id, skill_id = row["gateway_id"], row["skill_id"]
        if gateway_id not in transfer.gateways or skill_id not in transfer.skills:
            row.leave("its gateway or its skill is not imported")
            return
        at = row.moment()
        values = {
            **{name: row[name] for name in ("id", "gateway_id", "skill_id")},
            "action": SkillAction.INSTALL,
            "folder": transfer.skills[skill_id],
            "requested_at": at,
            "created_at": at,
            "updated_at": row.moment("updated_at"),
        }
        yield NewRow(GatewaySkill, values)

    query = select_rows(INSTALLED_SKILLS)
    query = query.where(is_of(GATEWAYS, INSTALLED_SKILLS.c.gateway_id, ids))
    query = query.order_by(INSTALLED_SKILLS.c.id)
    await transfer.copy("skills on gateways", query, plan_installed)


def _read_metadata(row: OriginalRow) -> dict[str, object]:
    return row.object("metadata", max_length=20_000) or {}
