UPDATE read.applied AS a
SET version = u.version
FROM unnest($4::text[], $5::bigint[]) AS u (stream_id, version)
WHERE a.projection = $1 AND a.generation = $2 AND a.epoch = $3 AND a.stream_id = u.stream_id
