-- UserErased ends a stream, so a look at its last event tells.
INSERT INTO read.avatars AS a (generation, user_id, avatar_id, version)
SELECT $1, c.user_id, c.avatar_id, c.version
FROM jsonb_to_recordset($2::jsonb) AS c (user_id uuid, stream text, avatar_id uuid, version bigint)
WHERE $3::text IS DISTINCT FROM (
    SELECT e.type
    FROM log.events AS e
    WHERE e.stream_id = c.stream
    ORDER BY e.stream_version DESC
    LIMIT 1
)
ON CONFLICT ON CONSTRAINT avatars_one_a_person DO UPDATE
SET avatar_id = excluded.avatar_id, version = excluded.version
WHERE a.version < excluded.version
