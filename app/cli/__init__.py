"""The command line: its commands, and what it says of what is wrong around them."""
