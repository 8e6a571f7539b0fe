-- Streams that wait in one generation and not in another.
SELECT n.stream_id, n.version, n.problem, count(*) OVER ()
FROM read.parked AS n
LEFT JOIN read.parked AS o ON o.stream_id = n.stream_id AND o.projection = n.projection AND o.generation = $3
WHERE n.projection = $1 AND n.generation = $2 AND o.stream_id IS NULL
ORDER BY n.parked_at, n.stream_id
LIMIT 1
