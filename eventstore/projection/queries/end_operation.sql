UPDATE read.operations
SET state = $3, finished_at = now(), events_left = 0, problem = $4, verification = $5
WHERE projection = $1 AND generation = $2 AND state = 'running'
