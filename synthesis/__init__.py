"""Synthesis of the chip with a library that the user names: area, timing, power, and the fits made of them."""
