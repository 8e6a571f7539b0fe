SELECT events_done, events_left
FROM read.operations
WHERE projection = $1 AND generation = $2 AND state = 'running'
