"""The accounting of every build, sent to where experiments are tracked."""
