-- A new snapshot, how the log stands (standing.sql), and what became visible
-- between the old snapshot ($1) and it: transactions that had not begun at the
-- old one, and those that were under way. Never "all since the oldest that was
-- under way": one forgotten transaction would make every tick scan everything
-- since. Rows up to $2 are of former epochs; their transaction ids mean nothing.
WITH tick AS MATERIALIZED (
    SELECT pg_current_snapshot() AS new
), candidates AS (
    SELECT "offset"
    FROM log.events
    WHERE transaction_id >= pg_snapshot_xmax($1::pg_snapshot)
      AND transaction_id < (SELECT pg_snapshot_xmax(new) FROM tick)
      AND pg_visible_in_snapshot(transaction_id, (SELECT new FROM tick))
      AND "offset" > $2
    UNION ALL
    SELECT "offset"
    FROM log.events
    WHERE transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip($1::pg_snapshot)))
      AND pg_visible_in_snapshot(transaction_id, (SELECT new FROM tick))
      AND "offset" > $2
)
SELECT (SELECT new::text FROM tick),
       (SELECT id FROM log.lifetime), (SELECT max(epoch) FROM log.epochs), (SELECT event_id FROM log.events WHERE "offset" = $3),
       count(*), coalesce(min("offset"), 0), coalesce(max("offset"), 0)
FROM candidates
