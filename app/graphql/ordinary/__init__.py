"""The ordinary lane: resolvers and dataloaders answer, and everything can be answered."""
