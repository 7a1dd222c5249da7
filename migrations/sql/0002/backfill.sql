-- The triggers write the text; any update of a row without one makes them do it.
UPDATE walkforward_runs SET serialized_config = NULL WHERE serialized_config IS NULL;
UPDATE simulation_runs SET serialized_config = NULL WHERE serialized_config IS NULL;
