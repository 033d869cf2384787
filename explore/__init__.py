"""Exploration: many chips and networks side by side, and pictures of what they cost."""
