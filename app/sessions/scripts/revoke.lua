-- End a user's sessions: one, all but one, or all. Their keys share the list's slot.
-- KEYS: the user's list · ARGV: the prefix of a session's key, the handle to end or '', the handle
-- to keep or ''. Returns how many sessions were ended.
return drop(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
