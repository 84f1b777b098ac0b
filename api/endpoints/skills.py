"""Skills, their packs, and the skills of gateways (contract, agents 12). For admins."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.endpoints.skill_models import (
    GatewayQuery,
    MarketplaceQuery,
    MarketplaceSkillActionResponse,
    MarketplaceSkillCardRead,
    MarketplaceSkillCreate,
    MarketplaceSkillRead,
    SkillFiles,
    SkillPackCreate,
    SkillPackRead,
    SkillPackSyncResponse,
    build_card_fields,
    build_pack_fields,
    build_skill_fields,
)
from api.framework.fields import Ok
from api.framework.handler import (
    RequestContext,
    error_responses,
    reads_only,
    without_transaction,
)
from core.json_responses import Encoded
from core.paging import Paging
from models import Member
from services import gateways, skills
from services.skills import NO_LIMIT, Installation, PackDraft, SkillFilter

Digest = Annotated[
    str,
    Field(
        pattern="^[0-9a-f]{64}$",
        max_length=64,
        description="The digest of the files.",
        examples=["0" * 64],
    ),
]


@reads_only
@error_responses(403, 404)
async def list_marketplace_skills(
    context: RequestContext, member: Member, query: MarketplaceQuery
) -> Encoded[list[MarketplaceSkillCardRead]]:
    """List the skills of the active organization with their state on a gateway, newest first."""
    gateway = await gateways.get_gateway(context.source, member, query.gateway_id)
    chosen = SkillFilter(query.search.strip(), query.category, query.risk, query.pack_id)
    paging = Paging(query.limit or NO_LIMIT.limit, query.offset)
    page = await skills.list_gateway_skills(context.source, member, gateway, chosen, paging)
    headers: dict[str, str] = {}
    if query.limit is not None:
        headers = {
            "X-Total-Count": str(page.total),
            "X-Limit": str(query.limit),
            "X-Offset": str(query.offset),
        }
    return Encoded([build_card_fields(one) for one in page.items], headers=headers)


@error_responses(403, 409)
async def create_marketplace_skill(
    context: RequestContext, member: Member, body: MarketplaceSkillCreate
) -> Encoded[MarketplaceSkillRead]:
    """Add a skill by its address, or change the one of the same address.

    Its files are not stored: the agent that installs it takes them from the address.
    """
    skill = await skills.save_skill(
        context.session,
        member,
        body.source_url,
        name=body.name,
        description=body.description,
    )
    return Encoded(build_skill_fields(skill))


@error_responses(403, 404)
async def delete_marketplace_skill(context: RequestContext, member: Member, skill_id: UUID) -> Ok:
    """Delete a skill. Gateways that have it keep it."""
    await skills.delete_skill(context.session, member, skill_id)
    return Ok()


@error_responses(403, 404, 409)
async def install_marketplace_skill(
    context: RequestContext, member: Member, skill_id: UUID, query: GatewayQuery
) -> Encoded[MarketplaceSkillActionResponse]:
    """Ask the agent of a gateway to install a skill, or to update it.

    The message is stored and delivered when the gateway is connected. Repeating it changes nothing.
    """
    gateway = await gateways.get_gateway(context.source, member, query.gateway_id)
    found = await skills.request_install(
        context.session, member, gateway, skill_id, base_url=context.settings.base_url
    )
    return _build_action(skill_id, query, found)


@error_responses(403, 404, 409)
async def uninstall_marketplace_skill(
    context: RequestContext, member: Member, skill_id: UUID, query: GatewayQuery
) -> Encoded[MarketplaceSkillActionResponse]:
    """Ask the agent of a gateway to remove a skill. Repeating it changes nothing."""
    gateway = await gateways.get_gateway(context.source, member, query.gateway_id)
    found = await skills.request_removal(
        context.session, member, gateway, skill_id, base_url=context.settings.base_url
    )
    return _build_action(skill_id, query, found)


def _build_action(
    skill_id: UUID, query: GatewayQuery, found: Installation | None
) -> Encoded[MarketplaceSkillActionResponse]:
    fields: dict[str, Any] = {"ok": True, "skill_id": skill_id, "gateway_id": query.gateway_id}
    is_wanted = found is not None and found.is_wanted
    return Encoded({**fields, "installed": is_wanted, "state": found.state if found else None})


@reads_only
@error_responses(403)
async def list_skill_packs(context: RequestContext, member: Member) -> Encoded[list[SkillPackRead]]:
    """List the packs of the active organization, newest first."""
    return Encoded(
        [build_pack_fields(one) for one in await skills.list_packs(context.source, member)]
    )


@reads_only
@error_responses(403, 404)
async def get_skill_pack(
    context: RequestContext, member: Member, pack_id: UUID
) -> Encoded[SkillPackRead]:
    """Return a pack."""
    return await _read_pack(context, member, pack_id)


@error_responses(400, 403, 409)
async def create_skill_pack(
    context: RequestContext, member: Member, body: SkillPackCreate
) -> Encoded[SkillPackRead]:
    """Add a pack, or change the one of the same address. Its skills are fetched by `sync`."""
    pack = await skills.save_pack(context.session, member, _build_draft(body))
    return await _read_pack(context, member, pack.id)


@error_responses(400, 403, 404, 409)
async def update_skill_pack(
    context: RequestContext, member: Member, pack_id: UUID, body: SkillPackCreate
) -> Encoded[SkillPackRead]:
    """Replace the fields of a pack: a missing name is that of the address."""
    await skills.update_pack(context.session, member, pack_id, _build_draft(body))
    return await _read_pack(context, member, pack_id)


@error_responses(403, 404)
async def delete_skill_pack(context: RequestContext, member: Member, pack_id: UUID) -> Ok:
    """Delete a pack. Its skills stay."""
    await skills.delete_pack(context.session, member, pack_id)
    return Ok()


@error_responses(403, 404, 409, 502)
@without_transaction
async def sync_skill_pack(
    context: RequestContext, member: Member, pack_id: UUID
) -> SkillPackSyncResponse:
    """Fetch the archive of a pack, and add, change and remove its skills.

    Nothing is installed on gateways. Skills that a gateway has are kept when they disappear.
    """
    result = await skills.sync_pack(context.transaction, context.archive_client, member, pack_id)
    return SkillPackSyncResponse(
        pack_id=pack_id,
        synced=result.found,
        created=result.created,
        updated=result.updated,
        removed=result.removed,
        warnings=result.describe_warnings(),
    )


@reads_only
@error_responses(404)
async def get_skill_files(
    context: RequestContext, skill_id: UUID, digest: Digest
) -> Encoded[SkillFiles]:
    """Return the files of a skill that you were asked to install on your gateway."""
    skill, version, folder = await skills.get_requested_files(
        context.source, context.agent, skill_id, digest
    )
    files = [
        {
            "path": file["path"],
            "encoding": "utf-8" if "text" in file else "base64",
            "content": file.get("text", file.get("base64")),
        }
        for file in version.files
    ]
    return Encoded(
        {
            "skill_id": skill.id,
            "name": skill.name,
            "folder": folder,
            "revision": version.revision,
            "digest": version.digest,
            "files": files,
        }
    )


async def _read_pack(
    context: RequestContext, member: Member, pack_id: UUID
) -> Encoded[SkillPackRead]:
    return Encoded(build_pack_fields(await skills.get_pack(context.source, member, pack_id)))


def _build_draft(body: SkillPackCreate) -> PackDraft:
    return PackDraft(
        source_url=body.source_url,
        name=body.name,
        description=body.description,
        branch=body.branch or "",
        extra=body.metadata,
    )
