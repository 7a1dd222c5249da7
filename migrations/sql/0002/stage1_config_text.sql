-- The text form of a run's or simulation's configuration, as clients copy and paste it.
CREATE OR REPLACE FUNCTION stage1_config_text(
    metadata jsonb, features jsonb, walkforward jsonb, hyperparameters jsonb, trade jsonb)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT concat_ws(E'\n\n',
        '# Stage1 RunConfig v1',
        stage1_config_section('METADATA', coalesce(metadata, '{}')),
        stage1_config_section('FEATURES', coalesce(features, '{}')),
        stage1_config_section('WALKFORWARD', coalesce(walkforward, '{}')),
        stage1_config_section('HYPERPARAMETERS', coalesce(hyperparameters, '{}')),
        stage1_config_section('TRADE', coalesce(trade, '{}'))) || E'\n'
$$;
