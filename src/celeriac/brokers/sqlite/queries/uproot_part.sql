-- Forget what belongs to workflows.
DELETE FROM workflow_part WHERE workflow IN (?/*items*/)
