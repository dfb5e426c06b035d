-- Forget what belongs to workflows.
DELETE FROM workflow_slot WHERE workflow IN (?/*items*/)
