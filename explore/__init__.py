"""Exploration: costs of a network on many chips, without values or exactly, and the best of them."""
