DROP TRIGGER tg_30_serialized_config ON simulation_runs;
DROP TRIGGER tg_25_own_config ON simulation_runs;
DROP TRIGGER tg_30_serialized_config ON walkforward_runs;
DROP TRIGGER tg_25_own_config ON walkforward_runs;
DROP FUNCTION stage1_simulation_serialized_config();
DROP FUNCTION stage1_run_serialized_config();
DROP FUNCTION stage1_own_config();
DROP FUNCTION stage1_config_text(jsonb, jsonb, jsonb, jsonb, jsonb);
DROP FUNCTION stage1_config_section(text, jsonb);
