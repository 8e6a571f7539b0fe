-- In every generation, also in one that is being made.
DELETE FROM read.avatars WHERE user_id = ANY ($1::uuid[])
