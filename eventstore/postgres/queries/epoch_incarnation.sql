-- Which cluster, which timeline of it (a promoted stand-by keeps the cluster's
-- identifier and reuses transaction ids), which table.
SELECT (SELECT system_identifier FROM pg_control_system()),
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer,
       'log.events'::regclass::oid
