DELETE FROM read.avatars WHERE generation = $1 AND user_id = ANY ($2::uuid[])
