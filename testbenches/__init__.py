"""What drives the RTL: builds under Verilator, clock, buses, memories and monitors."""
