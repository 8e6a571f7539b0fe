SELECT stream_id, version
FROM read.applied
WHERE projection = $1 AND generation = $2 AND epoch = $3 AND stream_id = ANY ($4::text[])
ORDER BY stream_id
FOR UPDATE
