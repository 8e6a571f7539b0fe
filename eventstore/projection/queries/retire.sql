-- The former generation goes when another one becomes former, also one that was
-- to return and comes too late.
UPDATE read.generations
SET state = 'dropping', worker = NULL, leased_until = NULL
WHERE projection = $1 AND generation <> $2 AND state IN ('former', 'returning')
