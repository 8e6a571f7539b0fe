SELECT stream_id
FROM read.parked
WHERE projection = $1 AND generation = $2
ORDER BY parked_at, stream_id
