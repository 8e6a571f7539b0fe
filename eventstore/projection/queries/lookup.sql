-- At least one row, so that generation and epoch are known without a stream too.
-- A stream that is parked has a row of its own in applied.
SELECT p.incarnation, p.generation, p.epoch, a.stream_id, a.version, k.stream_id IS NOT NULL
FROM read.projections AS p
LEFT JOIN read.applied AS a
    ON a.projection = p.name AND a.generation = p.generation AND a.epoch = p.epoch AND a.stream_id = ANY ($2::text[])
LEFT JOIN read.parked AS k
    ON k.projection = a.projection AND k.generation = a.generation AND k.stream_id = a.stream_id
WHERE p.name = $1
