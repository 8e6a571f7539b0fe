-- The transactions that are writing to the log: whoever is given an offset holds
-- this lock until its end. $1: of these only; NULL for all.
SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}')
FROM pg_catalog.pg_locks
WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND relation = 'log.events'::regclass
  AND ($1::text[] IS NULL OR virtualtransaction = ANY ($1::text[]))
