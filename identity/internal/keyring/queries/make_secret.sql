INSERT INTO keyring.secrets (purpose, key_id, wrapped, kek_id)
VALUES ($1, $2, $3, $4)
ON CONFLICT ON CONSTRAINT one_secret_for_each_purpose DO NOTHING
