"""The statements that read the queue of steps: a claim, and the age of the queue.

Steps wait user by user in the index `ix_steps_ready_of_user`. A claim skips through it from one user to the next and costs O(log n) for
each user it visits, however many steps wait.
"""

from orchestrator.adapters.workflows.sql import RUN_COLUMNS

MOST_VISITS = 1000
"""The users that one claim visits. The next claim begins with the users after them."""

SESSION = {"enable_seqscan": "off", "enable_sort": "off"}
"""Connections that claim use generic plans. A plan made while `steps` is small would sort a sequential scan for every user: 1.9 s with
100,000 steps, until the next ANALYZE. With these settings the plan uses the index from the beginning."""

# Weighted round robin over the users who have steps that are due, beginning after $2.
# $1 free slots · $3 most steps in flight per user · $4 most per user in this worker · $5 this worker · $6 users without tokens.
# Users without room are visited but do not count as a place in the round, because they must not use up the turns of the others.
# SKIP LOCKED never waits, so the order in which runs are locked does not matter. The commit is asynchronous: the intent of the step's
# call is flushed before anything is bought, and it comes later in the same write-ahead log.
CLAIM = f"""
WITH RECURSIVE turn AS (
  SELECT $2::int AS user_id, 0 AS place, 0 AS visit, 0 AS room
  UNION ALL
  SELECT next.user_id, t.place + (free.room > 0)::int, t.visit + 1, free.room
  FROM turn t CROSS JOIN LATERAL (
    (SELECT s.user_id FROM steps s WHERE s.status = 'ready' AND s.next_attempt_at <= now() AND s.user_id > t.user_id
     ORDER BY s.user_id LIMIT 1)
    UNION ALL
    (SELECT s.user_id FROM steps s WHERE s.status = 'ready' AND s.next_attempt_at <= now() ORDER BY s.user_id LIMIT 1)
    LIMIT 1
  ) AS next CROSS JOIN LATERAL (
    SELECT CASE WHEN next.user_id = ANY($6::int[]) THEN -1
      ELSE greatest(0, least($3::int - count(*), $4::int - count(*) FILTER (WHERE q.owner = $5)))::int END AS room
    FROM steps q WHERE q.status = 'running' AND q.user_id = next.user_id
  ) AS free
  WHERE t.place < $1 AND t.visit < {MOST_VISITS}
) CYCLE user_id SET again USING path,
visited AS MATERIALIZED (SELECT * FROM turn WHERE visit > 0 AND (NOT again OR user_id = $2)),
share AS MATERIALIZED (
  SELECT v.user_id, v.visit, w.weight, least(v.room, w.weight * ceil($1 / sum(w.weight) OVER ()))::int AS most
  FROM visited v CROSS JOIN LATERAL (SELECT coalesce(max(u.weight), 1)::float8 AS weight FROM users u WHERE u.id = v.user_id) AS w
  WHERE v.room > 0
),
round AS MATERIALIZED (
  SELECT coalesce(bool_or(room >= 0 AND room < $1), false) AS limited,
    count(*) AS visits, (array_agg(user_id ORDER BY visit DESC))[1] AS last_visited
  FROM visited
)
SELECT round.*, claimed.*, set_config('synchronous_commit', 'off', true)
FROM round LEFT JOIN LATERAL (
  SELECT x.*, share.weight FROM share CROSS JOIN LATERAL (
    SELECT {RUN_COLUMNS}, s.task_id FROM steps s JOIN runs r USING (run_id)
    WHERE s.user_id = share.user_id AND s.status = 'ready' AND s.next_attempt_at <= now()
    ORDER BY s.next_attempt_at LIMIT share.most FOR NO KEY UPDATE OF r SKIP LOCKED
  ) AS x
  ORDER BY share.visit LIMIT $1
) AS claimed ON true
"""

QUEUE_AGE = f"""
WITH RECURSIVE head AS (
  (SELECT s.user_id, s.next_attempt_at FROM steps s WHERE s.status = 'ready' ORDER BY s.user_id, s.next_attempt_at LIMIT 1)
  UNION ALL
  SELECT next.* FROM head h CROSS JOIN LATERAL (
    SELECT s.user_id, s.next_attempt_at FROM steps s WHERE s.status = 'ready' AND s.user_id > h.user_id
    ORDER BY s.user_id, s.next_attempt_at LIMIT 1
  ) AS next
)
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(h.next_attempt_at)), 0)::float8 AS age
FROM (SELECT * FROM head LIMIT {MOST_VISITS}) AS h WHERE h.next_attempt_at <= clock_timestamp()
"""
