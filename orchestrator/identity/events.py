"""The events about users."""

from orchestrator.identity.model import Origin, User, UserEvent


def user_registered(user: User, origin: Origin) -> UserEvent:
    return UserEvent("user.registered", user.user_id, {"user_id": user.user_id, "username": user.username}, origin.request_id)


def user_logged_in(user: User, origin: Origin) -> UserEvent:
    data = {"user_id": user.user_id, "username": user.username, "ip_address": origin.ip}
    return UserEvent("user.logged_in", user.user_id, data, origin.request_id)
