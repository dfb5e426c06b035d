-- Forget what belongs to workflows.
DELETE FROM workflow_message WHERE workflow IN (?/*items*/)
