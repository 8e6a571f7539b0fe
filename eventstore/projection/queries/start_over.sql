UPDATE read.operations
SET generation = $3, events_done = 0, events_left = 0, rate = 0
WHERE projection = $1 AND generation = $2 AND state = 'running'
