-- The version of these tables; one row.
CREATE TABLE {prefix}format (version INTEGER NOT NULL);

-- A batch is the inputs of a first run and of every run that resumes it. Its owner is the run in progress.
-- Its row is changed at every commit: room in its page lets PostgreSQL do that in place.
CREATE TABLE {prefix}batches (
    batch BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    processor TEXT NOT NULL,
    owner_run BIGINT,
    owner TEXT,
    heartbeat DOUBLE PRECISION NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE {prefix}runs (
    run BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch BIGINT NOT NULL,
    run_id TEXT NOT NULL,
    processor TEXT NOT NULL,
    state TEXT NOT NULL,
    inputs BIGINT,
    started_at DOUBLE PRECISION NOT NULL,
    ended_at DOUBLE PRECISION,
    detail BYTEA NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE UNIQUE INDEX runs_by_run_id ON {prefix}runs (run_id);
CREATE INDEX runs_by_processor ON {prefix}runs (processor, run);
CREATE INDEX runs_by_batch ON {prefix}runs (batch, run);

-- id is batch * 2^32 + slot: rows of one batch lie together and are appended in order.
CREATE TABLE {prefix}inputs (
    id BIGINT PRIMARY KEY,
    place BIGINT,
    input_id TEXT NOT NULL,
    account_id TEXT,
    underwriting_id TEXT,
    data BYTEA,
    fingerprint TEXT,
    problem TEXT,
    checksum BIGINT NOT NULL
);

-- The latest outcome of each input.
CREATE TABLE {prefix}outcomes (
    id BIGINT PRIMARY KEY,
    run BIGINT NOT NULL,
    status TEXT NOT NULL,
    step TEXT,
    data BYTEA,
    detail BYTEA,
    fingerprint TEXT,
    problem TEXT,
    checksum BIGINT NOT NULL
);

-- Every failed try of every run, not only of the latest.
CREATE TABLE {prefix}attempts (
    attempt BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id BIGINT NOT NULL,
    run BIGINT NOT NULL,
    detail BYTEA NOT NULL,
    checksum BIGINT NOT NULL
);

CREATE INDEX attempts_by_input ON {prefix}attempts (id);

-- Results of steps with a Cache: they may be lost, and cost only calls.
CREATE TABLE {prefix}results (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key TEXT NOT NULL,
    step TEXT NOT NULL,
    kept_at DOUBLE PRECISION NOT NULL,
    body BYTEA NOT NULL
);

CREATE UNIQUE INDEX results_by_key ON {prefix}results (key);
CREATE INDEX results_by_step ON {prefix}results (step);

-- States of circuit breakers that processes share: they may be lost, and then all are closed.
CREATE TABLE {prefix}breakers (
    name TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    opened_at DOUBLE PRECISION,
    probe_at DOUBLE PRECISION
);
