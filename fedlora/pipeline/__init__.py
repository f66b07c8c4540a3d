"""The steps of a run one by one, on a folder of adapters and without a federation."""
