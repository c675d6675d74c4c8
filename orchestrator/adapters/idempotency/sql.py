"""The statements on idempotency keys. Each handles many keys, passed as one JSON document.

Several processes run them at the same time. A statement that waits for key rows locks them in one order (user, rpc, key by its bytes), so
that no two of them deadlock.
"""

CLAIM = """
INSERT INTO idempotency_keys AS k (user_id, rpc, key, body_hash, resource_id, expires_at)
SELECT t.user_id, t.rpc, t.key, t.body_hash, t.resource_id, clock_timestamp() + t.seconds * interval '1 second'
FROM json_to_recordset($1::json) AS t (user_id int, rpc text, key text, body_hash bytea, resource_id uuid, seconds float8)
ON CONFLICT (user_id, rpc, key) DO UPDATE
SET body_hash = excluded.body_hash, resource_id = excluded.resource_id, expires_at = excluded.expires_at, free = false
WHERE k.free OR k.expires_at <= clock_timestamp()
RETURNING k.resource_id
"""

HOLDERS = """
SELECT k.user_id, k.rpc, k.key, k.body_hash, k.resource_id FROM idempotency_keys k
JOIN json_to_recordset($1::json) AS t (user_id int, rpc text, key text) USING (user_id, rpc, key)
"""

FIND = """
SELECT resource_id, body_hash FROM idempotency_keys
WHERE user_id = $1 AND rpc = $2 AND key = $3 AND NOT free AND expires_at > clock_timestamp()
"""


def releasing(resource_ids: str, only_of: str = "") -> str:
    """Two CTEs that release the keys of these resources, an SQL expression for uuid[]; `only_of` is a query that narrows them further."""
    narrowed = f"AND resource_id IN ({only_of})" if only_of else ""
    return f"""
held_keys AS (
  SELECT user_id, rpc, key FROM idempotency_keys WHERE resource_id = ANY({resource_ids}) {narrowed}
  ORDER BY user_id, rpc, key COLLATE "C" FOR UPDATE
), released_keys AS (
  UPDATE idempotency_keys k SET free = true FROM held_keys h WHERE k.user_id = h.user_id AND k.rpc = h.rpc AND k.key = h.key
)
"""


RELEASE = f"WITH {releasing('$1::uuid[]')} SELECT"

DELETE_EXPIRED = """
WITH expired AS (
  SELECT user_id, rpc, key FROM idempotency_keys WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_keys k USING expired
WHERE k.user_id = expired.user_id AND k.rpc = expired.rpc AND k.key = expired.key
"""
