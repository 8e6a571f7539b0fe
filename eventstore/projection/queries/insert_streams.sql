-- In the order of the streams, as every lock on them is taken.
INSERT INTO read.applied (projection, generation, stream_id, epoch, version)
SELECT $1, $2, s.stream_id, $3, 0
FROM unnest($4::text[]) AS s (stream_id)
ORDER BY s.stream_id
ON CONFLICT (stream_id, projection, generation) DO NOTHING
