-- Which of these owners' leases did a reclaim end?
SELECT name FROM owner WHERE ended AND name IN (?/*items*/)
