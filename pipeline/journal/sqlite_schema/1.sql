-- A batch is the inputs of a first run and of every run that resumes it. Its owner is the run in progress.
CREATE TABLE batches (
    batch INTEGER PRIMARY KEY AUTOINCREMENT,
    processor TEXT NOT NULL,
    owner_run INTEGER,
    owner TEXT,
    heartbeat REAL NOT NULL DEFAULT 0
);

CREATE TABLE runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL,
    run_id TEXT NOT NULL UNIQUE,
    processor TEXT NOT NULL,
    state TEXT NOT NULL,
    inputs INTEGER,
    started_at REAL NOT NULL,
    ended_at REAL,
    detail BLOB NOT NULL,
    checksum INTEGER NOT NULL
);

CREATE INDEX runs_by_processor ON runs (processor);
CREATE INDEX runs_by_batch ON runs (batch);

-- id is batch * 2^32 + slot: rows of one batch lie together and are appended in order.
CREATE TABLE inputs (
    id INTEGER PRIMARY KEY,
    place INTEGER,
    input_id TEXT NOT NULL,
    account_id TEXT,
    underwriting_id TEXT,
    data BLOB,
    fingerprint TEXT,
    problem TEXT,
    checksum INTEGER NOT NULL
);

-- The latest outcome of each input.
CREATE TABLE outcomes (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    status TEXT NOT NULL,
    step TEXT,
    data BLOB,
    detail BLOB,
    fingerprint TEXT,
    problem TEXT,
    checksum INTEGER NOT NULL
);
