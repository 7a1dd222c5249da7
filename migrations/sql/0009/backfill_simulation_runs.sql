UPDATE simulation_runs SET status = status
 WHERE (questdb_namespace = '' OR status <> upper(btrim(status)) OR status = ''
        OR greatest(started_at, completed_at, created_at) >= '5138-11-16 09:46:40+00')
   AND /* page */ true;
