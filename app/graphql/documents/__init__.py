"""What clients ask for: documents are parsed, checked against the schema and its limits, and kept."""
