"""The tables, and the rules that a row can keep by itself. No queries, no HTTP, no clock."""

from typing import TypeAlias

from models.agent import (
    AGENT_NAME_COLUMNS,
    NEVER_CALLED,
    Agent,
    AgentStatus,
    AgentToken,
    DesiredState,
    OrphanedGatewayAgent,
    ProvisioningStep,
)
from models.agent_file import AgentFileVersion, FileAuthor
from models.approval import Approval, ApprovalStatus, ApprovalTask
from models.approval_policy import (
    ApprovalPolicy,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    RiskLevel,
    WeeklyWindow,
)
from models.audit import AuditRecord
from models.base import Base, new_id
from models.board import DEFAULT_REMINDER_MINUTES, DEFAULT_STALE_MINUTES, Board, BoardGroup
from models.board_webhook import BoardWebhook, PayloadState, WebhookAction, WebhookPayload
from models.counter import (
    AgentEventCount,
    BoardCounts,
    DoneTaskHour,
    EventCount,
    MessageHour,
    TaskMoveHour,
)
from models.custom_field import (
    BoardCustomField,
    CustomField,
    CustomFieldValue,
    FieldType,
    Visibility,
)
from models.encryption_key import (
    EncryptedColumn,
    EncryptionKey,
    build_encryption_context,
    list_encrypted_columns,
)
from models.event import Event, EventOrigin, EventType
from models.failed_attempt import FailedAttempts
from models.gateway import (
    ConfigChangeKind,
    Gateway,
    GatewayCleanup,
    GatewayConfigChange,
    GatewayConnectionMixin,
)
from models.gateway_request import DECISION_KINDS, GatewayRequest, RequestKind, RequestState
from models.idempotency import IdempotencyKey
from models.identity import ExternalIdentity, PendingSignIn
from models.invite import Invite, InviteBoardAccess
from models.kept_form import KeptForm
from models.memory import GroupNote, Note, UserQuestionRecord
from models.message import Message, MessageState
from models.notification import (
    ChannelKind,
    DeliveryState,
    Digest,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    NotificationPreference,
    NotificationSettings,
)
from models.onboarding import (
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
)
from models.organization import BoardAccess, Member, Organization, PublicAddress, Role
from models.presence import Presence
from models.provisioning import WITHOUT_HEARTBEAT_KEY, ProvisioningState
from models.question import AgentQuestion
from models.read_marker import ReadKind, ReadMarker
from models.run import Run, RunStatus
from models.saved_view import DefaultView, SavedView
from models.skill import (
    GatewaySkill,
    Skill,
    SkillAction,
    SkillPack,
    SkillPackUpdate,
    SkillVersion,
)
from models.soul import Soul, SoulDirectory
from models.tag import Tag, TagAssignment
from models.task import (
    OPEN_DEPENDENCY_COUNT,
    Comment,
    DeletedTask,
    Priority,
    Status,
    Task,
    TaskDependency,
    TaskDescription,
    rank_at,
)
from models.task_link import LinkKind, TaskLink
from models.user import (
    USER_NAME,
    USER_NAME_COLUMNS,
    ApiToken,
    FirstRunLink,
    PasswordLink,
    RevokedApiToken,
    SignIn,
    TokenScope,
    User,
)
from models.watcher import TaskWatcher
from models.webhook_endpoint import (
    EndpointState,
    WebhookDelivery,
    WebhookDeliveryState,
    WebhookEndpoint,
)
from models.write_check import WriteCheck

Actor: TypeAlias = User | Agent
"""A user, through pages or scripts, or an agent, through the API."""
