"""Causes: why a task, an approval or a message is as it is.

The steps are message, run, request, decision and change; each names the step that led to it.
"""

from services.causes.queries import load_approval_causes, load_message_causes, load_task_causes
from services.causes.steps import CauseStep, StepKind
