UPDATE read.generations SET epoch = $4
WHERE projection = $1 AND generation = $2 AND worker = $3 AND epoch = 0
