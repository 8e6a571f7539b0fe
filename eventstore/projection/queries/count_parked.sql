SELECT p.incarnation, p.generation, count(k.stream_id), min(k.parked_at)
FROM read.projections AS p
LEFT JOIN read.parked AS k ON k.projection = p.name AND k.generation = p.generation
WHERE p.name = $1
GROUP BY p.incarnation, p.generation
