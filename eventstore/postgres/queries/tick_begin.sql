-- A new snapshot, and the last offset that it sees.
SELECT pg_is_in_recovery(), pg_current_snapshot()::text,
       coalesce((SELECT "offset" FROM log.events ORDER BY "offset" DESC LIMIT 1), 0)
