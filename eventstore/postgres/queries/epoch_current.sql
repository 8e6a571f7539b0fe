SELECT epoch, system_identifier, timeline, events_oid, last_offset
FROM log.epochs
ORDER BY epoch DESC
LIMIT 1
