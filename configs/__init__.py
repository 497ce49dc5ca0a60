"""What a call centre can set, the rule packs it obeys, and the ways a night can fail."""
