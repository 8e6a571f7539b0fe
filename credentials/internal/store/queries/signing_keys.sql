SELECT key_id, public_key, sealed_private, created_at
FROM sessions.signing_keys
ORDER BY created_at, key_id
