"""A federation over several machines: what each of them gets, and the processes it runs."""
