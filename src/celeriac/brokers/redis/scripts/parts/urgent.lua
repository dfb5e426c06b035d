-- A server that has reached its maxmemory refuses commands that need memory, until a script has written something. This
-- does, and changes nothing: what workers need to finish and to keep their leases must not be refused.
local function urgent() call('DEL', T .. 'nothing') end
