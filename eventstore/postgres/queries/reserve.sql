-- Gives back the names that the streams hold now; one that is missing is held
-- by another stream. In the order of the names, so that two commands that want
-- the same ones wait for one another instead of locking up.
INSERT INTO log.reservations AS held (kind, hash, key_id, stream_id)
SELECT wanted.kind, wanted.hash, wanted.key_id, wanted.stream_id
FROM unnest($1::text[], $2::bytea[], $3::text[], $4::text[]) AS wanted (kind, hash, key_id, stream_id)
ORDER BY wanted.kind, wanted.hash
ON CONFLICT ON CONSTRAINT reservations_name_has_one_holder DO UPDATE
SET key_id = excluded.key_id
WHERE held.stream_id = excluded.stream_id
RETURNING kind, hash
