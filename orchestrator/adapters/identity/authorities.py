"""Who may act now, from PostgreSQL; remembered for half a second."""

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from mesh.clock import SYSTEM_CLOCK, Clock
from mesh.security.caller import Role
from orchestrator.adapters.identity.rows import user as user_of
from orchestrator.adapters.identity.tables import api_keys, users
from orchestrator.adapters.postgres.engine import unavailable
from orchestrator.identity.model import Authority, Loss, Principal, User

REMEMBERED_SECONDS = 0.5
"""Half of what the port promises: the rest is for the query and for the work that relies on the answer."""
REMEMBERED = 20_000


class PostgresAuthorities:
    """Implements the port `Authorities`. All principals that are not remembered are read by one connection in two statements."""

    def __init__(self, engine: AsyncEngine, seconds: float = REMEMBERED_SECONDS, clock: Clock = SYSTEM_CLOCK) -> None:
        self._now = clock.monotonic
        self._engine = engine
        self._seconds = seconds
        self._known: dict[Principal, tuple[float, Authority]] = {}

    async def of(self, principals: Collection[Principal]) -> Mapping[Principal, Authority]:
        """The authority of each principal; see the port."""
        asked = self._now()
        found = {one: known[1] for one in principals if (known := self._known.get(one)) is not None and known[0] > asked}
        missing = [one for one in dict.fromkeys(principals) if one not in found]
        if not missing:
            return found
        read = await self._read(missing)
        if len(self._known) + len(read) > REMEMBERED:
            self._known.clear()
        self._known |= {one: (asked + self._seconds, authority) for one, authority in read.items()}
        return found | read

    async def _read(self, principals: Collection[Principal]) -> dict[Principal, Authority]:
        of_users = select(users).where(users.c.id.in_({one.user_id for one in principals}))
        keys = {one.api_key_id for one in principals if one.api_key_id is not None}
        of_keys = select(api_keys.c.api_key_id, api_keys.c.user_id)
        of_keys = of_keys.where(api_keys.c.api_key_id.in_(keys), api_keys.c.revoked_at.is_(None))
        with unavailable():
            async with self._engine.connect() as connection:
                known = {row["id"]: user_of(row) for row in (await connection.execute(of_users)).mappings()}
                good = {Principal(row.user_id, row.api_key_id) for row in await connection.execute(of_keys)} if keys else set()
        return {one: _authority(known.get(one.user_id), key_is_good=one.api_key_id is None or one in good) for one in principals}


def _authority(user: User | None, *, key_is_good: bool) -> Authority:
    if user is None:
        return Authority("", Role.USER, Loss.USER_DELETED)
    loss = Loss.USER_DISABLED if user.disabled_at is not None else None if key_is_good else Loss.API_KEY_REVOKED
    return Authority(user.username, user.role, loss)
