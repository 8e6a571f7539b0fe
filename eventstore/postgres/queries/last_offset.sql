-- The greatest offset that is visible, from the end of the index.
SELECT coalesce((SELECT "offset" FROM log.events ORDER BY "offset" DESC LIMIT 1), 0)
