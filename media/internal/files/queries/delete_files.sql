DELETE FROM read.files WHERE generation = $1 AND file_id = ANY ($2::uuid[])
