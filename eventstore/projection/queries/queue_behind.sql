WITH held AS (
    SELECT k.stream_id, u.latest
    FROM read.parked AS k
    JOIN unnest($3::text[], $4::bigint[]) AS u (stream_id, latest) ON u.stream_id = k.stream_id
    WHERE k.projection = $1 AND k.generation = $2
    ORDER BY k.stream_id
    FOR UPDATE OF k
)
UPDATE read.parked AS k
SET latest = GREATEST(k.latest, held.latest)
FROM held
WHERE k.projection = $1 AND k.generation = $2 AND k.stream_id = held.stream_id
