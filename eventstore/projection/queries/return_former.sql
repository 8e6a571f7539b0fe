-- While an operation is under way there may be two that want to serve.
UPDATE read.generations
SET state = 'returning'
WHERE projection = $1 AND state IN ('former', 'returning') AND $2::bigint IN (0, generation)
    AND NOT EXISTS (SELECT FROM read.operations AS o WHERE o.projection = $1 AND o.state = 'running')
RETURNING generation
