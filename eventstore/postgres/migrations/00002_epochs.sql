-- +goose Up

-- Why an epoch began, for whoever reads the table after an incident.
ALTER TABLE log.epochs ADD COLUMN reason text NOT NULL DEFAULT 'the log was opened for the first time';

-- +goose Down
ALTER TABLE log.epochs DROP COLUMN reason;
