-- Of those who find none at once, one begins it.
INSERT INTO log.lifetime (id) VALUES (gen_random_uuid())
ON CONFLICT ON CONSTRAINT lifetime_is_one DO NOTHING
