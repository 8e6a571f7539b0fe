WITH object AS (
    INSERT INTO storage.objects (kind, object_id, owner_id, state, version, writable_until, sweep_at)
    VALUES ('upload', $1, $2, 'pending', 0, $7, $8)
)
INSERT INTO storage.uploads (upload_id, owner_id, name, content_type, size, public, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
