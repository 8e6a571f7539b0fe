-- Along the key, from where the last part ended, so that none looks at what
-- another has deleted.
WITH part AS (
    SELECT a.stream_id
    FROM read.applied AS a
    WHERE a.stream_id > $3 AND a.projection = $1 AND a.generation = $2
    ORDER BY a.stream_id
    LIMIT $4
), gone AS (
    DELETE FROM read.applied AS a
    USING part
    WHERE a.stream_id = part.stream_id AND a.projection = $1 AND a.generation = $2
)
SELECT COALESCE(max(part.stream_id), '') FROM part
