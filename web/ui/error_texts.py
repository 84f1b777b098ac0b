"""Texts of errors on pages, by their codes. The API shows the English message of the error."""

from collections.abc import Mapping

from core.errors import TRY_AGAIN, AppError, TooMany, fill_in
from web.ui.locale_format import format_number
from web.ui.translation import N_, _, translate

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

ERROR_TEXTS: Mapping[str, str] = {
    # Any form or request
    "bad_character": N_("This is one line of letters and signs."),
    "bad_character:password": N_("The password has a character that nobody can type. Take it out."),
    "bad_character:new": N_("The password has a character that nobody can type. Take it out."),
    "blank": N_("Fill this in."),
    "body_too_large": N_("This is too much at once: 2 MB at most."),
    "date_out_of_range": N_("Choose a year from %(first_year)s to %(last_year)s."),
    "email_invalid": N_("This is not an e-mail address."),
    "not_storable": N_("This is too large, or not valid JSON."),
    "form_in_progress": N_("This form is still being processed. Try again in a minute."),
    "nothing_to_change": N_("Change at least one thing."),
    "nothing_to_undo": N_("You have decided nothing here that can be undone."),
    "number_out_of_range": N_("Write a whole number from %(minimum)s to %(maximum)s."),
    "too_many_manual_messages": N_("Too many tests and repetitions were sent by hand."),
    "rate_limited": N_("Too many requests."),
    "request_timeout": N_("The request did not arrive completely in time."),
    "responses_not_read": N_("Too much of what you opened before is still being loaded."),
    "stale": N_("This was changed meanwhile. Look at it again, then change it."),
    "too_long": N_("This is too long: %(length)s characters, %(max_length)s at most."),
    "unavailable": N_("The database does not answer. Try again soon."),
    "unavailable:pool_busy": N_("The server has too much to do at the moment. Try again soon."),
    "unavailable:sign_in": N_("The sign-in service does not answer. Try again soon."),
    # Notifications, channels and templates
    "escalation_person_required": N_("Choose the second person, or leave the minutes empty."),
    "channel_not_confirmed": N_("Confirm the e-mail address of this channel first."),
    "template_custom_field_unknown": N_("This board has no custom field “%(key)s”."),
    "template_fields_invalid": N_(
        "Line %(line)s: write each field once, in a line of its own, as key: text."
    ),
    "template_fields_many": N_("A template sets at most %(max_count)s custom fields."),
    # Rights
    "admin_required": N_("Only an admin of the organization can do that."),
    "admin_required:board": N_("Only an admin who may change this board can do that."),
    "admin_required:group": N_("Only an admin can change this group."),
    "admin_required:lead": N_(
        "This board has no lead, and only an admin creates one. Ask an admin to confirm."
    ),
    "board_read_forbidden": N_("You may not read this board."),
    "board_write_forbidden": N_("You may read this board, but not change it."),
    "installation_owner_required": N_(
        "Only an owner of the first organization can read the audit of the installation."
    ),
    "membership_ended": N_("You do not belong to an organization any more. Reload the page."),
    "organization_stopped": N_("All agents are stopped. Wait until a person resumes them."),
    "owner_required": N_("Only an owner of the organization can do that."),
    # Accounts, sessions and tokens
    "account_not_connected": N_(
        "An account with this e-mail address signs in with a password. Sign in with it once, in"
        " this browser, and the two are connected."
    ),
    "api_token_not_found": N_("You have no such token."),
    "email_taken": N_("There is an account with this e-mail address. Sign in with it."),
    "email_taken:first_run": N_("Somebody else has this e-mail address."),
    "first_run_over": N_("This link has been used, or a newer one has been made."),
    "first_run_pending": N_(
        "Nobody has signed in yet. The first owner uses the link that the server prints."
    ),
    "password_link_over": N_(
        "This link was used or replaced, has expired, or a part of it is missing."
    ),
    "password_too_common:email": N_(
        "The password contains the name in your e-mail address. Choose another one."
    ),
    "password_too_common:product": N_(
        "The password contains the name of this product. Choose another one."
    ),
    "password_too_common:repeated": N_(
        "The password repeats the same characters. Choose another one."
    ),
    "password_too_common:sequence": N_(
        "The password is a sequence of characters. Choose another one."
    ),
    "password_too_long": N_("A password has at most %(max_length)s characters."),
    "password_too_short": N_("A password has at least %(min_length)s characters."),
    "sign_in_elsewhere": N_(
        "This sign-in was begun in another browser, or at another address. Start again."
    ),
    "sign_in_expired": N_("That took too long. Start again."),
    "sign_in_not_proven": N_("The sign-in could not be confirmed. Start again."),
    "sign_in_not_recent": N_(
        "Your provider did not confirm that you have just signed in again. Sign out there and try"
        " again, or use your password."
    ),
    "sign_in_unknown": N_("This sign-in is not known here. Start again."),
    "sign_in_used": N_("This sign-in has been used already. Start again."),
    "session_not_found": N_("You have no such session."),
    "session_not_found:gateway": N_("The gateway has no such session."),
    "token_lifetime_invalid": N_("Choose one of the lifetimes that are offered."),
    "too_many_tokens": N_("You have %(max_count)s tokens. Revoke one before you create another."),
    "wrong_credentials": N_("The e-mail address or the password is not right."),
    "wrong_password": N_("This is not your password."),
    # People and organizations
    "already_member": N_("Somebody with this address is a member already."),
    "board_named_twice": N_("Name each board once."),
    "invalid_board_ids": N_("There are no such boards in this organization."),
    "invite_for_another": N_("This invitation is for another e-mail address than yours."),
    "invite_not_found": N_(
        "This invitation was withdrawn or replaced, or a part of its link is missing."
    ),
    "invite_not_found:used": N_("This invitation was used."),
    "invite_not_found:expired": N_("This invitation has expired. Ask for a new one."),
    "invite_not_found:ended": N_(
        "The person who sent this invitation may not invite you any more. Ask for a new one."
    ),
    "last_owner": N_("An organization has at least one owner. Make somebody else an owner first."),
    "member_not_found": N_("There is no such member."),
    "only_owners_appoint_admins": N_("In this organization only owners appoint admins."),
    "organization_name_taken": N_("You already belong to an organization of this name."),
    "organization_not_found": N_("You belong to no such organization."),
    "role_above_own": N_("You cannot assign a role above yours."),
    "self_removal": N_("You cannot remove yourself. Another admin can do it."),
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
    "tag_slug_taken": N_("Another tag has this slug. Choose another one."),
    # Custom fields
    "board_not_found:board_ids": N_("Some of these boards no longer exist."),
    "custom_field_in_use": N_("Tasks have values for this field. Clear them first."),
    "custom_field_key_taken": N_("Another field has this key. Choose another one."),
    "custom_field_not_found": N_("There is no such field."),
    "custom_field_values_unfit": N_(
        "Values of tasks would no longer be valid. Change or clear them first."
    ),
    "regex_invalid": N_("This is not a regular expression of the RE2 syntax."),
    "regex_not_for_type": N_("Only texts, dates and URLs can have a validation pattern."),
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
    "simulation_running": N_("Another simulation of yours is still running."),
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
    # Skills and packs
    "gateway_agent_missing": N_("This gateway has no agent that could do it."),
    "pack_url_invalid": N_(
        "Enter a repository, such as https://github.com/owner/name, or an https address of an"
        " archive that ends with .zip or .tar.gz."
    ),
    "skill_folder_taken": N_(
        "The skill “%(name)s” has the folder %(folder)s on this gateway. Remove it first."
    ),
    "skill_not_found": N_("There is no such skill."),
    "skill_pack_exists": N_("Another pack has that address."),
    "skill_pack_not_found": N_("There is no such skill pack."),
    "skill_pack_uploaded": N_("This pack was uploaded. Upload a new archive to update it."),
    "skill_url_invalid": N_(
        "Enter an address that begins with https:// or http://, without a name or a password."
    ),
    "skill_url_invalid:too_long": N_("The address is too long."),
    "skill_files_too_large": N_(
        "The files of all skills have at most %(max_size)s MB. Delete skills that you do not need."
    ),
    "too_many_skills": N_(
        "An organization has at most %(max_count)s skills. Delete skills that you do not need."
    ),
    "too_many_skill_packs": N_("An organization has at most %(max_count)s skill packs."),
    "skill_archive_invalid": N_("The archive cannot be used: %(path)s"),
    "skill_archive_invalid:unreadable": N_("The archive is damaged."),
    "skill_archive_invalid:unknown_format": N_("This is no .zip or .tar.gz that can be read."),
    "skill_archive_invalid:no_skills": N_("There is no skill in the archive."),
    "skill_archive_invalid:too_large": N_("The archive is too large."),
    "skill_archive_invalid:too_large_unpacked": N_("The archive is too large when unpacked."),
    "skill_archive_invalid:too_many_entries": N_("The archive has too many files."),
    "skill_archive_invalid:header_too_large": N_("The archive is damaged."),
    "skill_archive_invalid:path": N_("A path in the archive is not allowed: %(path)s"),
    "skill_archive_invalid:duplicate": N_("A path appears twice in the archive: %(path)s"),
    "skill_archive_invalid:device": N_("There is a device in the archive: %(path)s"),
    "skill_archive_invalid:encrypted": N_("The archive is encrypted."),
    "skill_pack_unavailable": N_(
        "The archive cannot be downloaded. Check the address and the branch, and try again."
    ),
    "skill_pack_unavailable:not_found": N_(
        "There is no such archive. Check the address and the branch."
    ),
    "skill_pack_unavailable:address_forbidden": N_(
        "The address is in a private network, where this server sends nothing. An operator can"
        " allow it with OUTBOUND_ALLOW_PRIVATE."
    ),
    "skill_pack_unavailable:dns": N_("The host name is unknown. Check the address."),
    "skill_pack_unavailable:timeout": N_("The download took too long. Try again."),
    "skill_pack_unavailable:too_large": N_("The archive is too large."),
}
"""Texts by code, or by "code:variant": the cause, the reason, the status or the field."""


OTHER_RULE = N_("A rule of the board does not allow it.")


def describe_error(error: AppError) -> str:
    """Return the text of an error in the reader's language."""
    of_details = (error.details.get(name) for name in ("reason", "status"))
    variants = (error.cause, *of_details, error.field)
    keys = [*(f"{error.code}:{variant}" for variant in variants if variant), error.code]
    text = next((ERROR_TEXTS[key] for key in keys if key in ERROR_TEXTS), error.text)
    described = fill_in(translate(text), error.details, _format_value)
    if isinstance(error, TooMany):
        described += " " + fill_in(translate(TRY_AGAIN), {"seconds": error.retry_after})
    return described


def describe_error_code(code: str) -> str:
    """Return the text of an error of which only the code is known."""
    return _(ERROR_TEXTS.get(code, OTHER_RULE))


def _format_value(value: object) -> str:
    return format_number(value) if isinstance(value, int | float) else str(value)
