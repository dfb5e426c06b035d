-- Which of these tasks are over already?
SELECT id FROM result WHERE over AND (expires IS NULL OR expires > now()) AND id IN (?/*items*/)
