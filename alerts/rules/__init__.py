"""Rules as pure functions over event time: no Django, no clock, no settings. State in, state out.

A signal keeps its value until it is told anew, at most for the rule's ``hold``; what is not known neither raises nor
clears. A rule is *raised* at the instant at which its condition has held for ``lasting`` without a break (and, where
it counts, for the n-th time ``within`` a window), and *cleared* when its clear condition has held for
``clear_lasting``. The result depends on the readings and their times alone, not on the order in which they arrived.
"""
