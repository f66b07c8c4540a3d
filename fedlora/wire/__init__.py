"""What crosses the wire: messages, codecs for adapters, and the ledger of their bytes."""
