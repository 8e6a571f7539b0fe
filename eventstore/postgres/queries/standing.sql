-- How the log stands: the lifetime of its server, its epoch, and the event at the
-- offset of the last one that a reader was given ($1).
SELECT (SELECT id FROM log.lifetime), (SELECT max(epoch) FROM log.epochs), (SELECT event_id FROM log.events WHERE "offset" = $1)
