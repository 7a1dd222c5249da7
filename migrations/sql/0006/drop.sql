DROP FUNCTION fn_list_runs(uuid, integer, integer, text, text, uuid);
DROP FUNCTION stage1_cursor_gone(text);
DROP FUNCTION stage1_page_size(integer);
