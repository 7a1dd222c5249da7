DROP FUNCTION fn_list_runs(uuid, integer, integer, text, text, uuid);
