-- At least one row, so that generation and epoch are known without a stream too.
SELECT p.generation, p.epoch, a.stream_id, a.version
FROM read.projections AS p
LEFT JOIN read.applied AS a
    ON a.projection = p.name AND a.generation = p.generation AND a.epoch = p.epoch AND a.stream_id = ANY ($2::text[])
WHERE p.name = $1
