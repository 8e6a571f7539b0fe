INSERT INTO keyring.keys (key_id, wrapped, kek_id, made_for)
SELECT made.key_id, made.wrapped, $3, $4
FROM unnest($1::uuid[], $2::bytea[]) AS made (key_id, wrapped)
