UPDATE read.generations SET state = 'former', worker = NULL, leased_until = NULL
WHERE projection = $1 AND state = 'serving'
