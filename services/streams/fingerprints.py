"""Fingerprints of rights: comparing them shows whose rights have changed, in one statement."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

_FINGERPRINTS = text("""
    select actor.id, md5(jsonb_build_array(
        (
            select jsonb_agg(session.id order by session.id) from sign_ins as session
            where session.user_id = actor.id and session.expires_at > now()
        ),
        (
            select jsonb_agg(token.id order by token.id) from api_tokens as token
            where token.user_id = actor.id
            and (token.expires_at is null or token.expires_at > now())
        ),
        (
            select jsonb_agg(
                jsonb_build_array(
                    member.id, member.role, member.all_boards_read, member.all_boards_write
                ) order by member.id
            ) from organization_members as member where member.user_id = actor.id
        ),
        (
            select jsonb_agg(
                jsonb_build_array(access.id, access.can_read, access.can_write) order by access.id
            ) from organization_board_access as access
            join organization_members as member on member.id = access.organization_member_id
            where member.user_id = actor.id
        ),
        (
            select jsonb_build_array(agent.board_id, agent.gateway_id, agent.agent_token_hash)
            from agents as agent where agent.id = actor.id
        ),
        (
            select jsonb_agg(token.id order by token.id) from agent_tokens as token
            where token.agent_id = actor.id and token.ended_at is null
            and (token.expires_at is null or token.expires_at > now())
        )
    )::text)
    from unnest(:ids) as actor (id)
""").bindparams(bindparam("ids", type_=ARRAY(Uuid())))
"""The credentials that are valid, and the rights of their owners. The triggers `announce_rights`
notify of each change of these values, except of the expiry of a credential."""


async def load_fingerprints(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return a fingerprint of the rights and valid credentials of users and agents."""
    rows = await session.execute(_FINGERPRINTS, {"ids": list(ids)})
    return {id: fingerprint for id, fingerprint in rows}
