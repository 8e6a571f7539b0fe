SELECT count(*)
FROM keyring.keys
WHERE key_id = ANY ($1::uuid[]) AND made_for <> $2
