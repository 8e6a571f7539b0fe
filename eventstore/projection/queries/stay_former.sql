UPDATE read.generations SET state = 'former'
WHERE projection = $1 AND generation = $2 AND state = 'returning'
RETURNING generation
