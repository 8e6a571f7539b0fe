UPDATE read.generations
SET worker = $3, leased_until = now() + $4::interval
WHERE projection = $1 AND generation = $2 AND state <> 'serving' AND (leased_until IS NULL OR leased_until <= now())
RETURNING state, epoch, cursor
