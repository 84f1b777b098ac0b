"""Import organizations of the original, in one transaction."""

from sqlalchemy.ext.asyncio import AsyncSession

from core.db.transactions import lock_name
from core.fields import MAX_NAME_LENGTH
from core.security.encryption import SecretCipher
from services import audit, identity
from services.audit import AuditAction, AuditObject, NewAuditRecord
from services.gateways import GatewayConnector
from services.original.activity import import_activity
from services.original.agents import import_agents, import_gateways, import_skills
from services.original.boards import (
    import_boards,
    import_groups,
    import_memory,
    import_onboarding,
    import_webhooks,
)
from services.original.people import (
    choose_organizations,
    import_board_access,
    import_invites,
    import_members,
    import_organizations,
    import_users,
)
from services.original.report import ImportReport
from services.original.source import COMMIT, OriginalDatabase
from services.original.tasks import (
    import_approvals,
    import_custom_fields,
    import_tags,
    import_task_details,
    import_tasks,
)
from services.original.transfer import ImportOptions, Transfer


async def import_original(
    session: AsyncSession,
    source: OriginalDatabase,
    options: ImportOptions,
    connector: GatewayConnector,
    cipher: SecretCipher,
) -> ImportReport:
    """Import organizations with all that belongs to them, and return what was done.

    Organizations that are here already stay as they are. Ids are kept. Nobody is notified. Two
    imports wait for each other. A preview calls it too, and rolls the transaction back. Raises
    Invalid about the options.
    """
    await lock_name(session, "mission control: import of the original")
    report = ImportReport()
    transfer = Transfer(source, session, options, report)
    await identity.lock_registration(session)
    await choose_organizations(transfer)
    if not report.organizations:
        return report
    await import_organizations(transfer)
    await import_users(transfer)
    await import_members(transfer)
    await import_groups(transfer)
    await import_gateways(transfer, connector)
    await import_boards(transfer)
    await import_board_access(transfer)
    await import_invites(transfer)
    await import_agents(transfer)
    await import_skills(transfer)
    await import_tags(transfer)
    await import_custom_fields(transfer)
    await import_tasks(transfer)
    await import_task_details(transfer)
    await import_approvals(transfer)
    await import_memory(transfer)
    await import_onboarding(transfer)
    await import_webhooks(transfer, cipher)
    await import_activity(transfer)
    await audit.record_audit(session, _build_audit_records(report, options))
    return report


def _build_audit_records(report: ImportReport, options: ImportOptions) -> list[NewAuditRecord]:
    """Return one record of the import for the installation, and one for each organization.

    The former says what the operator has decided, because rights follow from it.
    """
    action, source = AuditAction.ORIGINAL_IMPORTED, {"commit": COMMIT}
    decisions = {
        "issuer": options.issuer,
        "matched_emails": report.matched,
        "allows_private_gateways": options.allows_private_gateways,
        "takes_device_key": options.device_key is not None,
    }
    names = ", ".join(report.organizations.values())[:MAX_NAME_LENGTH]
    target = AuditObject("installation", None, names)
    after = {**source, **decisions, "rows": report.written}
    records = [NewAuditRecord(action, target, organization_id=None, after=after)]
    for id, name in report.organizations.items():
        target = AuditObject("organization", id, name)
        records.append(NewAuditRecord(action, target, organization_id=id, after=source))
    return records
