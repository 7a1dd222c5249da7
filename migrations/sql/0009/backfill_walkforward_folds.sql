UPDATE walkforward_folds SET metrics = metrics
 WHERE ((best_iteration IS NULL AND metrics ? 'best_iteration')
        OR (best_score IS NULL AND metrics ? 'best_score'))
   AND /* page */ true;
