-- One process feeds a generation that does not serve, so nobody is locked out.
INSERT INTO read.applied AS a (projection, generation, stream_id, epoch, version)
SELECT $1, $2, u.stream_id, $3, u.version
FROM unnest($4::text[], $5::bigint[]) AS u (stream_id, version)
ON CONFLICT (stream_id, projection, generation) DO UPDATE
SET version = excluded.version, epoch = excluded.epoch
WHERE a.version < excluded.version OR a.epoch < excluded.epoch
