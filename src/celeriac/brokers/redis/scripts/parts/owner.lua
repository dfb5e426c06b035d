-- An owner whose lease a reclaim had ended begins anew: what that reclaim, being limited, left with it is nobody's, for
-- it was told, or will be, that it has lost everything. Return whether that was so.
local function begin_anew(owner)
    if not call('ZSCORE', T .. 'ended', owner) then return false end
    call('ZREM', T .. 'ended', owner)
    if call('EXISTS', T .. 'o:' .. owner) == 1 then
        local pool = format('%.0f', numbers(1))
        call('RENAME', T .. 'o:' .. owner, T .. 'x:' .. pool)
        call('SADD', T .. 'pools', pool)
    end
    return true
end
