"""Where a run happens: in this process, on Ray, or on several machines."""
