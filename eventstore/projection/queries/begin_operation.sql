INSERT INTO read.operations AS o
    (projection, generation, kind, state, started_at, started_by, events_done, events_left, rate, problem)
VALUES ($1, $2, $3, 'running', now(), $4, 0, 0, 0, '')
ON CONFLICT (projection) DO UPDATE
SET generation = excluded.generation, kind = excluded.kind, state = excluded.state, started_at = excluded.started_at,
    started_by = excluded.started_by, finished_at = NULL, events_done = 0, events_left = 0, rate = 0, problem = '',
    verification = NULL
WHERE o.state <> 'running'
RETURNING projection, generation, kind, state, started_at, started_by, finished_at, events_done, events_left, rate, problem, verification
