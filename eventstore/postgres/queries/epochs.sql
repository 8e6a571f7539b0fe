SELECT epoch, started_at, reason, last_offset
FROM log.epochs
ORDER BY epoch DESC
