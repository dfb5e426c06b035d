-- Forget what belongs to workflows.
DELETE FROM workflow_join WHERE workflow IN (?/*items*/)
