"""What learns, judges and decides: the contact model and the planning built on it."""
