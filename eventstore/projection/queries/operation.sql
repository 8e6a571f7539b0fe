SELECT projection, generation, kind, state, started_at, started_by, finished_at, events_done, events_left, rate, problem, verification
FROM read.operations
WHERE projection = $1
