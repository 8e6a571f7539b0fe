INSERT INTO log.forwarder_checkpoint AS checkpoint (reader, cursor, fence)
VALUES ($1, '', 1)
ON CONFLICT ON CONSTRAINT forwarder_checkpoint_reader_is_unique DO UPDATE
SET fence = checkpoint.fence + 1
RETURNING fence
