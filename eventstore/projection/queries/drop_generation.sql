-- Whoever fed it finds its lease gone.
UPDATE read.generations
SET state = 'dropping', worker = NULL, leased_until = NULL
WHERE projection = $1 AND generation = $2 AND state <> 'serving'
