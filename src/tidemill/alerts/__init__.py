"""Alerts: rules that the service looks at twice a second, whether or not a page is open.

    kind/       what can be watched, a file each: its terms, and what a look at the facts says of them
    channel/    where a firing is told besides the event `alert_fired`, a file each
    rule        a kind's terms with what every rule has: channels, cooldown, an end
    watcher     one look at all rules
    post        what has fired and is not told yet

A kind is a function of what it is shown and of what it kept from the look before: no clock, no database.
"""
