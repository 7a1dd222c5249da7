-- The trigger writes the text; any update of a row without one makes it do so.
UPDATE simulation_runs SET serialized_config = NULL
 WHERE serialized_config IS NULL AND /* page */ true;
