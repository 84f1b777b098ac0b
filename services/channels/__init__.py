"""Channels on which users are reached outside the pages: e-mail, web push, chats and webhooks."""

from services.channels.configurations import (
    ChannelCreate,
    ChannelForm,
    ChannelUpdate,
    ConfigValue,
)
from services.channels.mail import MailError, open_mail_connection
from services.channels.messages import ChannelMessage, ChannelState, MailContent
from services.channels.sender import ChannelSender
from services.channels.sent_messages import (
    ManualMessages,
    delete_old_tests,
    list_sent_messages,
    record_test,
    send_again,
)
from services.channels.store import (
    ChannelDetail,
    check_receiver,
    confirm_channel,
    create_channel,
    create_code,
    decrypt_config,
    delete_channel,
    get_channel,
    list_channels,
    lock_channel,
    renew_subscription,
    update_channel,
)
