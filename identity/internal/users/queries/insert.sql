-- Rows of people who registered, with all that the batch holds of them.
INSERT INTO read.users AS u
    (generation, user_id, username, email, first_name, last_name, first_name_key, last_name_key, roles, active,
     registered_at, updated_at, version)
SELECT $1, c.user_id, c.username, c.email, c.first_name, c.last_name, c.first_name_key, c.last_name_key, c.roles, c.active,
    c.registered_at, c.updated_at, c.version
FROM json_to_recordset($2::json) AS c
    (user_id uuid, username text, email text, first_name text, last_name text, first_name_key text, last_name_key text,
     roles text[], active boolean, registered_at timestamptz, updated_at timestamptz, version bigint)
ON CONFLICT ON CONSTRAINT users_one_row_a_person DO UPDATE
SET username = excluded.username, email = excluded.email, first_name = excluded.first_name, last_name = excluded.last_name,
    first_name_key = excluded.first_name_key, last_name_key = excluded.last_name_key, roles = excluded.roles,
    active = excluded.active, registered_at = excluded.registered_at, updated_at = excluded.updated_at,
    version = excluded.version
WHERE u.version < excluded.version
