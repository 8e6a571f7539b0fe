-- The former generation goes when another one becomes former.
UPDATE read.generations
SET state = 'dropping', worker = NULL, leased_until = NULL
WHERE projection = $1 AND state = 'former'
