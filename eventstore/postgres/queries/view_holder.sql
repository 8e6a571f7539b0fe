SELECT stream_id
FROM log.reservations
WHERE kind = $1 AND hash = $2
