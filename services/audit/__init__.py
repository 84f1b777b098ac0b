"""The audit: who changed what, with which credential, from where and why.

Records are added in the transaction of the change, and never changed. Most of them are derived from
events by `services.events`; changes without an event record themselves. docs/audit.md describes the
guarantees.
"""

from services.audit.anchors import (
    DroppableRecords,
    drop_records,
    find_droppable_records,
)
from services.audit.chain import VerificationResult, compute_hash, verify_export
from services.audit.queries import (
    AuditFilters,
    CommunicationRecord,
    LastChange,
    find_first_organization_id,
    find_last_change,
    list_audit_records,
    list_chains,
    list_communication,
    list_latest_communication,
    list_latest_records,
    may_read_installation,
    prepare_export,
    require_installation_reader,
    stream_export,
    to_export,
)
from services.audit.records import (
    AccountChange,
    AuditAction,
    AuditObject,
    NewAuditRecord,
    build_deletion_records,
    build_insert_rows,
    build_origin_row,
    delete_expired_chains,
    identify_actor,
    insert_pending_records,
    insert_records_now,
    list_account_records,
    record_account_changes,
    record_at_commit,
    record_audit,
    use_credential,
)
from services.audit.rejections import (
    record_failed_sign_in,
    record_limited_sign_in,
    record_rejected_request,
)
