"""Reward endpoints that other trainers already call, answered by this judge. JSON only, and no pickle.

None of these protocols can say that a reward is absent and worth asking for again. So a request with an edit that
failed for a reason that passes (an overload, a deadline, an engine that came back) is answered with that reason's
status: these trainers send it again, and what was measured is remembered. A failure that stays is an error of its item
where the protocol has such a thing, and of the request where it has not. No failure becomes a number.
"""
