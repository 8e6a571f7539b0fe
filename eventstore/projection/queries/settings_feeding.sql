-- The plan: see settings.sql. What a crash of the server takes back of a
-- generation that does not serve, its cursor, in the same transaction, brings
-- again; the swap waits for the disk, and with it for all before.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('synchronous_commit', 'off', true)
