SELECT a.stream_id, a.version, k.stream_id IS NOT NULL
FROM read.applied AS a
LEFT JOIN read.parked AS k
    ON k.projection = a.projection AND k.generation = a.generation AND k.stream_id = a.stream_id
WHERE a.projection = $1 AND a.generation = $2 AND a.epoch = $3 AND a.stream_id = ANY ($4::text[])
