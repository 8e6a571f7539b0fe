-- OFFSET 0 hides the projection from the planner. Of a table that was never
-- analyzed it expects one row a projection, and reads all of them for each batch.
UPDATE read.applied AS a
SET version = u.version
FROM (
    SELECT $1::text AS projection, $2::bigint AS generation, $3::bigint AS epoch, s.stream_id, s.version
    FROM unnest($4::text[], $5::bigint[]) AS s (stream_id, version)
    OFFSET 0
) AS u
WHERE a.stream_id = u.stream_id AND a.projection = u.projection AND a.generation = u.generation AND a.epoch = u.epoch
