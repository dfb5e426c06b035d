-- How many settlements there have been.
SELECT task, state, count FROM tally
