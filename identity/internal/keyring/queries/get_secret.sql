SELECT key_id::text, wrapped, kek_id
FROM keyring.secrets
WHERE purpose = $1
