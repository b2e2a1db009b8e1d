-- Rows of a first run that came in large groups: many in one row, by the table they would be in.
CREATE TABLE {prefix}pages (
    page BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch BIGINT NOT NULL,
    kind TEXT NOT NULL,
    row_count BIGINT NOT NULL,
    body BYTEA NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE INDEX pages_by_batch ON {prefix}pages (batch, kind, page);
