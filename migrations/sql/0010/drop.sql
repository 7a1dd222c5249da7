DROP FUNCTION fn_list_folds(uuid, integer, integer, integer);
DROP FUNCTION fn_list_simulations(uuid, integer, integer, text, text, uuid, uuid);
DROP FUNCTION fn_list_datasets(integer, integer, text, text, uuid, timestamptz);
DROP VIEW dataset_catalog;
