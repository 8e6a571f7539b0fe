-- A new snapshot, the lifetime and the epoch that it belongs to, and the last
-- offset that it sees.
SELECT pg_current_snapshot()::text, (SELECT id FROM log.lifetime), (SELECT max(epoch) FROM log.epochs),
       coalesce((SELECT "offset" FROM log.events ORDER BY "offset" DESC LIMIT 1), 0)
