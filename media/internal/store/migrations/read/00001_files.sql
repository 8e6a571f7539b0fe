-- +goose Up

-- Files as lists tell them, folded from media's own log. Rows of a projection:
-- they can be made again at any time.
CREATE TABLE read.files (
    generation   bigint      NOT NULL,
    file_id      uuid        NOT NULL,
    owner_id     uuid        NOT NULL,
    name         text        NOT NULL,
    content_type text        NOT NULL,
    size         bigint      NOT NULL,
    public       boolean     NOT NULL,
    uploaded_at  timestamptz NOT NULL,
    CONSTRAINT files_one_row_each PRIMARY KEY (generation, file_id),
    CONSTRAINT files_generation_from_one CHECK (generation >= 1),
    CONSTRAINT files_are_not_empty CHECK (size >= 1)
);

-- A page of somebody's files is a range of it.
CREATE INDEX files_by_owner ON read.files (generation, owner_id, uploaded_at DESC, file_id DESC);

-- Who may read a file beside its owner.
CREATE TABLE read.shares (
    generation  bigint      NOT NULL,
    file_id     uuid        NOT NULL,
    user_id     uuid        NOT NULL,
    -- Of the file, which never changes it: so a page of what is shared is a range too.
    uploaded_at timestamptz NOT NULL,
    CONSTRAINT shares_one_row_a_reader PRIMARY KEY (generation, file_id, user_id),
    CONSTRAINT shares_are_of_a_file FOREIGN KEY (generation, file_id) REFERENCES read.files (generation, file_id) ON DELETE CASCADE
);

CREATE INDEX shares_by_reader ON read.shares (generation, user_id, uploaded_at DESC, file_id DESC);

GRANT SELECT, INSERT, UPDATE, DELETE ON read.files, read.shares TO muster_runtime;

-- +goose Down
DROP TABLE read.shares;
DROP TABLE read.files;
