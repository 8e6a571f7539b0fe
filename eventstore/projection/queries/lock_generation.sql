SELECT state, epoch FROM read.generations
WHERE projection = $1 AND generation = $2 AND worker = $3
FOR UPDATE
