"""The tables, and the rules that a row can keep by itself. No queries, no HTTP, no clock."""

from typing import TypeAlias

from models.agent import (
    Agent,
    AgentStatus,
    AgentToken,
    DesiredState,
    OrphanedGatewayAgent,
    ProvisioningStep,
)
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
from models.board import Board, BoardGroup
from models.custom_field import (
    BoardCustomField,
    CustomField,
    CustomFieldValue,
    FieldType,
    Visibility,
)
from models.event import Event, EventType
from models.failed_attempt import FailedAttempts
from models.gateway import Gateway, GatewayCleanup, GatewayConnectionMixin
from models.gateway_request import GatewayRequest, RequestKind, RequestState
from models.idempotency import IdempotencyKey
from models.identity import ExternalIdentity, PendingSignIn
from models.invite import Invite, InviteBoardAccess
from models.memory import GroupNote, Note, UserQuestionRecord
from models.message import Message, MessageState
from models.onboarding import (
    OnboardingMessage,
    OnboardingRole,
    OnboardingSession,
    OnboardingStatus,
)
from models.organization import BoardAccess, Member, Organization, Role
from models.presence import Presence
from models.provisioning import ProvisioningState
from models.read_marker import ReadKind, ReadMarker
from models.run import Run, RunStatus
from models.soul import Soul, SoulDirectory
from models.tag import Tag, TagAssignment
from models.task import Comment, DeletedTask, Priority, Status, Task, TaskDependency
from models.user import ApiToken, FirstRunLink, PasswordLink, SignIn, TokenScope, User

Actor: TypeAlias = User | Agent
"""A user, through pages or scripts, or an agent, through the API."""
