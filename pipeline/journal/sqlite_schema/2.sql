-- Every failed try of every run, not only of the latest.
CREATE TABLE attempts (
    attempt INTEGER PRIMARY KEY,
    id INTEGER NOT NULL,
    run INTEGER NOT NULL,
    detail BLOB NOT NULL,
    checksum INTEGER NOT NULL
);

CREATE INDEX attempts_by_input ON attempts (id);
