UPDATE read.operations
SET state = 'cancelled', finished_at = now()
WHERE projection = $1 AND generation = $2 AND state = 'running'
