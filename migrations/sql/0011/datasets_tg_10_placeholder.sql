CREATE OR REPLACE TRIGGER tg_10_placeholder
BEFORE INSERT ON datasets
FOR EACH ROW
WHEN (NOT NEW.is_placeholder)
EXECUTE FUNCTION stage1_replace_dataset_placeholder();
