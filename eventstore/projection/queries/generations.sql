SELECT generation, state, begun_at
FROM read.generations
WHERE projection = $1
ORDER BY generation
