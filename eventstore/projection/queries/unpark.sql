DELETE FROM read.parked WHERE projection = $1 AND generation = $2 AND stream_id = $3
