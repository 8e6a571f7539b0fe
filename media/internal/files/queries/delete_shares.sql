-- OFFSET 0 for the reason that update_public.sql tells.
DELETE FROM read.shares AS s
USING (
    SELECT $1::bigint AS generation, u.file_id, u.user_id
    FROM json_to_recordset($2::json) AS u (file_id uuid, user_id uuid)
    OFFSET 0
) AS u
WHERE s.generation = u.generation AND s.file_id = u.file_id AND s.user_id = u.user_id
