-- A new snapshot, the lifetime that it belongs to, and the last offset that it sees.
SELECT pg_current_snapshot()::text, (SELECT id FROM log.lifetime),
       coalesce((SELECT "offset" FROM log.events ORDER BY "offset" DESC LIMIT 1), 0)
