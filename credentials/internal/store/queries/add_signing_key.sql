INSERT INTO sessions.signing_keys (key_id, algorithm, public_key, sealed_private, created_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (key_id) DO NOTHING
