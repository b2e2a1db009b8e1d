-- Every statement of a journal but its schema. `{now}` is the database's clock in seconds since the epoch,
-- `{prefix}` what stands before its tables' names; `?` is a parameter.

-- new_batch
INSERT INTO {prefix}batches (processor, heartbeat) VALUES (?, {now}) RETURNING batch;

-- new_run
INSERT INTO {prefix}runs (batch, run_id, processor, state, inputs, started_at, ended_at, detail, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING run;

-- change_run
UPDATE {prefix}runs SET state = ?, inputs = ?, ended_at = ?, detail = ?, checksum = ? WHERE run = ?;

-- run
SELECT run, batch, run_id, processor, state, inputs, started_at, ended_at, detail, checksum
FROM {prefix}runs WHERE run_id = ?;

-- run_by_number
SELECT run, batch, run_id, processor, state, inputs, started_at, ended_at, detail, checksum
FROM {prefix}runs WHERE run = ?;

-- latest_run
SELECT run, batch, run_id, processor, state, inputs, started_at, ended_at, detail, checksum
FROM {prefix}runs WHERE processor = ? ORDER BY run DESC LIMIT 1;

-- latest_run_of_batch
SELECT run, batch, run_id, processor, state, inputs, started_at, ended_at, detail, checksum
FROM {prefix}runs WHERE batch = ? AND run < ? ORDER BY run DESC LIMIT 1;

-- runs
SELECT run, batch, run_id, processor, state, inputs, started_at, ended_at, detail, checksum
FROM {prefix}runs ORDER BY run;

-- owner
SELECT owner_run, owner, heartbeat, {now} FROM {prefix}batches WHERE batch = ? {lock};

-- holds
SELECT 1 FROM {prefix}batches WHERE batch = ? AND owner_run = ? AND owner = ? {share};

-- owners
SELECT batch, owner_run, owner, heartbeat, {now} FROM {prefix}batches WHERE owner_run IS NOT NULL ORDER BY batch;

-- take
UPDATE {prefix}batches SET owner_run = ?, owner = ?, heartbeat = {now} WHERE batch = ?;

-- beat
UPDATE {prefix}batches SET heartbeat = {now} WHERE batch = ? AND owner_run = ? AND owner = ?;

-- release
UPDATE {prefix}batches SET owner_run = NULL, owner = NULL WHERE batch = ? AND owner_run = ? AND owner = ?;

-- bury
UPDATE {prefix}batches SET owner_run = NULL, owner = NULL WHERE batch = ? AND owner_run = ?;

-- put_input
INSERT INTO {prefix}inputs (id, place, input_id, account_id, underwriting_id, data, fingerprint, problem, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET place = excluded.place, account_id = excluded.account_id,
    underwriting_id = excluded.underwriting_id, data = excluded.data, fingerprint = excluded.fingerprint,
    problem = excluded.problem, checksum = excluded.checksum;

-- input
SELECT id, place, input_id, account_id, underwriting_id, data, fingerprint, problem, checksum
FROM {prefix}inputs WHERE id = ?;

-- inputs
SELECT id, place, input_id, account_id, underwriting_id, data, fingerprint, problem, checksum
FROM {prefix}inputs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?;

-- input_ids
SELECT id, input_id FROM {prefix}inputs WHERE id >= ? AND id < ? ORDER BY id LIMIT ?;

-- places
SELECT id, place FROM {prefix}inputs WHERE id >= ? AND id < ? AND place IS NOT NULL ORDER BY place, id;

-- put_outcome
INSERT INTO {prefix}outcomes (id, run, status, step, data, detail, fingerprint, problem, checksum)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET run = excluded.run, status = excluded.status, step = excluded.step,
    data = excluded.data, detail = excluded.detail, fingerprint = excluded.fingerprint,
    problem = excluded.problem, checksum = excluded.checksum;

-- outcome
SELECT id, run, status, step, data, detail, fingerprint, problem, checksum FROM {prefix}outcomes WHERE id = ?;

-- outcomes
SELECT id, run, status, step, data, detail, fingerprint, problem, checksum
FROM {prefix}outcomes WHERE id >= ? AND id < ? ORDER BY id LIMIT ?;

-- failed
SELECT id, status, step, CASE status WHEN 'failed' THEN detail END
FROM {prefix}outcomes WHERE id >= ? AND id < ? ORDER BY id LIMIT ?;

-- succeeded
SELECT count(*) FROM {prefix}outcomes WHERE id >= ? AND id < ? AND status NOT IN ('failed', 'not_run', 'checkpoint');

-- put_page
INSERT INTO {prefix}pages (batch, kind, row_count, body, checksum) VALUES (?, ?, ?, ?, ?);

-- pages
SELECT page, batch, kind, row_count, body, checksum
FROM {prefix}pages WHERE batch = ? AND kind = ? AND page > ? ORDER BY page LIMIT ?;

-- page
SELECT page, batch, kind, row_count, body, checksum FROM {prefix}pages WHERE page = ?;

-- put_attempts
INSERT INTO {prefix}attempts (id, run, detail, checksum) VALUES (?, ?, ?, ?);

-- attempts
SELECT attempt, id, run, detail, checksum FROM {prefix}attempts WHERE id = ? ORDER BY attempt;

-- prune_attempts
DELETE FROM {prefix}attempts WHERE id >= ? AND id < ?;

-- prune_outcomes
DELETE FROM {prefix}outcomes WHERE id >= ? AND id < ?;

-- prune_inputs
DELETE FROM {prefix}inputs WHERE id >= ? AND id < ?;

-- prune_pages
DELETE FROM {prefix}pages WHERE batch = ?;

-- prune_runs
DELETE FROM {prefix}runs WHERE batch = ?;

-- prune_run
DELETE FROM {prefix}runs WHERE run = ?;

-- prune_batch
DELETE FROM {prefix}batches WHERE batch = ?;

-- format
SELECT version FROM {prefix}format;

-- forget_format
DELETE FROM {prefix}format;

-- put_format
INSERT INTO {prefix}format (version) VALUES (?);

-- result
SELECT kept_at, body FROM {prefix}results WHERE key = ?;

-- put_result
INSERT INTO {prefix}results (key, step, kept_at, body) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET step = excluded.step, kept_at = excluded.kept_at, body = excluded.body;

-- prune_results
DELETE FROM {prefix}results WHERE id IN (SELECT id FROM (
    SELECT id, sum(length(body)) OVER (ORDER BY kept_at DESC, id DESC) AS size FROM {prefix}results WHERE step = ?
) AS sized WHERE size > ?);

-- breaker
SELECT failures, opened_at, probe_at FROM {prefix}breakers WHERE name = ?;

-- new_breaker
INSERT INTO {prefix}breakers (name, failures) VALUES (?, 0) ON CONFLICT (name) DO NOTHING;

-- locked_breaker
SELECT failures, opened_at, probe_at, {now} FROM {prefix}breakers WHERE name = ? {lock};

-- put_breaker
UPDATE {prefix}breakers SET failures = ?, opened_at = ?, probe_at = ? WHERE name = ?;
