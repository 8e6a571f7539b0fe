SELECT k.generation, k.stream_id, k.version, k.event_id, k.type, k.occurred_at, k.parked_at, k.latest - k.version + 1, k.attempts, k.problem
FROM read.projections AS p
JOIN read.parked AS k ON k.projection = p.name AND k.generation = p.generation
WHERE p.name = $1 AND ($2 = '' OR k.stream_id = $2)
ORDER BY k.parked_at, k.stream_id
LIMIT $3
