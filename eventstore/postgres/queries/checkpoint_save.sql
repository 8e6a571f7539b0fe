UPDATE log.forwarder_checkpoint
SET cursor = $3, updated_at = now()
WHERE reader = $1 AND fence = $2
