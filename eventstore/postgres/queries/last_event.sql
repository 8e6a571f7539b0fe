SELECT "offset", occurred_at
FROM log.events
ORDER BY "offset" DESC
LIMIT 1
