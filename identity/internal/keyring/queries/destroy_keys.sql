-- The row stays as a tombstone. Locked in the order of the ids, so that two who
-- destroy the same keys wait for one another instead of locking up.
UPDATE keyring.keys AS k
SET wrapped = NULL, destroyed_at = now()
FROM (
    SELECT key_id
    FROM keyring.keys
    WHERE key_id = ANY ($1::uuid[]) AND made_for = $2 AND destroyed_at IS NULL
    ORDER BY key_id
    FOR UPDATE
) AS alive
WHERE k.key_id = alive.key_id
