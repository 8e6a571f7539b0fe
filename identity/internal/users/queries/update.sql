-- What is null stays as it is. OFFSET 0 hides the generation from the planner: of
-- one that it has no statistics of yet it expects a single row, and would read the
-- whole of it for each batch.
UPDATE read.users AS u
SET username = COALESCE(c.username, u.username),
    email = COALESCE(c.email, u.email),
    first_name = COALESCE(c.first_name, u.first_name),
    last_name = COALESCE(c.last_name, u.last_name),
    first_name_key = COALESCE(c.first_name_key, u.first_name_key),
    last_name_key = COALESCE(c.last_name_key, u.last_name_key),
    roles = COALESCE(c.roles, u.roles),
    active = COALESCE(c.active, u.active),
    updated_at = c.updated_at,
    version = c.version
FROM (
    SELECT $1::bigint AS generation, c.*
    FROM json_to_recordset($2::json) AS c
        (user_id uuid, username text, email text, first_name text, last_name text, first_name_key text, last_name_key text,
         roles text[], active boolean, updated_at timestamptz, version bigint)
    OFFSET 0
) AS c
WHERE u.generation = c.generation AND u.user_id = c.user_id AND u.version < c.version
