"""Operations of users on their channels, and on questions of workers."""

from api.endpoints import channels, questions
from api.framework.dependencies import (
    active_membership,
    channel_for_read,
    channel_for_update,
    question_for_read,
)
from api.routes.declare import USER, Operation

CHANNELS = "/channels"
CHANNEL = f"{CHANNELS}/{{channel_id}}"
DELIVERIES = f"{CHANNEL}/deliveries"
QUESTION = "/questions/{question_id}"

OPERATIONS: list[Operation] = [
    *[
        Operation(method, path, handler, USER, ["channels"], dependency)
        for method, path, handler, dependency in [
            ("GET", CHANNELS, channels.list_channels, active_membership),
            ("POST", CHANNELS, channels.create_channel, active_membership),
            ("GET", CHANNEL, channels.get_channel, channel_for_read),
            ("PATCH", CHANNEL, channels.update_channel, channel_for_update),
            ("DELETE", CHANNEL, channels.delete_channel, channel_for_update),
            ("POST", f"{CHANNEL}/tests", channels.send_channel_test, channel_for_read),
            ("POST", f"{CHANNEL}/codes", channels.send_channel_code, channel_for_read),
            ("POST", f"{CHANNEL}/confirmations", channels.confirm_channel, channel_for_read),
            ("GET", DELIVERIES, channels.list_channel_deliveries, channel_for_read),
            (
                "POST",
                f"{DELIVERIES}/{{delivery_id}}/replays",
                channels.replay_channel_delivery,
                channel_for_update,
            ),
        ]
    ],
    *[
        Operation(method, path, handler, USER, ["questions"], dependency)
        for method, path, handler, dependency in [
            ("GET", "/questions", questions.list_questions, active_membership),
            ("GET", QUESTION, questions.get_question, question_for_read),
            ("POST", f"{QUESTION}/answer", questions.answer_question, question_for_read),
        ]
    ],
]
