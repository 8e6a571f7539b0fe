SELECT key_id::text, wrapped, kek_id
FROM keyring.keys
WHERE key_id = ANY ($1::uuid[])
