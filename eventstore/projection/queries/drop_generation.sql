-- Only by whoever has the lease, which ends with it.
UPDATE read.generations
SET state = 'dropping', worker = NULL, leased_until = NULL
WHERE projection = $1 AND generation = $2 AND worker = $3 AND state <> 'serving'
