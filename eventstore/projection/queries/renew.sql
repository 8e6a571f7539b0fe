UPDATE read.generations
SET leased_until = now() + $4::interval
WHERE projection = $1 AND generation = $2 AND worker = $3
RETURNING state
