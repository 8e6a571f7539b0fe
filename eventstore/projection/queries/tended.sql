SELECT generation
FROM read.generations
WHERE projection = $1 AND state <> 'serving' AND (leased_until IS NULL OR leased_until <= now())
ORDER BY generation
