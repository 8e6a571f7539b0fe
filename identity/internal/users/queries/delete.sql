DELETE FROM read.users WHERE generation = $1 AND user_id = ANY ($2::uuid[])
