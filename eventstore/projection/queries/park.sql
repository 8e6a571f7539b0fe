INSERT INTO read.parked AS k
    (projection, generation, stream_id, version, event_id, type, occurred_at, parked_at, latest, attempts, problem)
VALUES ($1, $2, $3, $4, $5, $6, $7, now(), $8, $9, $10)
ON CONFLICT (stream_id, projection, generation) DO UPDATE
SET version = excluded.version, event_id = excluded.event_id, type = excluded.type, occurred_at = excluded.occurred_at,
    latest = GREATEST(k.latest, excluded.latest), problem = excluded.problem,
    attempts = excluded.attempts + CASE WHEN k.version = excluded.version THEN k.attempts ELSE 0 END,
    parked_at = CASE WHEN k.version = excluded.version THEN k.parked_at ELSE excluded.parked_at END
