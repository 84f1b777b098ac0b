"""What tool calls of coding agents do, from what their clients report. Pure functions."""

from services.tool_facts.facts import Command, ToolFacts
from services.tool_facts.inputs import MASK, build_excerpt, mask_secrets
from services.tool_facts.programs import read_command_actions
from services.tool_facts.tools import ToolKind, find_tool_kind, hash_request, read_facts
from services.tool_facts.words import find_name, list_code_words
