"""Verdicts in spoken Arabic as training data for KTO: a format, a label scale, a quality score and a utility."""
