CREATE OR REPLACE TRIGGER tg_40_merge_placeholders
AFTER INSERT OR UPDATE ON datasets
FOR EACH ROW
WHEN (NOT NEW.is_placeholder)
EXECUTE FUNCTION stage1_merge_placeholders();
