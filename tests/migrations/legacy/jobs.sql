-- Job tables under both names.
CREATE TABLE jobs (
    job_id SERIAL PRIMARY KEY,
    job_type VARCHAR(50) NOT NULL,
    status VARCHAR(20) DEFAULT 'pending',
    progress INTEGER, total INTEGER, message TEXT, error TEXT,
    payload JSON, result JSONB, worker VARCHAR(40),
    created_at TIMESTAMP DEFAULT NOW(), started_at TIMESTAMP, completed_at TIMESTAMP
);
CREATE TABLE stage1_jobs (
    job_id UUID PRIMARY KEY,
    job_type TEXT NOT NULL, status TEXT NOT NULL, payload JSONB,
    created_at TIMESTAMPTZ NOT NULL, updated_at TIMESTAMPTZ
);
