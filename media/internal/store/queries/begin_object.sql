-- Again, where an earlier try came to nothing: its row is not swept while this one lasts.
INSERT INTO storage.objects AS o (kind, object_id, owner_id, state, version, writable_until, sweep_at)
VALUES ($1, $2, $3, 'pending', 0, $4, $5)
ON CONFLICT (kind, object_id) DO UPDATE
SET writable_until = excluded.writable_until, sweep_at = excluded.sweep_at
WHERE o.state = 'pending' AND o.owner_id = excluded.owner_id
