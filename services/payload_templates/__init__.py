"""Payload templates: what is made of the payloads of webhooks that have no rules of their own."""

from services.payload_templates.task_templates import (
    Operator,
    PayloadTemplate,
    RenderedTask,
    TemplateProblem,
    build_data,
    holds_condition,
    parse_field_lines,
    render_message,
    render_task,
    with_problems,
)
from services.payload_templates.templates import FILTERS, MAX_TEMPLATE_LENGTH
from services.payload_templates.values import clean_text, escape_markdown
