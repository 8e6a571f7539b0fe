UPDATE read.generations
SET state = 'dropping', worker = NULL, leased_until = NULL
WHERE projection = $1 AND state IN ('former', 'returning') AND $2::bigint IN (0, generation)
RETURNING generation
