-- Spool statements that have been in quarantine for more than 7 days.
SELECT quarantine_id::text AS id,
       format('%s line %s, %s: %s', source, line, kind, left(reason, 200)) AS detail
  FROM spool_quarantine
 WHERE state = 'open' AND first_seen_at < now() - interval '7 days'
 ORDER BY quarantine_id;
