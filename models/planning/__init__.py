"""From probabilities to a lawful call plan within capacity, and to the staffing that would make it better."""
