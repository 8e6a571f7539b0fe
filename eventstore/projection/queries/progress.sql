UPDATE read.operations
SET events_done = $3, events_left = $4, rate = $5
WHERE projection = $1 AND generation = $2 AND state = 'running'
