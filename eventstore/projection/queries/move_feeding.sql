-- The lease too: a large page may take as long as one lasts.
UPDATE read.generations
SET cursor = $3, leased_until = clock_timestamp() + $4::interval
WHERE projection = $1 AND generation = $2
