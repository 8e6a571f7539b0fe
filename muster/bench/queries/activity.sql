-- What the services' sessions are at, at this moment: those that work, by what
-- they wait for; nothing where they compute.
SELECT COALESCE(wait_event_type, ''), COALESCE(wait_event, ''), count(*)
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_backend_pid()
  AND datname = ANY($1)
GROUP BY 1, 2
