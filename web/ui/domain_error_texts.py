"""Texts of errors about boards, agents, gateways, tasks and approvals, by their codes."""

from collections.abc import Mapping

from web.ui.translation import N_

FIELD_VALUE_TEXTS: Mapping[str, str] = {
    "text": N_("Write at most 2,000 characters."),
    "text_long": N_("Write at most 100,000 characters."),
    "integer": N_("Write a whole number."),
    "decimal": N_("Write a number."),
    "boolean": N_("Choose yes or no."),
    "date": N_("Write a date like 2026-12-24."),
    "date_time": N_("Write a date and a time like 2026-12-24T18:30."),
    "url": N_("Write an address that begins with http:// or https://."),
    "json": N_("Write a JSON object or list of at most 64 kB."),
    "pattern": N_("This does not match the pattern of the field."),
}
"""Texts of invalid values of custom fields by the type of the field, or for its pattern."""

DOMAIN_ERROR_TEXTS: Mapping[str, str] = {
    # Webhooks
    "event_type_unknown": N_("One of these events does not exist any more."),
    "replay_period_empty": N_("The end must be after the start."),
    "replay_too_large": N_("The period has more than %(max_count)s events. Choose a shorter one."),
    "replay_too_old": N_("Only the events of the last %(days)s days can be sent again."),
    "too_many_boards": N_("A webhook can be limited to at most %(max_count)s boards."),
    "too_many_webhooks": N_("An organization has at most %(max_count)s webhooks."),
    "webhook_boards_forbidden": N_(
        "Choose boards that you can read: you do not have access to all boards of this webhook."
    ),
    "webhook_delivery_not_found": N_("There is no such delivery."),
    "webhook_disabled": N_("This webhook is not enabled. Enable it first."),
    "webhook_not_found": N_("There is no such webhook."),
    "webhook_secret_unreadable": N_(
        "The secret was encrypted with another SECRET_KEY. Rotate the secret."
    ),
    "webhook_url_invalid": N_(
        "Enter an address that begins with https:// or http://, without a name or a password."
    ),
    # Boards and onboarding
    "board_group_not_found": N_("There is no such group in this organization."),
    "board_not_found": N_("There is no such board."),
    "board_paused": N_("The agents of this board are paused."),
    "goal_incomplete:objective": N_("A goal needs an objective."),
    "goal_incomplete:success_metrics": N_(
        "A goal needs measures: how will you know that it is reached?"
    ),
    "saved_view_name_taken": N_("There is a view with this name."),
    "saved_view_not_found": N_("There is no such view."),
    "too_many_saved_views": N_("A board has at most %(max_count)s views of one person."),
    "too_many_saved_views:shared": N_("A board has at most %(max_count)s shared views."),
    "onboarding_answer_not_found": N_("There is no such answer to change."),
    "onboarding_moved_on": N_(
        "Somebody else went on with this onboarding meanwhile. Look at it again."
    ),
    "onboarding_not_found": N_("No onboarding was started on this board."),
    "onboarding_over": N_("This onboarding is over. Start another to continue."),
    "onboarding_question_answered": N_("It was answered meanwhile: “%(answer)s”."),
    "onboarding_question_over": N_("The agent has continued with another question."),
    # Webhooks
    "agent_not_on_board": N_("There is no such agent on this board."),
    "header_name_invalid": N_(
        "This cannot be the name of a header with a signature, such as X-Signature."
    ),
    "payload_processed": N_("This payload has already been processed."),
    "template_filter_invalid": N_(
        "Line %(line)s: “%(text)s” is not a filter, or its argument is wrong."
    ),
    "template_not_closed": N_("Line %(line)s: close the placeholder with }}."),
    "template_operator_invalid": N_("Choose a comparison."),
    "template_path_invalid": N_("Line %(line)s: “%(text)s” is not the path of a value."),
    "template_required": N_("This action needs a template."),
    "template_too_many": N_("A template has at most %(max_count)s placeholders."),
    "too_many_board_webhooks": N_("A board has at most %(max_count)s webhooks."),
    "webhook_payload_not_found": N_("There is no such payload."),
    "webhook_without_agent": N_("There is no agent on this board to send it to."),
    # Notifications
    "notification_not_found": N_("You have no such notification."),
    "unknown_channel": N_("You have no such channel."),
    "quiet_hours_incomplete": N_("Quiet hours need a beginning and an end."),
    "quiet_hours_empty": N_("Quiet hours end at another time than they begin."),
    "escalation_minutes_invalid": N_("Choose between 1 and 10,080 minutes, which is a week."),
    "escalation_person_invalid": N_("This person cannot decide approvals in the organization."),
    # Agents and gateways
    "agent_files_read_only": N_(
        "The files of an agent that is linked, or being removed, are not changed."
    ),
    "file_not_found": N_("This agent has no such file."),
    "description_version_not_found": N_("This version is not stored any more."),
    "file_version_not_found": N_("This version is not stored any more."),
    "agent_already_linked": N_("This agent is linked already."),
    "agent_made_here": N_("A Mission Control made this agent: it cannot be linked."),
    "agent_moved": N_("The agent was moved meanwhile. Try again."),
    "agent_name_taken": N_("Another agent of this board has that name."),
    "agent_not_brought": N_("This agent is on no gateway, or others brought it there."),
    "agent_not_found": N_("There is no such agent."),
    "board_lead_exists": N_("%(lead)s leads this board already."),
    "board_required": N_("An agent works on a board."),
    "gateway_agent_not_found": N_("The gateway has no such agent."),
    "gateway_in_use:boards": N_(
        "Boards are on this gateway: give them another one, or none, first."
    ),
    "gateway_in_use:agents": N_("Agents are on this gateway: unlink or delete them first."),
    "gateway_name_taken": N_("Another gateway has that name."),
    "gateway_address_taken": N_("The gateway %(name)s already has this address."),
    "ca_not_only_certificates": N_(
        "This contains more than certificates, such as a private key. Enter only certificates."
    ),
    "ca_too_many": N_("At most %(max_length)s certificates."),
    "ca_unreadable": N_(
        "This is not a certificate in PEM format. It begins with -----BEGIN CERTIFICATE-----."
    ),
    "gateway_not_found": N_("There is no such gateway."),
    "gateway_not_found:gateway_id": N_("There is no such gateway in this organization."),
    "gateway_required": N_("No gateway serves this board."),
    "gateway_secrets_unreadable": N_(
        "The secrets of this gateway were encrypted with another SECRET_KEY. Restore that key, or"
        " enter the token again; then the gateway must be paired again."
    ),
    "gateway_token_required": N_(
        "Enter the token again: the stored one is not sent to another host, port or path, and not"
        " after a change of the TLS verification."
    ),
    "gateway_without_agent": N_("This gateway has no agent that looks after it."),
    "url_invalid": N_("This is not an address."),
    "url_invalid:scheme": N_("The address must begin with ws:// or wss://."),
    "url_invalid:host": N_("The address names no host."),
    "url_invalid:password": N_(
        "The address must not contain a name or a password: the token has its own field."
    ),
    "url_invalid:query": N_("The address must end with its path: the token has its own field."),
    "url_invalid:port": N_("Port 0 is not a valid port."),
    "url_invalid:characters": N_(
        "The address must have only ASCII characters and no blanks, and 500 characters at most."
    ),
    "heartbeat_invalid": N_("Say how often as 30s, 10m or 1h."),
    "message_not_failed": N_("The agent has this message already."),
    "message_not_found": N_("There is no such message."),
    # Requests of gateways
    "already_answered": N_("%(by)s has answered this already."),
    "answer_required": N_("Answer: %(question)s"),
    "answer_unknown": N_("Choose one of those that are offered: %(question)s"),
    "answers_required": N_("Answer the questions."),
    "answers_too_many": N_("Too many answers: %(question)s"),
    "decision_invalid": N_("The gateway accepts only these decisions: %(offered)s."),
    "gateway_request_not_found": N_("There is no such request."),
    "standing_grant_not_found": N_("There is no such standing grant."),
    "question_unknown": N_("This question was not asked."),
    "request_differs": N_("The request has changed. Read it again, then answer it."),
    "request_over": N_("This request is no longer open."),
    "request_secret": N_("It asks for a secret. Answer it on the gateway itself."),
    # Boards
    "boards_not_changed": N_("Some boards cannot be changed."),
    # Tasks
    "approval_pending": N_(
        "An approval of this task is pending. Until it is decided, the task stays where it is."
    ),
    "approval_required": N_("This board requires an approval before a task is done."),
    "approval_required:pending": N_(
        "This board requires an approval before a task is done. One is pending for this task: wait"
        " for the decision."
    ),
    "approval_required:none": N_(
        "This board requires an approval before a task is done. Request one first."
    ),
    "approval_required:kind": N_(
        "This board requires an approval before a task is done. The approval of this task is"
        " for something else."
    ),
    "approval_required:content": N_(
        "This board requires an approval before a task is done. The task has changed since it"
        " was approved: %(changed)s."
    ),
    "approval_required:unknown_content": N_(
        "This board requires an approval before a task is done. The approval is from before"
        " the reviewed content was recorded."
    ),
    "approval_required:used": N_(
        "This board requires an approval before a task is done. The approval was used already:"
        " it allows one move to Done."
    ),
    "approval_required:expired": N_(
        "This board requires an approval before a task is done. The approval has expired."
    ),
    "approval_required:rejected": N_(
        "This board requires an approval before a task is done. A later request about this"
        " task was rejected."
    ),
    "approval_required:reopened": N_(
        "This board requires an approval before a task is done. The task was reopened after it"
        " was approved."
    ),
    "question_not_found": N_("There is no such question."),
    "question_answered": N_("Somebody has answered this question already."),
    "user_not_found": N_("There is nobody with this id who can read the board."),
    "two_assignees": N_("A task has one assignee: an agent or a person."),
    "assignee_on_other_board": N_("This agent works on another board."),
    "comment_required": N_(
        "On this board a task is moved to Review with a comment about what was done."
    ),
    "custom_fields_required": N_(
        "On this board every task needs values for these fields: %(missing_field_keys)s."
    ),
    "dependencies_of_done_task": N_(
        "This task is done, so its dependencies cannot change. Reopen it first."
    ),
    "dependency_circle": N_("These tasks would depend on each other in a circle."),
    "dependency_not_found": N_("Some of the dependencies are not on this board."),
    "dependency_on_itself": N_("A task cannot depend on itself."),
    "review_required": N_(
        "On this board a task is reviewed before it is done. Move it to Review first."
    ),
    "tag_not_found": N_("Some of the tags do not exist."),
    "task_blocked_cannot_transition": N_(
        "It depends on tasks that are not done. Until then it stays in the inbox, unassigned."
    ),
    "task_not_found": N_("There is no such task on this board."),
    "task_not_restorable": N_("This task was deleted permanently."),
    # Tags
    "color_invalid": N_("Write six hexadecimal digits, such as 2f6f6a."),
    "tag_slug_taken": N_("Another tag has this slug. Choose another one."),
    # Custom fields
    "boards_required": N_("Choose at least one board."),
    "board_not_found:board_ids": N_("Some of these boards no longer exist."),
    "custom_field_in_use": N_("Tasks have values for this field. Clear them first."),
    "custom_field_key_taken": N_("Another field has this key. Choose another one."),
    "custom_field_not_found": N_("There is no such field."),
    "custom_field_values_unfit": N_(
        "Values of tasks would no longer be valid. Change or clear them first."
    ),
    "regex_invalid": N_("This is not a regular expression of the RE2 syntax."),
    "regex_not_for_type": N_("Only texts, dates and URLs can have a validation pattern."),
    "unknown_field_type": N_("Choose one of the types."),
    "unknown_visibility": N_("Choose one of those that are offered."),
    **{
        f"{code}:{cause}": text
        for code in ("custom_field_value_invalid", "default_value_invalid")
        for cause, text in FIELD_VALUE_TEXTS.items()
    },
    # Souls
    "soul_not_found": N_("There is no such soul."),
    "souls_directory_unavailable": N_("The directory of souls does not answer."),
    # Approvals
    "action_hash_required": N_(
        "This form does not say what it showed. Read the request again, then approve."
    ),
    "already_decided:approved": N_("%(by)s has approved this already."),
    "already_decided:rejected": N_("%(by)s has rejected this already."),
    "answer_required:status": N_("Approve or reject."),
    "approval_content_changed": N_(
        "The content of this request has changed. Read it again, then decide."
    ),
    "approval_expired": N_("This request has expired, so it can no longer be approved."),
    "approval_not_found": N_("There is no such approval."),
    "approval_pending_exists": N_("An approval of this task is pending already."),
    "approval_requests_held": N_(
        "Too many of your requests are pending, or you made too many in the last hour. Wait for"
        " decisions, then try again."
    ),
    "completion_denied": N_("The policy “%(rule)s” does not allow this task to be completed."),
    "completion_not_allowed": N_(
        "The policy “%(rule)s” requires more before tasks are completed. Approve this without"
        " completing tasks; the agent can request task.complete."
    ),
    "decider_not_allowed": N_("The policy “%(rule)s” lets only certain people decide this."),
    "nothing_selected": N_("Select at least one request, then decide."),
    "no_linked_task": N_("There is no task to post a question on."),
    "own_request": N_("You made this request, so two other people must approve it."),
    "question_required": N_("Write what you want to know."),
    "second_approval_required": N_("One more person must approve this before the task is done."),
    "task_changed": N_("The task was changed after the approval."),
    "task_is_done": N_("This task is done already."),
    "too_late_to_undo": N_(
        "It is too late to undo this. The decision is final; make a new request instead."
    ),
    # Channels of notifications
    "channel_not_found": N_("You have no such channel."),
    "channel_url_invalid": N_("This is not an address that begins with http:// or https://."),
    "channel_url_invalid:password": N_("The address must not contain a name or a password."),
    "code_expired": N_("This code is not valid any more. Send another one."),
    "code_wrong": N_("This is not the code. Check the e-mail, and enter its six digits."),
    "delivery_not_failed": N_("Only a message that failed can be sent again."),
    "delivery_not_found": N_("There is no such message."),
    "mail_not_configured": N_("This installation has no mail server."),
    "ntfy_token_invalid": N_("An access token of ntfy begins with tk_."),
    "ntfy_topic_required": N_(
        "The address must end with the topic, as in https://ntfy.sh/my-topic."
    ),
    "push_subscription_invalid": N_("The browser has sent no valid subscription. Try again."),
    "telegram_chat_invalid": N_("The id of a chat is a number, or @ and the name of a channel."),
    "telegram_token_invalid": N_(
        "The token of a bot is a number, a colon and letters. Copy it from @BotFather."
    ),
    "too_many_channels": N_("You have %(max_count)s channels. Delete one first."),
    "address_forbidden": N_(
        "This address is in a private network. OUTBOUND_ALLOW_PRIVATE can allow it for the first"
        " organization of this installation."
    ),
    "address_never_allowed": N_(
        "Requests to this address are never allowed: it is link-local or reserved."
    ),
    "webhook_secret_invalid": N_(
        "A secret is whsec_ and 24 to 64 bytes in base64. Leave the field empty to create one."
    ),
    "webhook_secret_too_short": N_(
        "A secret has at least %(min_length)s characters. Leave the field empty to create one."
    ),
    # Policies
    "confidence_out_of_range": N_("Confidence must be more than 0 and at most 100."),
    "simulation_running": N_(
        "Another simulation of yours is still running. Try again in %(retry_after)s s."
    ),
    "duplicate_rule": N_("Each rule must have an id of its own."),
    "expiry_out_of_range": N_("Requests can expire after 1 minute to 90 days."),
    "kind_invalid": N_("A kind is a name such as deploy.site, or a beginning such as deploy.*"),
    "reference_unknown": N_("This is not part of your organization."),
    "risk_range_empty": N_("The highest risk must not be lower than the lowest."),
    "time_invalid": N_("A time is between 00:00 and 23:59."),
    "time_zone_unknown": N_("This is not a time zone. Use a name such as Europe/Vienna."),
    "too_many": N_("At most %(max_count)s values."),
    "too_many_rules": N_("A policy has at most %(max_count)s rules."),
    "two_deciders_required": N_("Two people must decide, so name at least two or none."),
    "weekday_invalid": N_("A weekday is 0 (Monday) to 6 (Sunday)."),
}
"""Texts by code, as in web/ui/error_texts.py."""
