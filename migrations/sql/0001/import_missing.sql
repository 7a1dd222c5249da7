-- The placeholders of runs and simulations; those of datasets stand by now.
INSERT INTO public.walkforward_runs (run_id, dataset_id, is_placeholder)
SELECT run_id, dataset_id, true FROM pg_temp.import_missing_runs;
INSERT INTO public.simulation_runs (simulation_id, run_id, dataset_id, summary_metrics)
SELECT simulation_id, simulation_id, simulation_id, '{"legacy": {"placeholder": true}}'
  FROM pg_temp.import_missing_simulations;
