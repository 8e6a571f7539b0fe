SELECT stream_id FROM read.parked WHERE projection = $1 AND generation = $2 AND stream_id = ANY ($3::text[])
