"""The statements of the relay. Writes are fenced: they change nothing once another relay has begun its term."""

ELECT = "SELECT pg_try_advisory_lock($1)"

BEGIN_TERM = "UPDATE event_relay SET epoch = epoch + 1 RETURNING epoch, published_position"

# A deposed relay finds no head. If its statement began before the next term, it holds the row lock until it commits, and the next term
# begins after that. So no position is assigned twice and none is skipped.
STAMP = """
WITH head AS (
  SELECT last_position FROM event_relay WHERE epoch = $1 FOR UPDATE
), fresh AS (
  SELECT id, row_number() OVER (ORDER BY id) AS place
  FROM (SELECT id FROM outbox WHERE position IS NULL ORDER BY id LIMIT $2) AS oldest
), stamped AS (
  UPDATE outbox o SET position = head.last_position + fresh.place FROM head, fresh WHERE o.id = fresh.id RETURNING o.position
), moved AS (
  UPDATE event_relay SET last_position = (SELECT max(position) FROM stamped) WHERE EXISTS (SELECT FROM stamped)
)
SELECT EXISTS (SELECT FROM head) AS leads, (SELECT count(*) FROM stamped) AS stamped
"""

UNPUBLISHED = """
SELECT position, event_id, event_type, aggregate_id, occurred_at, source, data, metadata, user_id
FROM outbox WHERE position > $1 ORDER BY position LIMIT $2
"""

MARK_PUBLISHED = "UPDATE event_relay SET published_position = $2 WHERE epoch = $1 AND published_position < $2 RETURNING true"

# Deletes from the old end of the log, up to what analytics has counted. This statement and the next use SQLAlchemy's parameters.
DELETE_EXPIRED = """
WITH oldest AS (
  SELECT id, occurred_at FROM outbox
  WHERE position IS NOT NULL AND position <= (SELECT CASE WHEN :publishing THEN published_position ELSE last_position END FROM event_relay)
    AND position <= (SELECT position FROM usage_cursor)
  ORDER BY position LIMIT :most
)
DELETE FROM outbox o USING oldest WHERE o.id = oldest.id AND oldest.occurred_at < clock_timestamp() - :days * interval '1 day'
"""

LAG = """
SELECT r.last_position - r.published_position AS unpublished,
  coalesce((SELECT extract(epoch FROM clock_timestamp() - occurred_at) FROM outbox
            WHERE position > r.published_position ORDER BY position LIMIT 1), 0)::float8 AS unpublished_seconds,
  u.events AS unstamped, u.seconds AS unstamped_seconds
FROM event_relay r, (
  SELECT count(*) AS events, coalesce(extract(epoch FROM clock_timestamp() - min(occurred_at)), 0)::float8 AS seconds
  FROM outbox WHERE position IS NULL
) AS u
"""
