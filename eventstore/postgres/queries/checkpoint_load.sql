SELECT cursor FROM log.forwarder_checkpoint WHERE reader = $1
