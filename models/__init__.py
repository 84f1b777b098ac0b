"""The tables, and the rules that a row can keep by itself. No queries, no HTTP, no clock."""

from typing import TypeAlias

from models.agent import (
    AGENT_LOCK_ORDER,
    AGENT_NAME_COLUMNS,
    CLIENT_CLOSED,
    NEVER_CALLED,
    WITHOUT_HEARTBEAT_KEY,
    Agent,
    AgentFileVersion,
    AgentStatus,
    AgentToken,
    DesiredState,
    FileAuthor,
    OrphanedGatewayAgent,
    ProvisioningState,
    ProvisioningStep,
)
from models.approval import DECISIONS_TOPIC, Approval, ApprovalStatus, ApprovalTask
from models.approval_policy import (
    TOOL_CONDITIONS,
    ApprovalPolicy,
    PolicyEffect,
    PolicyRule,
    PolicyVerdict,
    RiskLevel,
    WeeklyWindow,
)
from models.base import Base, new_id
from models.board import (
    DEFAULT_REMINDER_MINUTES,
    DEFAULT_STALE_MINUTES,
    Board,
    BoardGroup,
    BoardShortcut,
    DefaultView,
    Presence,
    ReadKind,
    ReadMarker,
    SavedView,
)
from models.board_webhook import BoardWebhook, PayloadState, WebhookAction, WebhookPayload
from models.coding_agent import (
    ClientConnection,
    CodingClient,
    CodingSession,
    SessionState,
    ToolAction,
    ToolAnswer,
    ToolCall,
    ToolGrant,
    UsageFact,
)
from models.counter import (
    AgentEventCount,
    BoardCounts,
    BoardGroupCounts,
    DoneTaskHour,
    EventCount,
    MessageHour,
    NotificationCount,
    OrganizationCounts,
    TagCount,
    TaskMoveHour,
)
from models.custom_field import (
    BoardCustomField,
    CustomField,
    CustomFieldValue,
    FieldType,
    Visibility,
)
from models.event import (
    AuditAnchor,
    AuditRecord,
    Event,
    EventCommit,
    EventOrigin,
    EventRetention,
    EventType,
)
from models.gateway import (
    ConfigChangeKind,
    Gateway,
    GatewayCleanup,
    GatewayConfigChange,
    GatewayConnectionMixin,
)
from models.gateway_request import DECISION_KINDS, GatewayRequest, RequestKind, RequestState
from models.installation import (
    EncryptedColumn,
    EncryptionKey,
    PublicAddress,
    WriteCheck,
    build_encryption_context,
    list_encrypted_columns,
)
from models.invite import Invite, InviteBoardAccess
from models.memory import AgentQuestion, GroupNote, Note, UserQuestionRecord
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
from models.organization import BoardAccess, Member, Organization, Role
from models.request import IdempotencyKey, KeptForm, LimitShare
from models.run import Run, RunStatus
from models.skill import (
    GatewaySkill,
    Skill,
    SkillAction,
    SkillPack,
    SkillPackUpdate,
    SkillVersion,
)
from models.soul import Soul, SoulDirectory
from models.task import (
    IS_OPEN,
    OPEN_DEPENDENCY_COUNT,
    OPEN_STATUSES,
    PRIORITY_PLACE,
    URGENT_PRIORITIES,
    URGENT_STATUSES,
    BulkTaskChange,
    Comment,
    DeletedTask,
    LinkKind,
    Priority,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
    TaskDescription,
    TaskLink,
    TaskWatcher,
    rank_at,
)
from models.user import (
    USER_NAME,
    USER_NAME_COLUMNS,
    ApiToken,
    ExternalIdentity,
    FailedAttempts,
    FirstRunLink,
    PasswordLink,
    PendingSignIn,
    RevokedApiToken,
    SignIn,
    TokenScope,
    User,
)
from models.webhook_endpoint import (
    EndpointState,
    WebhookDelivery,
    WebhookDeliveryState,
    WebhookEndpoint,
)

Actor: TypeAlias = User | Agent
"""A user, through pages or scripts, or an agent, through the API."""
