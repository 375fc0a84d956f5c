"""The event log: what mutations write, how events get their positions, and how processes read them."""
