-- Streams that wait at an event which another generation holds.
SELECT n.stream_id, n.version, n.problem, count(*) OVER ()
FROM read.parked AS n
JOIN read.applied AS o ON o.stream_id = n.stream_id AND o.projection = n.projection AND o.generation = $3 AND o.version >= n.version
WHERE n.projection = $1 AND n.generation = $2
ORDER BY n.parked_at, n.stream_id
LIMIT 1
