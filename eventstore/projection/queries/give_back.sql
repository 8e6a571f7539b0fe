UPDATE read.generations
SET worker = NULL, leased_until = NULL
WHERE projection = $1 AND generation = $2 AND worker = $3
