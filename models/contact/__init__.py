"""The contact model: P(keyman contact | one dial to this customer in this slot, what is known tonight)."""
