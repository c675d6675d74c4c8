"""What the world is told of users (lld.md 6.2)."""

from orchestrator.identity.model import Origin, User, UserEvent


def user_registered(user: User, origin: Origin) -> UserEvent:
    """`user.registered`."""
    return UserEvent("user.registered", user.user_id, {"user_id": user.user_id, "username": user.username}, origin.request_id)


def user_logged_in(user: User, origin: Origin) -> UserEvent:
    """`user.logged_in`."""
    data = {"user_id": user.user_id, "username": user.username, "ip_address": origin.ip}
    return UserEvent("user.logged_in", user.user_id, data, origin.request_id)
