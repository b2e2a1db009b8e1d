-- Rows of a first run that came in large groups: many in one row, by the table they would be in.
CREATE TABLE pages (
    page INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL,
    kind TEXT NOT NULL,
    row_count INTEGER NOT NULL,
    body BLOB NOT NULL,
    checksum INTEGER NOT NULL
);

CREATE INDEX pages_by_batch ON pages (batch, kind, page);
