SELECT coalesce(max(stream_version), 0) FROM log.events WHERE stream_id = $1
