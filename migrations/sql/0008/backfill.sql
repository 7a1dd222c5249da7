-- The trigger brings a row to one form whenever it is updated.
UPDATE datasets SET metadata = metadata;
