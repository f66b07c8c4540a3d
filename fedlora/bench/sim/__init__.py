"""The speed of simulation: fedlora's runtimes, a plain loop and other systems, side by side."""
