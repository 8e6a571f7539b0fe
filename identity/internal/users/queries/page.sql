-- One page. list.go puts in the order and, fitting to it, what lies past the
-- place where the page before ended. A filter that is not given is folded away
-- when the statement is planned, for its values are known then.
SELECT u.user_id, u.username, u.email, u.first_name, u.last_name, u.roles, u.active, u.registered_at, u.updated_at, u.version,
    COALESCE((
        SELECT a.avatar_id::text
        FROM read.avatars AS a
        WHERE a.generation = (SELECT p.generation FROM read.projections AS p WHERE p.name = 'avatars')
            AND a.user_id = u.user_id
    ), '')
FROM read.users AS u
WHERE u.generation = (SELECT p.generation FROM read.projections AS p WHERE p.name = @projection)
    AND (@first::boolean OR {{past_the_place}})
    AND (@username::text = '' OR (u.username >= @username::text AND u.username < @username_until::text))
    AND (@email::text = '' OR (u.email >= @email::text AND u.email < @email_until::text))
    AND (@active::boolean IS NULL OR u.active = @active::boolean)
    AND (@role::text = '' OR (u.roles <> '{}' AND u.roles @> ARRAY[@role::text]))
ORDER BY {{order}}
LIMIT @limit::bigint
