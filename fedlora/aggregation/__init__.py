"""How several adapters of one round become one."""
