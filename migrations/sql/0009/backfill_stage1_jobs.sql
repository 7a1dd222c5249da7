UPDATE stage1_jobs SET status = status
 WHERE completed_at IS NULL AND status IN ('COMPLETED', 'FAILED', 'CANCELLED')
   AND /* page */ true;
