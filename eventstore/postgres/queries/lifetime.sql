SELECT id FROM log.lifetime
