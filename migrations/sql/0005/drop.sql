DROP VIEW dataset_hierarchy;
