"""From rows to samples: detect, ask the adapter for facts, apply policy, read labels, score, account."""
