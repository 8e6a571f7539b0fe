SELECT fingerprint, stream_id, stream_version
FROM log.commands
WHERE caller = $1 AND method = $2 AND key = $3 AND expires_at > now()
